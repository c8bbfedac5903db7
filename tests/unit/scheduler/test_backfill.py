"""Backfills: which ticks are asked for, in which order, how many at once, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from flyteidl.admin.schedule_pb2 import HOUR, FixedRate, Schedule
from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested, TerminationRequested
from flightlog_protos.scheduler.v1.backfills_pb2 import BackfillStands
from services.scheduler.schedules.backfill import Progress, decide, fold
from services.scheduler.schedules.commands import (
    BackfillCommand,
    CancelBackfill,
    CreateBackfill,
    Refusal,
    Refused,
    RunEnded,
    RunExisted,
    RunRefused,
)
from services.scheduler.schedules.naming import tick_name
from tests.unit.scheduler.keeping import DAY, at, cron, moment, plan

SUCCEEDED, FAILED, ABORTED = WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED
MORNING = CreateBackfill("bf", plan("v"), cron("0 * * * *", kickoff="when"), "", at("01:00"), at("05:00"))
"""Four ticks, 01:00 to 04:00."""


@dataclass
class Filled:
    """A backfill and its history."""

    progress: Progress | None = None
    history: list[Message] = field(default_factory=list[Message])

    def tell(self, command: BackfillCommand) -> list[str]:
        """Gives a command; returns the names of the facts, without what each envelope ends with."""
        envelope = decide(self.progress, command, DAY)
        self.history.extend(envelope)
        assert not envelope or isinstance(envelope[-1], BackfillStands)
        whole = fold(self.history)
        assert fold(fact for fact in self.history if not isinstance(fact, BackfillStands)) == whole
        assert fold(self.history[-1:]) == whole
        self.progress = whole
        return [type(fact).__name__ for fact in envelope[:-1]]

    @property
    def now(self) -> Progress:
        assert self.progress is not None
        return self.progress

    @property
    def asked(self) -> list[ExecutionRequested]:
        return [fact for fact in self.history if isinstance(fact, ExecutionRequested)]

    @property
    def asked_times(self) -> list[datetime]:
        return [moment(fact.request.spec.metadata.scheduled_at) for fact in self.asked]

    def end(self, phase: WorkflowExecution.Phase = SUCCEEDED, number: int = 0) -> list[str]:
        return self.tell(RunEnded(self.now.execution(self.now.running[number]), phase))

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.now.succeeded, self.now.failed, self.now.skipped


def test_ticks_run_one_after_another_from_the_first_to_before_the_end() -> None:
    filled = Filled()
    assert filled.tell(MORNING) == ["BackfillRequested", "BackfillRunRequested", "ExecutionRequested"]
    assert (filled.now.request.total, filled.now.state) == (4, "running")
    for _ in range(3):
        assert filled.end() == ["BackfillRunEnded", "BackfillRunRequested", "ExecutionRequested"]
    assert filled.end() == ["BackfillRunEnded", "BackfillFinished"]
    assert filled.asked_times == [at(f"0{hour}:00") for hour in range(1, 5)]
    assert filled.now.ticks() == tuple(filled.asked_times)
    assert (filled.counts, filled.now.state, filled.now.running) == ((4, 0, 0), "finished", ())


def test_what_is_asked_for_is_what_the_schedule_would_ask_for() -> None:
    filled = Filled()
    filled.tell(MORNING)
    request = filled.asked[0].request
    assert request.name == tick_name(plan("v"), at("01:00"))
    assert request.spec.launch_plan == plan("v")
    assert moment(request.inputs.literals["when"].scalar.primitive.datetime) == at("01:00")
    assert not request.spec.overwrite_cache


def test_the_newest_first_and_several_at_once() -> None:
    filled = Filled()
    filled.tell(replace(MORNING, reverse=True, parallelism=3))
    assert filled.asked_times == [at("04:00"), at("03:00"), at("02:00")]
    filled.end(number=1)
    assert filled.asked_times[3:] == [at("01:00")]
    for _ in range(3):
        filled.end()
    assert filled.now.finished


def test_overwriting_runs_again_under_other_names_and_without_the_cache() -> None:
    filled, other = Filled(), Filled()
    filled.tell(replace(MORNING, overwrite=True, parallelism=4))
    other.tell(replace(MORNING, id="other", overwrite=True, parallelism=4))
    names = {asked.request.name for each in (filled, other) for asked in each.asked}
    assert len(names) == 8
    assert names.isdisjoint(tick_name(plan("v"), due) for due in filled.now.ticks())
    assert all(asked.request.spec.overwrite_cache for asked in filled.asked)


def test_what_has_run_for_its_tick_is_not_run_again() -> None:
    filled = Filled()
    filled.tell(MORNING)
    first = filled.asked[0].request.name
    assert filled.tell(RunExisted(first, SUCCEEDED))[0] == "BackfillTickSkipped"
    assert filled.tell(RunExisted(first, SUCCEEDED)) == []
    assert filled.asked_times == [at("01:00"), at("02:00")]
    assert filled.counts == (0, 0, 1)


def test_a_failure_counts_and_the_rest_goes_on() -> None:
    filled = Filled()
    filled.tell(MORNING)
    filled.end(FAILED)
    filled.end(ABORTED)
    refused = RunRefused(filled.asked[-1].request.name, "INVALID_ARGUMENT", "no")
    assert filled.tell(refused)[0] == "BackfillRunRefused"
    filled.end()
    assert (filled.counts, filled.now.state) == ((1, 3, 0), "finished")


def test_it_stops_at_a_failure_if_it_is_to_and_what_runs_goes_on() -> None:
    filled = Filled()
    filled.tell(replace(MORNING, stop_on_failure=True, parallelism=2))
    assert filled.end(FAILED) == ["BackfillRunEnded", "BackfillStopped"]
    assert (filled.now.state, filled.now.finished) == ("stopped", False)
    assert filled.end(FAILED) == ["BackfillRunEnded", "BackfillFinished"]
    assert (filled.counts, filled.now.state, len(filled.asked)) == ((0, 2, 0), "stopped", 2)


def test_cancelling_asks_for_nothing_more() -> None:
    filled = Filled()
    filled.tell(replace(MORNING, parallelism=2))
    assert filled.tell(CancelBackfill("enough")) == ["BackfillCancelled"]
    assert filled.tell(CancelBackfill("again")) == []
    assert (filled.now.state, filled.now.cancel_reason) == ("cancelled", "enough")
    assert filled.end() == ["BackfillRunEnded"]
    assert filled.end() == ["BackfillRunEnded", "BackfillFinished"]
    assert (filled.counts, filled.now.state, len(filled.asked)) == ((2, 0, 0), "cancelled", 2)


def test_cancelling_may_terminate_what_runs() -> None:
    filled = Filled()
    filled.tell(replace(MORNING, parallelism=2))
    assert filled.tell(CancelBackfill("enough", terminate=True)) == [
        "BackfillCancelled",
        "TerminationRequested",
        "TerminationRequested",
    ]
    asked = [fact for fact in filled.history if isinstance(fact, TerminationRequested)]
    assert [fact.execution_id.name for fact in asked] == [fact.request.name for fact in filled.asked]
    assert asked[0].cause == "backfill bf was cancelled: enough"


def test_what_is_over_or_was_never_there_is_not_cancelled() -> None:
    filled = Filled()
    filled.tell(replace(MORNING, end=at("02:00")))
    filled.end()
    with pytest.raises(Refused, match="is over: it is finished") as caught:
        filled.tell(CancelBackfill())
    assert caught.value.reason is Refusal.NOT_NOW
    with pytest.raises(Refused, match="there is no such backfill"):
        Filled().tell(CancelBackfill())


def test_the_same_one_again_is_one_backfill_and_another_one_is_refused() -> None:
    filled = Filled()
    filled.tell(MORNING)
    filled.end()
    assert filled.tell(MORNING) == []
    with pytest.raises(Refused, match=r"a backfill \[bf\] of something else exists already") as caught:
        filled.tell(replace(MORNING, reverse=True))
    assert caught.value.reason is Refusal.EXISTS


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (replace(MORNING, end=at("01:00")), "the range ends before it begins: from 2026-03-10T01:00"),
        (replace(MORNING, begin=at("01:01"), end=at("02:00")), "the range holds no tick of [0 * * * * UTC]"),
        (
            replace(MORNING, most_ticks=3),
            "the range holds more than 3 ticks of [0 * * * * UTC], the limit of a backfill: "
            "ask for several smaller ones",
        ),
        (
            replace(MORNING, schedule=cron("* * * * *"), end=DAY + timedelta(days=3650)),
            "the range holds more than 10000 ticks of [* * * * * UTC]",
        ),
        (
            replace(MORNING, schedule=cron("0 0 30 2 *")),
            "the launch plan's schedule cannot be backfilled: [0 0 30 2 *] names no day that exists",
        ),
        (replace(MORNING, schedule=Schedule()), "the launch plan's schedule cannot be backfilled: "),
        (replace(MORNING, begin=datetime(1, 1, 1, tzinfo=UTC)), "there are no ticks before the year 1900"),
        (replace(MORNING, parallelism=1001), "at most 1000 runs of a backfill go on at once"),
        (replace(MORNING, id=""), "the id of a backfill has 1 to 63 characters"),
    ],
)
def test_what_cannot_be_backfilled_is_refused(command: CreateBackfill, message: str) -> None:
    with pytest.raises(Refused) as caught:
        Filled().tell(command)
    assert caught.value.reason is Refusal.INVALID
    assert str(caught.value).startswith(message)


def test_fixed_rates_are_counted_from_the_activation_and_back() -> None:
    hourly = Schedule(rate=FixedRate(value=1, unit=HOUR))
    filled = Filled()
    filled.tell(replace(MORNING, schedule=hourly, since=at("09:20"), parallelism=9))
    assert filled.asked_times == [at(f"0{hour}:20") for hour in range(1, 5)]
    # A launch plan that was never activated: from the beginning of the range.
    never = Filled()
    never.tell(replace(MORNING, schedule=hourly, begin=at("01:10"), parallelism=9))
    assert never.asked_times == [at(f"0{hour}:10") for hour in range(1, 5)]


def test_a_zone_and_a_day_of_25_hours() -> None:
    filled = Filled()
    command = replace(
        MORNING,
        schedule=cron("30 2 * * *"),
        time_zone="Europe/Berlin",
        begin=datetime.fromisoformat("2026-10-24T00:00+02:00"),
        end=datetime.fromisoformat("2026-10-27T00:00+01:00"),
        parallelism=9,
    )
    filled.tell(command)
    assert [due.strftime("%d %H:%M") for due in filled.asked_times] == ["24 00:30", "25 00:30", "26 01:30"]


@settings(deadline=None)
@given(
    st.integers(0, 7),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(("succeeded", "failed", "existed", "refused", "cancel"))),
        max_size=40,
    ),
)
def test_any_backfill_asks_for_each_tick_once_and_in_order(
    parallelism: int, reverse: bool, overwrite: bool, stop: bool, events: list[tuple[int, str]]
) -> None:
    filled = Filled()
    command = replace(
        MORNING,
        begin=DAY,
        end=DAY + timedelta(hours=12),
        parallelism=parallelism,
        reverse=reverse,
        overwrite=overwrite,
        stop_on_failure=stop,
    )
    filled.tell(command)
    for number, event in [*events, *((0, "succeeded") for _ in range(12))]:
        if not filled.now.running:
            break
        assert len(filled.now.running) <= max(1, parallelism)
        name = filled.now.execution(filled.now.running[number % len(filled.now.running)])
        match event:
            case "succeeded":
                filled.tell(RunEnded(name, SUCCEEDED))
            case "failed":
                filled.tell(RunEnded(name, FAILED))
            case "existed":
                filled.tell(RunExisted(name, SUCCEEDED))
            case "refused":
                filled.tell(RunRefused(name, "INVALID_ARGUMENT", "no"))
            case _:
                filled.tell(CancelBackfill())
    assert filled.now.finished
    ticks = list(filled.now.ticks())
    expected = ticks[::-1] if reverse else ticks
    assert filled.asked_times == expected[: len(filled.asked_times)]
    assert sum(filled.counts) == len(filled.asked_times)
    if filled.now.state == "finished":
        assert filled.asked_times == expected
    assert len({asked.request.name for asked in filled.asked}) == len(filled.asked)
