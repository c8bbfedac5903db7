"""Executions that stand in line before they start."""

from __future__ import annotations

import pytest

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit
from services.execution.engine import AwaitPlace
from tests.unit.engine.story import INPUT, Flow, From, Story


def limited(*held_by: str) -> Story:
    """An execution with a limit for each; those that an ancestor holds name it."""

    def change(created: facts.ExecutionCreated) -> None:
        for number, holder in enumerate(held_by):
            created.limits.append(ConcurrencyLimit(name=f"key/{number}", max=1, held_by=holder))

    return Story(Flow().echo("n0", INPUT).returns(o0=From("n0")), {"x": 1}, change=change)


def test_it_waits_once_and_then_starts() -> None:
    story = limited("", "parent")
    assert story.does(AwaitPlace()) == ["ExecutionWaiting"]
    assert list(story.last(facts.ExecutionWaiting).limits) == ["key/0"]
    assert story.does(AwaitPlace()) == []
    assert story.start()[-1] == "ExecutionSucceeded"
    assert story.last(facts.ExecutionSucceeded).queued


def test_one_that_has_started_does_not_wait() -> None:
    story = limited("")
    story.start()
    assert story.does(AwaitPlace()) == []


def test_one_that_waits_can_be_terminated_at_once() -> None:
    story = limited("")
    story.does(AwaitPlace())
    assert story.terminate() == ["AbortRequested", "ExecutionAborted"]
    assert story.last(facts.ExecutionAborted).queued
    assert story.does(AwaitPlace()) == story.start() == []


def test_one_whose_inputs_are_lost_says_at_its_end_that_it_had_places() -> None:
    story = limited("")
    assert story.state is not None
    uri = story.state.created.inputs.uri
    del story.blobs[uri]
    story.lost[uri] = "gone"
    assert story.start()[-1] == "ExecutionFailed BindingResolutionFailure"
    assert story.last(facts.ExecutionFailed).queued


@pytest.mark.parametrize("held_by", [(), ("parent",)])
def test_one_without_places_of_its_own_gives_none_back(held_by: tuple[str, ...]) -> None:
    story = limited(*held_by)
    story.start()
    assert not story.last(facts.ExecutionSucceeded).queued
