"""Part G of the table: map tasks."""

from __future__ import annotations

import pytest

from tests.conformance.client import Start
from tests.conformance.runs import Run, task_phase

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(74)
@runs(Start("maps.plain"))
def test_map_is_one_node_with_one_task_and_many_resources(run: Run) -> None:
    assert run.succeed().output == [2, 3, 4, 5, 6]
    assert run.phases() == {"n0": "SUCCEEDED"}
    node = run.node("n0")
    assert node.metadata.is_array
    task = node.task
    assert (task.phase, task.attempt, task.closure.task_type) == ("SUCCEEDED", 0, "container_array")
    assert task.closure.metadata.plugin_identifier == "k8s-array"
    assert task.closure.event_version == 1
    assert [(one.index, task_phase(one.phase)) for one in task.resources] == [(i, "SUCCEEDED") for i in range(5)]
    assert [one.external_id for one in task.resources] == [f"{run.name}-n0-0-n{i}-0" for i in range(5)]
    synced = run.synced().node_executions["n0"]
    assert synced.outputs["o0"] == [2, 3, 4, 5, 6]
    assert len(synced.task_executions) == 1


@rows(75)
@runs(Start("maps.tolerant", {"limit": 3}), Start("maps.tolerant", {"limit": 2}))
def test_some_elements_may_fail(runs: list[Run]) -> None:
    enough, too_few = runs
    assert enough.succeed().output == [0, 1, 2, None, None]
    phases = [task_phase(one.phase) for one in enough.node("n0").task.resources]
    assert phases == ["SUCCEEDED"] * 3 + ["FAILED"] * 2
    too_few.fail()
    assert too_few.node("n0").phase == "FAILED"
    assert "2 is the limit" in too_few.error.message
    assert "[" in too_few.error.message.partition(":")[0]


@rows(76)
@runs(Start("maps.two_at_once"))
def test_no_more_elements_run_at_once_than_allowed(run: Run) -> None:
    spans = run.succeed().output
    assert max(sum(begun <= moment < end for begun, end in spans) for moment, _ in spans) <= 2


@rows(77)
@runs(Start("maps.retried"))
def test_elements_are_tried_again_by_themselves(run: Run) -> None:
    assert run.succeed().output == [0, 1, 2, 3, 4]
    task = run.node("n0").task
    assert task.attempt == 0
    found = {(one.index, one.retry_attempt): task_phase(one.phase) for one in task.resources}
    assert found == {
        (0, 0): "SUCCEEDED", (1, 0): "SUCCEEDED", (2, 0): "SUCCEEDED",
        (3, 0): "FAILED", (3, 1): "SUCCEEDED", (4, 0): "SUCCEEDED",
    }  # fmt: skip


@rows(78)
@runs(Start("maps.empty"))
def test_map_over_nothing_gives_nothing(run: Run) -> None:
    assert run.succeed().output == []
    assert run.node("n0").phase == "SUCCEEDED"
    assert [list(task.resources) for task in run.node("n0").tasks] in ([], [[]])


@rows(79)
@runs(Start("maps.unequal"))
def test_lists_of_unequal_length_cannot_be_mapped(run: Run) -> None:
    run.fail()
    assert (run.error.code, run.error.kind) == ("InvalidArrayLength", 1)


@rows(74, 80)
@runs(Start("maps.together"), Start("maps.bound"))
def test_elements_take_from_all_lists_and_what_is_bound(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == [[11, 22], [11, 12, 13]]


@rows(82)
@differs("without offloading, Flyte fails what is larger than 2 MiB")
@runs(Start("maps.large"))
def test_large_outputs_are_handed_on(run: Run) -> None:
    assert run.succeed().output == [600_000] * 4


@rows(75)
@runs(Start("maps.failing"))
def test_error_of_a_map_names_the_elements(run: Run) -> None:
    run.fail()
    assert "odd numbers break" in run.error.message
    assert run.node("n0").task.phase == "FAILED"


@rows(74)
@differs("Flyte 1.16.8 cannot map launch plans")
@runs(Start("maps.over_launch_plan"))
def test_launch_plans_can_be_mapped(run: Run) -> None:
    assert run.succeed().output == [2, 3, 4]
    assert run.synced().is_successful
