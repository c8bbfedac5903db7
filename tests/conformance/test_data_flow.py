"""Part B of the table: nodes and the data between them."""

from __future__ import annotations

import pytest

from tests.conformance.client import Start
from tests.conformance.runs import Run, ended
from tests.conformance.values import moment

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(18)
@runs(Start("data_flow.ordered"))
def test_order_without_data_is_kept(run: Run) -> None:
    run.succeed()
    first, second = run.node("first").closure, run.node("second").closure
    assert moment(second.created_at) >= ended(first) - 0.001


@rows(19, 20)
@runs(Start("data_flow.attributes"))
def test_attributes_of_outputs_reach_the_next_node(run: Run) -> None:
    assert run.succeed().output == "int 3 b 3"


@rows(19)
@runs(Start("data_flow.bad_key"), Start("data_flow.bad_index"))
def test_attribute_that_does_not_exist_fails_the_node_for_good(runs: list[Run]) -> None:
    for run in runs:
        run.fail()
        assert run.error.code == "BindingResolutionFailure"
        assert run.error.kind == 2, "SYSTEM"
        assert run.node("n1").phase == "FAILED"
        assert run.node("n1").tasks == []


@rows(20)
@runs(Start("data_flow.integer_stays"), Start("data_flow.input_attribute"))
def test_integer_field_of_a_dataclass_stays_an_integer(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == [7, 3]
    assert type(runs[0].output) is int


@rows(21)
@runs(Start("data_flow.ordered"))
def test_node_has_the_name_it_was_given(run: Run) -> None:
    run.succeed()
    assert {node.id: node.spec_id for node in run.nodes.values()} == {
        name: name for name in ("start-node", "first", "second", "end-node")
    }


@rows(22)
@runs(Start("data_flow.unbound"), Start("data_flow.unbound_input"))
def test_absent_value_reaches_the_task_as_none(runs: list[Run]) -> None:
    assert [run.succeed().output for run in runs] == [True, True]
    assert runs[0].node("n0").inputs.get("x") is None


@rows(23)
@runs(Start("data_flow.collections", {"x": 2}), Start("data_flow.passed_through"))
def test_lists_maps_and_inputs_are_bound(runs: list[Run]) -> None:
    collected, passed = runs
    assert collected.succeed().output == 2 + 3 + 10 + 2 + 3
    assert collected.node("n1").inputs == {"values": [2, 3, 10], "named": {"x": 2, "y": 3}}
    assert passed.succeed().outputs == {"o0": 4, "o1": 5}
