"""Part B of the table: conditionals."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from tests.conformance.client import Backend, Start
from tests.conformance.runs import Run
from tests.conformance.values import literal

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(24)
@runs(*(Start("branches.size", {"x": x}) for x in (-1, 0, 10)))
def test_only_the_taken_arm_has_a_node(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == ["low -1", "middle 0", "high 10"]
    for number, run in enumerate(runs):
        assert run.phases() == {"n0": "SUCCEEDED", f"n0-0-n0-n{number}": "SUCCEEDED"}
        arm = run.node(f"n0-0-n0-n{number}")
        assert arm.spec_id == f"n0-n{number}"
        assert arm.metadata.retry_group == "0"
        assert list(run.children("n0")) == [arm.id]
        assert run.node("n0").tasks == []
    synced = runs[0].synced().node_executions["n0"]
    assert [child.id.node_id for child in synced._underlying_node_executions] == ["n0-0-n0-n0"]


@rows(25)
@runs(Start("branches.refused"))
def test_else_that_fails_gives_its_message(run: Run) -> None:
    run.fail()
    assert (run.error.code, run.error.message, run.error.kind) == ("UserProvidedError", "neither low nor high", 1)
    assert run.phases() == {"n0": "FAILED"}


@rows(26, 27)
@pytest.mark.parametrize("name", ["branches.size", "branches.both"])
def test_types_that_never_match_are_told_at_registration(name: str, backend: Backend) -> None:
    """An integer with a float: at once, and on the right of a conjunction."""

    def change(template: Any) -> None:
        (node,) = [node for node in template.nodes if node.HasField("branch_node")]
        condition = node.branch_node.if_else.case.condition
        if condition.HasField("conjunction"):
            condition = condition.conjunction.right_expression
        condition.comparison.right_value.primitive.CopyFrom(literal(2.5).scalar.primitive)

    with pytest.raises(grpc.RpcError) as refused:
        backend.register_changed(name, f"{name}.changed.{backend.version}", change)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert "MismatchingTypes" in refused.value.details()  # type: ignore[attr-defined]


@rows(26, 27)
@differs("Flyte refuses unions in conditions at registration")
@runs(Start("branches.of_union", {"x": 3}), Start("branches.of_union", {"x": "three"}))
def test_values_of_different_types_cannot_be_compared(runs: list[Run]) -> None:
    """Also on the right of a conjunction whose left side is false already."""
    assert runs[0].succeed().output == "low 0"
    runs[1].fail()
    assert (runs[1].error.code, runs[1].error.kind) == ("MalformedBranchUserError", 1)
    assert runs[1].phases() == {"n0": "FAILED"}


@rows(27)
@runs(
    Start("branches.both"),
    Start("branches.both", {"x": 6}),
    Start("branches.either"),
    Start("branches.either", {"x": 2}),
)
def test_conjunctions_of_comparisons(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == ["low 1", "high 6", "high 1", "low 2"]


@rows(28)
@runs(Start("branches.failing_arm"))
def test_failing_arm_fails_the_branch_with_its_error(run: Run) -> None:
    run.fail()
    assert run.phases() == {"n0": "FAILED", "n0-0-n0-n0": "FAILED"}
    assert run.node("n0").error.code == run.error.code == "USER:RuntimeError"
    assert "the arm broke" in run.error.message


@rows(24, 69)
@runs(Start("branches.nested"), Start("branches.nested", {"deep": False}), Start("branches.nested", {"x": 0}))
def test_arms_may_be_conditionals_and_workflows(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == ["high 1", "middle 1", "low 0"]
    for run in runs:
        assert all(len(node.id) <= 20 for node in run.nodes.values())
        assert {node.phase for node in run.nodes.values()} == {"SUCCEEDED"}


@rows(24)
@runs(Start("branches.of_task_outputs"), Start("branches.of_attribute"))
def test_conditions_on_what_tasks_gave(runs: list[Run]) -> None:
    assert runs[0].succeed().outputs == {"o0": "low 1", "o1": "low 2"}
    assert runs[1].succeed().output == "high 3"


@rows(24)
@runs(Start("branches.followed"), Start("branches.followed", {"x": 1}))
def test_what_follows_takes_the_outputs_of_the_taken_arm(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == ["used low -1", "used high 1"]


@rows(24)
@differs("Flyte compares no values of union types")
@runs(Start("branches.of_optional"), Start("branches.of_optional", {"give": True}))
def test_whether_there_is_a_value_can_be_asked(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == ["low 0", "found something"]
