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


# ---------------------------------------------------------------------------------------------------- failure nodes


def test_a_workflow_lost_while_its_failure_node_asks_shows_the_node() -> None:
    flow = Flow().task("n0", {"a": INPUT}).task("fn", {"a": INPUT}).on_failure()
    story = started(cached(flow, "fn"))
    assert story.fails("n0")[-1] == "CacheAsked fn"
    unknown = answer(story, "fn", "NOT_FOUND")
    story.program = engine.Program.unrunnable("gone")
    told = story.does(engine.AnswerCache((unknown,)))
    assert [line.split()[0] for line in told] == ["NodeQueued", "NodeFailing", "NodeFailed", "ExecutionFailed"]
    assert story.error().code == "BadSpecificationError"


def test_a_workflow_lost_while_a_failure_nodes_own_failure_is_handled_ends() -> None:
    deepest = Flow("deepest").task("n0", {"a": INPUT})
    inner = Flow("inner").task("n0", {"a": INPUT}).sub("fn", deepest, {"x": INPUT}).on_failure()
    story = started(Flow().task("n0", {"a": INPUT}).sub("fn", inner, {"x": INPUT}).on_failure())
    story.fails("n0")
    story.fails("fn-0-n0")
    story.program = engine.Program.unrunnable("gone")
    story.succeeds("fn-0-fn-0-n0")
    assert story.error().code == "BadSpecificationError"
    assert {story.phases()[node] for node in ("fn-0-fn", "fn")} == {"FAILED"}
