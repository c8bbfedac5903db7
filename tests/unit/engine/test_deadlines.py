"""Deadlines that nobody gave the node itself: the server's own, and the execution's queueing budget."""

from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, Flow, Story


def started(flow: Flow, **options: Any) -> Story:
    story = Story(flow, {"x": 1}, **options)
    story.start()
    return story


def settings(**given: Any) -> engine.EngineSettings:
    return engine.EngineSettings(retry_backoff_base=timedelta(), **given)


def budget(seconds: int) -> dict[str, Any]:
    def change(created: facts.ExecutionCreated) -> None:
        created.config.queueing_budget.FromTimedelta(timedelta(seconds=seconds))

    return {"change": change}


# ---------------------------------------------------------------------------------------------------- queueing


def test_attempt_that_queues_too_long_fails_and_uses_up_the_tasks_budget() -> None:
    story = started(Flow().task("n0", retries=1), **budget(30))
    assert story.last(facts.TimerSet).timer_id == "n0/0/queue"
    story.sees("n0", "WAITING_FOR_RESOURCES", reason="4 of 8 cores are free")
    assert story.fire("n0/0/queue") == ["AttemptAborting n0#0 QueueingBudgetExceeded"]
    assert story.sees("n0", "KILLED") == [
        "AttemptAborted n0#0",
        "RetryScheduled n0#1",
        "AttemptScheduled n0#1",
        "TimerSet n0/1/queue",
    ]
    story.fire("n0/1/queue")
    story.sees("n0", "KILLED", 1)
    assert story.error() == ExecutionError(
        code="RetriesExhausted|QueueingBudgetExceeded",
        message="[2/2] currentAttempt done. Last Error: USER::the task did not start within the queueing budget [30s]",
        kind=ExecutionError.USER,
    )


def test_attempt_that_runs_in_time_is_left_alone() -> None:
    story = started(Flow().task("n0"), **budget(30))
    story.sees("n0", "RUNNING")
    assert story.fire("n0/0/queue") == []
    assert story.succeeds("n0")[-1] == "ExecutionSucceeded"
    assert story.fire("n0/0/queue") == []


def test_attempt_that_ran_in_time_and_waits_again_is_left_alone() -> None:
    story = started(Flow().task("n0"), **budget(30))
    story.sees("n0", "RUNNING")
    story.sees("n0", "QUEUED", reason="Suspended")
    assert story.fire("n0/0/queue") == []


def test_what_is_being_stopped_is_not_late() -> None:
    story = started(Flow().task("n0"), **budget(30))
    story.terminate()
    assert story.fire("n0/0/queue") == []


def test_waiting_for_max_parallelism_is_not_queueing() -> None:
    story = started(Flow().task("a").task("b"), parallelism=1, **budget(30))
    timers = [fact.timer_id for fact in story.history if isinstance(fact, facts.TimerSet)]
    assert timers == ["a/0/queue"]


@pytest.mark.parametrize(
    ("execution", "workflow", "server", "expected"),
    [(None, 0, 0, None), (None, 0, 9, 9), (None, 7, 9, 7), (5, 7, 9, 5), (0, 7, 9, None), (-3, 7, 9, None)],
)
def test_budget_is_taken_from_the_nearest(
    execution: int | None, workflow: int, server: int, expected: int | None
) -> None:
    flow = Flow().task("n0")
    if workflow:
        flow.metadata.quality_of_service.spec.queueing_budget.seconds = workflow
    given = budget(execution) if execution is not None else {}
    story = started(flow, settings=settings(queueing_budget=timedelta(seconds=server)), **given)
    armed = [
        fact.due.seconds - int(story.now.timestamp()) for fact in story.history if isinstance(fact, facts.TimerSet)
    ]
    assert armed == ([] if expected is None else [expected])


def test_budget_of_the_workflow_holds_inside_others() -> None:
    inner = Flow("inner").task("i")
    flow = Flow().sub("s", inner)
    flow.metadata.quality_of_service.spec.queueing_budget.seconds = 4
    assert started(flow).last(facts.TimerSet).timer_id == "s-0-i/0/queue"


# ---------------------------------------------------------------------------------------------------- the server's own


def test_default_timeouts_hold_for_tasks_that_have_none() -> None:
    given = settings(attempt_timeout=timedelta(seconds=60), node_timeout=timedelta(seconds=90))
    story = started(
        Flow().task("a").task("b", timeout=8).sub("s", Flow("inner").echo("e"), {"x": INPUT}), settings=given
    )
    dues = {
        fact.timer_id: fact.due.seconds - int(story.now.timestamp())
        for fact in story.history
        if isinstance(fact, facts.TimerSet)
    }
    assert dues == {"a/0/attempt": 60, "a/0/node": 90, "b/0/attempt": 8, "b/0/node": 16}
    story.fire("a/0/attempt")
    story.sees("a", "KILLED")
    assert story.last(facts.NodeFailed).error.message.endswith("task execution timeout [1m0s] expired")


def test_default_timeout_of_the_node_alone() -> None:
    story = started(Flow().task("a", retries=5), settings=settings(node_timeout=timedelta(seconds=90)))
    assert [fact.timer_id for fact in story.history if isinstance(fact, facts.TimerSet)] == ["a/0/node"]
    story.fire("a/0/node")
    assert story.sees("a", "KILLED")[1:3] == ["NodeTimedOut a", "ExecutionFailing Timeout"]
