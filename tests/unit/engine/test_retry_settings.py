"""How retries can be configured: one budget for all failures, defaults, pauses, the last attempt on demand."""

from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import MORNING, Flow, Story


def started(flow: Flow, **given: Any) -> Story:
    given = {"retry_backoff_base": timedelta(), **given}
    story = Story(flow, {"x": 1}, settings=engine.EngineSettings(**given))
    story.start()
    return story


def interruptible(story: Story) -> bool:
    return story.last(facts.AttemptScheduled).interruptible


# ---------------------------------------------------------------------------------------------------- one budget


def test_one_budget_counts_failures_of_all_kinds() -> None:
    story = started(Flow().task("n0", retries=2), ignore_retry_cause=True)
    assert story.exits("n0", 1, 0)[1] == "RetryScheduled n0#1"
    assert story.fails("n0", 1, recoverable=True)[1] == "RetryScheduled n0#2"
    assert story.sees("n0", "LOST", 2)[1] == "NodeFailed n0 RetriesExhausted|ResourceDeletedExternally"
    assert story.error().message.startswith("[3/3] currentAttempt done. Last Error: SYSTEM::")
    assert story.error().kind == ExecutionError.USER


def test_one_budget_of_one_attempt() -> None:
    story = started(Flow().task("n0"), ignore_retry_cause=True)
    assert story.exits("n0", 1)[1] == "NodeFailed n0 RetriesExhausted|Interrupted"


def test_with_one_budget_the_last_attempt_is_on_demand() -> None:
    story = started(Flow().task("n0", retries=2, interruptible=True), ignore_retry_cause=True)
    for attempt, expected in enumerate((True, True, False)):
        assert interruptible(story) == expected
        story.fails("n0", attempt, recoverable=True)
    story = started(Flow().task("n0", interruptible=True), ignore_retry_cause=True)
    assert interruptible(story)


def test_permanent_failures_are_not_retried_all_the_same() -> None:
    story = started(Flow().task("n0", retries=2), ignore_retry_cause=True)
    assert story.fails("n0")[1] == "NodeFailed n0 USER:Boom"


# ---------------------------------------------------------------------------------------------------- on demand


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (-1, [True, True, True, False]),
        (-2, [True, True, False, False]),
        (-9, [False] * 4),
        (0, [False] * 4),
        (1, [True, False, False, False]),
        (9, [True] * 4),
    ],
)
def test_threshold_of_system_failures(threshold: int, expected: list[bool]) -> None:
    story = started(Flow().task("n0", interruptible=True), interruptible_failure_threshold=threshold)
    seen: list[bool] = []
    for attempt in range(4):
        seen.append(interruptible(story))
        story.sees("n0", "LOST", attempt)
    assert seen == expected


def test_failures_of_the_user_leave_it_interruptible() -> None:
    story = started(Flow().task("n0", retries=1, interruptible=True))
    story.fails("n0", recoverable=True)
    assert interruptible(story)


# ---------------------------------------------------------------------------------------------------- defaults


def test_default_attempts_hold_where_nothing_is_said() -> None:
    story = started(Flow().task("n0"), default_max_attempts=3)
    story.fails("n0", 0, recoverable=True)
    story.fails("n0", 1, recoverable=True)
    assert story.fails("n0", 2, recoverable=True)[1] == "NodeFailed n0 RetriesExhausted|USER:Boom"
    story = started(Flow().task("n0", retries=1), default_max_attempts=3)
    story.fails("n0", 0, recoverable=True)
    assert story.fails("n0", 1, recoverable=True)[1] == "NodeFailed n0 RetriesExhausted|USER:Boom"


def test_default_attempts_do_not_repeat_workflows() -> None:
    story = started(Flow().sub("s", Flow("inner").task("i"), timeout=8), default_max_attempts=3)
    story.fire("s/0/attempt")
    assert story.sees("s-0-i", "KILLED")[2] == "NodeFailed s RetriesExhausted|TimeoutExpired"


# ---------------------------------------------------------------------------------------------------- pauses


def pauses(annotations: dict[str, str], attempts: int = 4, **given: Any) -> list[float]:
    flow = Flow().task("n0", retries=9)
    flow.tasks["n0"].metadata.metadata.annotations.update(annotations)
    given = {"retry_backoff_base": timedelta(seconds=1), "retry_backoff_max": timedelta(seconds=30), **given}
    story = started(flow, **given)
    seen: list[float] = []
    for attempt in range(attempts):
        story.fails("n0", attempt, recoverable=True)
        due = story.last(facts.RetryScheduled).due.ToDatetime(MORNING.tzinfo)
        seen.append((due - MORNING).total_seconds())
        story.fire(f"n0/{attempt + 1}/retry")
    return seen


def test_pauses_are_those_the_task_asks_for() -> None:
    assert pauses({}) == [1, 2, 4, 8]
    assert pauses({"flightlog/retry-backoff": "10s"}) == [10, 20, 30, 30]
    assert pauses({"flightlog/retry-backoff": "10s", "flightlog/retry-backoff-max": "1h"}) == [10, 20, 40, 80]
    assert pauses({"flightlog/retry-backoff": "2m"}) == [120, 120, 120, 120]
    assert pauses({"flightlog/retry-backoff-max": "2s"}) == [1, 2, 2, 2]
    assert pauses({"flightlog/retry-backoff": "0"}) == [0, 0, 0, 0]


def test_an_annotation_that_is_no_duration_says_nothing() -> None:
    assert pauses({"flightlog/retry-backoff": "soon"}, 1) == [1]
