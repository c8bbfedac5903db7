"""Copies of states: the same as the standard library makes."""

import dataclasses
from typing import Any

import pytest

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine.copies import replace
from services.execution.engine.state import (
    ArrayState,
    AttemptState,
    Execution,
    ExecutionPhase,
    NodePhase,
    NodeState,
    PlanState,
    ScopeState,
    SignalState,
    SlotPhase,
    SlotState,
)
from tests.unit.engine.story import Flow, Story

NODE = NodeState("n0", "n0", "", facts.TASK, 3, NodePhase.QUEUED)


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (NODE, {"phase": NodePhase.RUNNING, "holds_slot": True}),
        (NODE, {}),
        (AttemptState(1, "a", "b"), {"reason": "slow"}),
        (PlanState(facts.NodeQueued().inputs, facts.NodeQueued().inputs), {"closure": facts.NodeQueued().inputs}),
        (ArrayState(3, 2, 1), {"failed": 2}),
        (ScopeState(open=1), {"open": 0, "terminal": 1}),
        (SignalState(facts.SignalAwaited().type), {"gates": ("n0",)}),
        (SlotState(SlotPhase.WAITING, 4), {"phase": SlotPhase.FREED}),
        (Execution(facts.ExecutionCreated()), {"phase": ExecutionPhase.FAILED, "slots": 2}),
    ],
)
def test_a_copy_differs_in_what_was_changed_and_nothing_else(state: Any, changes: dict[str, Any]) -> None:
    before = dataclasses.replace(state)
    assert replace(state, **changes) == dataclasses.replace(state, **changes)
    assert state == before


def test_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        replace(NODE, phases=NodePhase.RUNNING)


def test_when_nobody_waits_the_line_begins_at_its_end() -> None:
    """Looking for the first that waits would cost as much as there are nodes, at every step."""
    story = Story(Flow().task("n0").task("n1", after=["n0"]).echo("n2", 1, after=["n1"]))
    story.start()
    for node_id in ("n0", "n1"):
        assert story.state is not None
        assert (len(story.state.waiting), story.state.waiting_from) == (0, story.state.queued)
        story.succeeds(node_id)
