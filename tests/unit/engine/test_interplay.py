"""Rules of different kinds of nodes where they meet: a decision that ends one and stops another, and the like."""

from __future__ import annotations

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, Flow, From, Story
from tests.unit.engine.test_caching import answer, cached, started


def overwrite(created: facts.ExecutionCreated) -> None:
    created.config.overwrite_cache = True


# ---------------------------------------------------------------------------------------------------- caching


def test_a_node_that_waits_for_a_place_may_need_data_to_run() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}).echo("n1"), "n1", serialize=True)
    story = Story(flow, {"x": 4}, parallelism=1, change=overwrite)
    story.start()
    assert story.succeeds("n0")[-2:] == ["AttemptSucceeded n1#0", "CachePutRequested n1#0"]


def test_a_node_is_not_queued_that_a_failure_of_the_same_moment_has_ended() -> None:
    flow = Flow().task("n0", {"a": INPUT}).task("n1", {"a": INPUT}).task("n2", {"a": From("n0", "o0", ("nothing",))})
    story = started(cached(flow, "n0", "n1"))
    told = story.does(engine.AnswerCache((answer(story, "n0", "FOUND"), answer(story, "n1", "NOT_FOUND"))))
    assert told[-2:] == ["NodeAborted n1 NodeAborted", "ExecutionFailed BindingResolutionFailure"]
    assert story.phases()["n1"] == "ABORTED"


def test_an_answer_that_comes_twice_at_once_queues_a_node_once() -> None:
    story = started(cached(Flow().task("n0", {"a": INPUT}), "n0"))
    unknown = answer(story, "n0", "NOT_FOUND")
    told = story.does(engine.AnswerCache((unknown, unknown)))
    assert told == ["NodeQueued n0", "AttemptScheduled n0#0", "NodeStarted n0"]
