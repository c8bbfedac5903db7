"""Part H of the table: recover and relaunch."""

from __future__ import annotations

import pytest

from tests.conformance.client import Start
from tests.conformance.runs import Run

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(83)
@runs(Start("recovering.chain", tells_name=True))
def test_recovered_execution_begins_at_the_failed_node(run: Run) -> None:
    run.fail()
    again = run.recover().succeed()
    assert again.output == 104
    assert again.phases() == {"n0": "RECOVERED", "n1": "RECOVERED", "n2": "SUCCEEDED", "n3": "SUCCEEDED"}
    assert [len(again.node(key).tasks) for key in ("n0", "n1", "n2", "n3")] == [0, 0, 1, 1]
    assert again.node("n1").outputs == run.node("n1").outputs
    metadata = again.spec.metadata
    assert metadata.mode == 5, "RECOVERED"
    assert metadata.reference_execution.name == run.name
    assert again.synced().is_successful


@rows(84)
@runs(Start("recovering.of_dynamic", tells_name=True))
def test_plan_of_a_dynamic_task_is_recovered(run: Run) -> None:
    run.fail()
    again = run.recover().succeed()
    assert again.output == [2, 102]
    assert again.node("n0").tasks == []
    children = {node.spec_id: (node.phase, len(node.tasks)) for node in again.children("n0").values()}
    assert children["dn0"] == ("RECOVERED", 0)
    assert children["dn1"] == ("SUCCEEDED", 1)


@rows(84)
@runs(Start("recovering.of_subworkflow", tells_name=True))
def test_nodes_of_a_sub_workflow_are_recovered(run: Run) -> None:
    run.fail()
    again = run.recover().succeed()
    assert again.output == 103
    children = {node.spec_id: node.phase for node in again.children("n0").values()}
    assert (children["n0"], children["n1"]) == ("RECOVERED", "SUCCEEDED")


@rows(84)
@differs("Flyte runs all elements of a failed map again")
@runs(Start("recovering.of_map", tells_name=True))
def test_elements_of_a_map_are_recovered(run: Run) -> None:
    run.fail()
    again = run.recover().succeed()
    assert again.output == [0, 10, 20]
    assert again.node("n0").phase == "SUCCEEDED"


@rows(85)
@runs(Start("lifecycle.one", {"x": 41}))
def test_relaunched_execution_runs_everything_again(run: Run) -> None:
    run.finish()
    again = run.relaunch().succeed()
    assert again.output == 42
    assert again.spec.metadata.mode == 3, "RELAUNCH"
    assert again.spec.metadata.reference_execution.name == run.name
    assert len(again.node("n0").tasks) == 1


@rows(86)
@runs(Start("recovering.of_checkpoint", tells_name=True))
def test_failed_task_goes_on_at_its_checkpoint(run: Run) -> None:
    run.fail()
    again = run.recover().succeed()
    assert again.output == [run.name, again.name]
