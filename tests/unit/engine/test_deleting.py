"""Deleting an execution: only one that is over, once, and nothing of it is known after that."""

import pytest

from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from services.execution import engine
from tests.unit.engine.story import Flow, Story

DELETE = engine.DeleteExecution("old enough", "ada")


def over() -> Story:
    story = Story(Flow().echo("n0", 1))
    story.start()
    assert story.state is not None
    assert story.state.phase.terminal
    return story


def is_deleted(story: Story) -> bool:
    return story.state is not None and story.state.deleted


def test_one_that_is_over_is_deleted_by_one_fact_that_says_why_and_by_whom() -> None:
    story = over()
    (fact,) = story.decided(DELETE)
    assert isinstance(fact, ExecutionDeleted)
    assert (fact.reason, fact.principal) == ("old enough", "ada")
    assert fact.HasField("occurred_at")
    assert is_deleted(story)


@pytest.mark.parametrize("started", [False, True])
def test_one_that_is_not_over_is_not_deleted(started: bool) -> None:
    story = Story(Flow().task("n0"))
    if started:
        story.start()
    with pytest.raises(engine.Refused) as refused:
        story.decided(DELETE)
    assert refused.value.reason is engine.Refusal.NOT_OVER
    story.terminate(force=True)
    assert not is_deleted(story)
    story.decided(DELETE)
    assert is_deleted(story)


def test_one_that_never_was_cannot_be_deleted() -> None:
    with pytest.raises(engine.Refused) as refused:
        engine.decide(None, DELETE, None)  # pyright: ignore[reportArgumentType]  # nothing of it is looked at
    assert refused.value.reason is engine.Refusal.NOT_FOUND
