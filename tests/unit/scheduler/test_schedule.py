"""What follows from a schedule's commands: each tick considered once, by its policies."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import pytest
from flyteidl.admin.execution_pb2 import ExecutionMetadata
from flyteidl.admin.schedule_pb2 import DAY as RATE_DAY
from flyteidl.admin.schedule_pb2 import HOUR, FixedRate, Schedule
from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.message import Message

from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested, TerminationRequested
from flightlog_protos.scheduler.v1.schedules_pb2 import CatchUp, Overlap, SchedulePolicy, TickFired
from services.scheduler.schedules.commands import (
    Activate,
    Limits,
    Pause,
    Refusal,
    Refused,
    Resume,
    RunEnded,
    RunExisted,
    RunRefused,
    Wake,
)
from services.scheduler.schedules.position import MOST_FOLLOWED, Position, Tick, fold
from services.scheduler.schedules.schedule import decide, next_alarm, next_ticks
from tests.unit.scheduler.keeping import DAY, KEY, Kept, at, cron, moment, plan, policy

HOURLY = cron("0 * * * *")
SKIP, WAIT, REPLACE = (
    policy(Overlap.OVERLAP_SKIP),
    policy(Overlap.OVERLAP_WAIT),
    policy(Overlap.OVERLAP_REPLACE),
)


def of_kind(history: list[Message], kind: type[Message]) -> list[Message]:
    return [fact for fact in history if isinstance(fact, kind)]


def requests(kept: Kept) -> list[ExecutionRequested]:
    return [fact for fact in kept.history if isinstance(fact, ExecutionRequested)]


def test_a_tick_fires_when_it_is_due_and_the_alarm_moves_on() -> None:
    kept = Kept()
    assert kept.alarm is None
    assert kept.activate(HOURLY, at("05:30")) == ["activated v"]
    assert kept.alarm == at("06:00")
    assert kept.wake(at("05:59:59")) == []
    assert kept.wake(at("06:00")) == ["fired 06:00"]
    assert kept.alarm == at("07:00")
    assert list(islice(next_ticks(kept.position), 2)) == [at("07:00"), at("08:00")]


def test_what_is_asked_for_at_a_tick() -> None:
    kept = Kept()
    kept.activate(cron("0 * * * *", kickoff="when"), at("05:30"))
    kept.wake(at("06:00:02"))
    fired = next(fact for fact in kept.history if isinstance(fact, TickFired))
    request = requests(kept)[0].request
    assert (request.project, request.domain, request.name) == ("p", "d", fired.execution_id.name)
    assert request.spec.launch_plan == plan("v")
    assert request.spec.metadata.mode == ExecutionMetadata.SCHEDULED
    assert moment(request.spec.metadata.scheduled_at) == at("06:00")
    assert list(request.inputs.literals) == ["when"]
    assert moment(request.inputs.literals["when"].scalar.primitive.datetime) == at("06:00")
    assert not request.spec.overwrite_cache
    assert not request.spec.HasField("labels")
    assert not request.spec.HasField("notifications")


def test_the_kickoff_time_of_a_fixed_rate_is_given_too() -> None:
    kept = Kept()
    hourly = Schedule(rate=FixedRate(value=1, unit=HOUR), kickoff_time_input_arg="when")
    kept.activate(hourly, at("05:30:10"))
    assert kept.alarm == at("06:30:10")
    assert kept.wake(at("06:30:11")) == ["fired 06:30:10"]
    literal = requests(kept)[0].request.inputs.literals["when"]
    assert moment(literal.scalar.primitive.datetime) == at("06:30:10")


def test_a_fixed_rate_does_not_drift_with_restarts_and_late_alarms() -> None:
    kept = Kept()
    kept.activate(Schedule(rate=FixedRate(value=1, unit=HOUR)), at("00:10"))
    due: list[datetime] = []
    for late in (1, 59, 0, 30, 7):
        assert kept.alarm is not None
        due.append(kept.alarm)
        kept.wake(kept.alarm + timedelta(minutes=late))
    assert due == [at(f"0{hour}:10") for hour in range(1, 6)]


def test_waking_again_and_a_clock_that_goes_back_fire_nothing_twice() -> None:
    kept = Kept()
    kept.activate(HOURLY, at("05:30"))
    assert kept.wake(at("08:00")) == ["fired 06:00 late", "fired 07:00 late", "fired 08:00"]
    for now in (at("08:00"), at("06:00"), at("05:00"), at("08:59")):
        assert kept.wake(now) == []
    assert kept.alarm == at("09:00")
    # Not even an activation that the registry dates back.
    assert kept.deactivate(at("06:10")) == ["deactivated"]
    assert kept.activate(HOURLY, at("06:20")) == ["activated v"]
    assert kept.wake(at("08:30")) == []
    assert kept.wake(at("09:00")) == ["fired 09:00"]


@pytest.mark.parametrize(
    ("catch_up", "happened"),
    [
        (CatchUp.CATCH_UP_ALL, [*(f"fired {hour:02}:00 late" for hour in range(1, 24)), "fired 1d00:00 late"]),
        (CatchUp.CATCH_UP_UNSPECIFIED, [*(f"fired {hour:02}:00 late" for hour in range(1, 24)), "fired 1d00:00 late"]),
        (CatchUp.CATCH_UP_LATEST, ["skipped 01:00-23:00 (23) missed", "fired 1d00:00 late"]),
        (CatchUp.CATCH_UP_NONE, ["skipped 01:00-1d00:00 (24) missed"]),
    ],
)
def test_a_day_of_downtime(catch_up: CatchUp, happened: list[str]) -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, policy(catch_up=catch_up))
    assert kept.wake(DAY + timedelta(days=1, minutes=10)) == happened
    assert kept.alarm == DAY + timedelta(days=1, hours=1)


def test_what_is_due_just_now_was_not_missed() -> None:
    late = timedelta(seconds=59)
    for catch_up in (CatchUp.CATCH_UP_LATEST, CatchUp.CATCH_UP_NONE):
        kept = Kept()
        kept.activate(HOURLY, DAY, policy(catch_up=catch_up))
        assert kept.wake(at("03:00") + late) == ["skipped 01:00-02:00 (2) missed", "fired 03:00"]


def test_a_long_downtime_is_caught_up_in_many_envelopes() -> None:
    kept = Kept(Limits(fired_at_once=10))
    kept.activate(cron("* * * * *"), DAY)
    now = at("01:00")
    assert len(kept.wake(now)) == 10
    assert kept.alarm == at("00:11")
    assert len(kept.wake_all(now)) == 50
    assert [moment(fact.due) for fact in kept.history if isinstance(fact, TickFired)] == [
        DAY + timedelta(minutes=minute) for minute in range(1, 61)
    ]


def test_a_long_downtime_is_passed_over_in_many_envelopes_and_the_latest_fires() -> None:
    kept = Kept(Limits(considered_at_once=20))
    kept.activate(cron("* * * * *"), DAY, policy(catch_up=CatchUp.CATCH_UP_LATEST))
    assert kept.wake(at("01:00:30")) == ["skipped 00:01-00:20 (20) missed"]
    assert kept.wake_all(at("01:00:30")) == [
        "skipped 00:21-00:40 (20) missed",
        "skipped 00:41-00:59 (19) missed",
        "fired 01:00",
    ]


def test_a_hundred_days_of_missed_minutes_are_passed_over_in_few_envelopes() -> None:
    kept = Kept()
    kept.activate(cron("* * * * *"), DAY, policy(catch_up=CatchUp.CATCH_UP_NONE))
    happened = kept.wake_all(DAY + timedelta(days=100))
    assert len(happened) == 14 + 3
    assert happened[-2:] == ["fired 99d23:59", "fired 100d00:00"]


def woken_by_alarm(how: SchedulePolicy, schedule: Schedule, until: datetime) -> tuple[list[datetime], list[datetime]]:
    """When it was woken, and the ticks that fired; each run ends before the next alarm."""
    woken, fired = list[datetime](), list[datetime]()
    position = fold(decide(Position(), KEY, Activate(plan("v"), schedule, how, DAY, 1), DAY))
    while (alarm := next_alarm(position)) is not None and alarm <= until:
        woken.append(alarm)
        envelope = decide(position, KEY, Wake(), alarm)
        fired += [moment(fact.due) for fact in envelope if isinstance(fact, TickFired)]
        position = fold(envelope[-1:])
        for tick in position.running:
            ended = RunEnded(KEY.execution(tick), WorkflowExecution.SUCCEEDED)
            position = fold(decide(position, KEY, ended, alarm)[-1:])
    return woken, fired


@pytest.mark.parametrize(
    ("expression", "step", "number"),
    [
        ("* * * * *", timedelta(minutes=1), 1440),
        ("0 * * * *", timedelta(hours=1), 1440),
        ("0 0 * * *", timedelta(days=1), 365),
    ],
)
def test_its_alarms_fire_each_tick_exactly_once(expression: str, step: timedelta, number: int) -> None:
    expected = [DAY + count * step for count in range(1, number + 1)]
    assert woken_by_alarm(policy(), cron(expression), DAY + number * step) == (expected, expected)


def test_overlap_allow_starts_all() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY)
    kept.wake(at("01:00"))
    assert kept.wake(at("02:00")) == ["fired 02:00"]
    assert len(kept.position.running) == 2
    assert kept.end(0, at("02:10")) == ["ended 01:00 succeeded"]
    assert [tick.due for tick in kept.position.running] == [at("02:00")]


def test_overlap_skip_leaves_out_what_is_due_meanwhile() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, SKIP)
    kept.wake(at("01:00"))
    assert kept.wake(at("02:00")) == ["skipped 02:00 overlap"]
    assert kept.wake(at("03:00")) == ["skipped 03:00 overlap"]
    assert kept.end(0, at("03:30"), WorkflowExecution.FAILED) == ["ended 01:00 failed"]
    assert kept.wake(at("04:00")) == ["fired 04:00"]


def test_overlap_wait_starts_them_in_order() -> None:
    kept = Kept()
    kept.activate(cron("0 * * * *", kickoff="when"), DAY, WAIT)
    assert kept.wake(at("01:00")) == ["fired 01:00"]
    assert kept.wake(at("03:00")) == ["waits 02:00", "waits 03:00"]
    assert kept.alarm == at("04:00")
    assert kept.end(0, at("03:20")) == ["ended 01:00 succeeded", "fired 02:00"]
    assert kept.end(0, at("03:40"), WorkflowExecution.ABORTED) == ["ended 02:00 aborted", "fired 03:00"]
    assert kept.position.waiting == ()
    literal = requests(kept)[1].request.inputs.literals["when"]
    assert moment(literal.scalar.primitive.datetime) == at("02:00")


def test_a_full_queue_leaves_the_rest_until_there_is_room() -> None:
    kept = Kept(Limits(waiting=2))
    kept.activate(HOURLY, DAY, WAIT)
    assert kept.wake(at("06:00")) == ["fired 01:00 late", "waits 02:00", "waits 03:00"]
    assert kept.alarm is None
    assert kept.end(0, at("06:10")) == ["ended 01:00 succeeded", "fired 02:00", "waits 04:00"]
    assert kept.end(0, at("06:20")) == ["ended 02:00 succeeded", "fired 03:00", "waits 05:00"]
    assert kept.end(0, at("06:30")) == ["ended 03:00 succeeded", "fired 04:00", "waits 06:00"]
    assert kept.alarm is None
    assert kept.end(0, at("06:40")) == ["ended 04:00 succeeded", "fired 05:00"]
    assert kept.alarm == at("07:00")


def test_overlap_replace_ends_the_old_run_before_the_new_one_starts() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, REPLACE)
    kept.wake(at("01:00"))
    running = kept.position.running[0]
    assert kept.wake(at("02:00")) == ["stopping 01:00", "waits 02:00"]
    asked = [fact for fact in kept.history if isinstance(fact, TerminationRequested)]
    assert [fact.execution_id.name for fact in asked] == [KEY.execution(running)]
    assert asked[0].cause == "replaced by the run that its schedule has for 2026-03-10T02:00:00+00:00"
    # It takes long to end: the next tick takes the place of the one that waits, and asks for nothing again.
    assert kept.wake(at("03:00")) == ["skipped 02:00 replaced after waiting", "waits 03:00"]
    assert kept.end(0, at("03:10"), WorkflowExecution.ABORTED) == ["ended 01:00 aborted", "fired 03:00"]
    assert len(of_kind(kept.history, TerminationRequested)) == 1


def test_overlap_replace_starts_only_the_last_of_what_was_missed() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, REPLACE)
    assert kept.wake(at("04:30")) == ["skipped 01:00-03:00 (3) replaced", "fired 04:00 late"]


def test_a_run_is_not_terminated_in_the_envelope_that_asks_for_it() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, REPLACE, version="old")
    kept.sequence += 1
    command = Activate(plan("new"), cron("30 * * * *"), REPLACE, at("01:10"), kept.sequence)
    assert kept.tell(command, at("01:40")) == ["activated new", "fired 01:00 late", "over old"]
    assert kept.alarm == at("01:30")
    assert kept.wake(at("01:40")) == ["stopping 01:00", "waits 01:30"]


def test_runs_that_were_there_already_or_cannot_be_are_over() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, WAIT)
    kept.wake(at("03:00"))
    first = KEY.execution(kept.position.running[0])
    assert kept.tell(RunExisted(first, WorkflowExecution.RUNNING), at("03:01")) == ["existed 01:00", "fired 02:00"]
    second = KEY.execution(kept.position.running[0])
    refused = RunRefused(second, "FAILED_PRECONDITION", "the project is not active")
    assert kept.tell(refused, at("03:02")) == ["refused 02:00 FAILED_PRECONDITION", "fired 03:00"]
    # What was told before, and what nobody asked for.
    for name in (first, second, "another"):
        assert kept.tell(RunEnded(name, WorkflowExecution.SUCCEEDED), at("03:03")) == []


def test_a_pause_passes_ticks_and_says_how_many() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY)
    assert kept.tell(Pause("maintenance"), at("00:30")) == ["paused"]
    assert kept.tell(Pause("again"), at("00:31")) == []
    assert (kept.position.paused, kept.position.pause_reason, kept.alarm) == (True, "maintenance", None)
    assert kept.wake(at("05:00")) == []
    assert kept.tell(Resume(), at("05:30")) == ["skipped 01:00-05:00 (5) paused", "resumed"]
    assert kept.tell(Resume(), at("05:31")) == []
    assert kept.wake(at("06:00")) == ["fired 06:00"]


def test_a_pause_in_which_nothing_was_due_says_nothing() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY)
    kept.tell(Pause(), at("00:10"))
    assert kept.tell(Resume(), at("00:20")) == ["resumed"]
    assert kept.alarm == at("01:00")


def test_what_waits_when_it_is_paused_waits_until_it_is_resumed() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, WAIT)
    kept.wake(at("02:00"))
    kept.tell(Pause(), at("02:10"))
    assert kept.end(0, at("02:20")) == ["ended 01:00 succeeded"]
    assert kept.tell(Resume(), at("03:30")) == ["skipped 03:00 paused", "resumed", "fired 02:00"]


def test_only_an_active_schedule_is_paused_or_resumed() -> None:
    kept = Kept()
    for command in (Pause(), Resume()):
        with pytest.raises(Refused, match="p/d/n has no active launch plan with a schedule") as caught:
            kept.tell(command, DAY)
        assert caught.value.reason is Refusal.NOT_NOW
    kept.activate(cron("0 0 30 2 *"), DAY)
    with pytest.raises(Refused, match=r"could be paused: \[0 0 30 2 \*\] names no day that exists"):
        kept.tell(Pause(), DAY)


def test_deactivation_ends_what_waits_and_the_pause() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, WAIT)
    kept.wake(at("02:00"))
    kept.tell(Pause(), at("02:30"))
    assert kept.deactivate(at("04:30")) == [
        "skipped 02:00 deactivated after waiting",
        "skipped 03:00-04:00 (2) deactivated",
        "deactivated",
    ]
    assert (kept.position.paused, kept.alarm) == (False, None)
    assert kept.wake(at("06:00")) == []
    # What runs is still looked after, and counts when a version is active again.
    assert kept.activate(HOURLY, at("06:30"), SKIP) == ["activated v"]
    assert kept.wake(at("07:00")) == ["skipped 07:00 overlap"]
    assert kept.end(0, at("07:30")) == ["ended 01:00 succeeded"]
    assert kept.wake(at("08:00")) == ["fired 08:00"]


def test_the_same_version_again_goes_on_after_its_new_activation() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY)
    kept.wake(at("01:00"))
    kept.deactivate(at("01:30"))
    kept.activate(HOURLY, at("05:30"))
    assert kept.wake(at("06:00")) == ["fired 06:00"]


def test_another_version_takes_over_and_the_old_one_s_ticks_are_not_lost() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, WAIT, version="old")
    assert kept.wake(at("01:00")) == ["fired 01:00"]
    # Nobody looked from 01:00 to 04:00.
    kept.sequence += 1
    command = Activate(plan("new"), cron("30 * * * *"), WAIT, at("03:10"), kept.sequence)
    assert kept.tell(command, at("04:00")) == [
        "activated new",
        "waits 02:00",
        "waits 03:00",
        "over old",
        "waits 03:30",
    ]
    assert kept.alarm == at("04:30")
    for due, version in (("02:00", "old"), ("03:00", "old"), ("03:30", "new")):
        assert kept.end(0, at("04:10"))[-1] == f"fired {due}"
        assert requests(kept)[-1].request.spec.launch_plan.version == version


def test_a_takeover_in_the_midst_of_a_catch_up_finishes_it_first() -> None:
    kept = Kept(Limits(fired_at_once=2))
    kept.activate(HOURLY, DAY, version="old")
    assert kept.wake(at("05:00")) == ["fired 01:00 late", "fired 02:00 late"]
    assert kept.activate(cron("30 * * * *"), at("05:10"), version="new") == [
        "activated new",
        "fired 03:00 late",
        "fired 04:00 late",
    ]
    assert kept.wake_all(at("05:40")) == ["fired 05:00 late", "over old", "fired 05:30 late"]


def test_a_takeover_that_is_dated_back_leaves_no_tick_to_two_versions() -> None:
    kept = Kept(Limits(fired_at_once=1))
    kept.activate(HOURLY, DAY, version="old")
    kept.activate(HOURLY, at("06:30"), version="new")
    kept.activate(HOURLY, at("03:30"), version="old")
    assert [span.considered for span in kept.position.spans] == [at("02:00"), at("06:30"), at("06:30")]


def test_versions_that_come_and_go_during_a_pause_are_not_kept() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, version="a")
    kept.tell(Pause(), at("00:30"))
    assert kept.activate(HOURLY, at("02:30"), version="b") == [
        "activated b",
        "skipped 01:00-02:00 (2) paused",
        "over a",
    ]
    assert kept.activate(HOURLY, at("02:40"), version="c") == ["activated c", "over b"]
    assert len(kept.position.spans) == 1
    assert kept.tell(Resume(), at("04:30")) == ["skipped 03:00-04:00 (2) paused", "resumed"]


@pytest.mark.parametrize(
    ("catch_up", "happened"),
    [
        (CatchUp.CATCH_UP_ALL, ["fired 01:00 late", "fired 02:00 late", "over a", "over b"]),
        (CatchUp.CATCH_UP_LATEST, ["skipped 01:00 missed", "fired 02:00 late", "over a", "over b"]),
        (CatchUp.CATCH_UP_NONE, ["skipped 01:00-02:00 (2) missed", "over a", "over b"]),
    ],
)
def test_what_was_due_just_before_a_takeover_that_nobody_saw_was_missed(catch_up: CatchUp, happened: list[str]) -> None:
    """It is hours ago when the takeover is taken in, whatever the time between the two."""
    kept = Kept()
    how = policy(catch_up=catch_up)
    kept.activate(HOURLY, DAY, how, version="a")
    superseded = Activate(plan("b"), cron("0 12 * * *"), how, at("02:00:30"), 2, superseded=True)
    assert kept.tell(superseded, at("09:30")) == ["activated b"]
    last = Activate(plan("c"), cron("0 12 * * *"), how, at("05:00"), 3)
    assert kept.tell(last, at("09:30")) == ["activated c", *happened]


def test_runs_that_never_end_do_not_make_envelopes_grow_without_end() -> None:
    kept = Kept()
    position = fold(decide(Position(), KEY, Activate(plan("v"), cron("@every 1s"), policy(), DAY, 1), DAY))
    for _ in range(15):
        envelope = decide(position, KEY, Wake(), at("01:00"))
        position = fold(envelope[-1:])
    assert len(position.running) == MOST_FOLLOWED < 15 * kept.limits.fired_at_once
    # The latest ones are followed; the end of an earlier one is nobody's business any more.
    assert position.running[-1].due == DAY + timedelta(seconds=15 * kept.limits.fired_at_once)
    first = KEY.execution(Tick("v", DAY + timedelta(seconds=1)))
    facts = decide(position, KEY, RunEnded(first, WorkflowExecution.SUCCEEDED), at("00:30"))
    assert facts == ()


def test_what_the_registry_said_before_changes_nothing() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, version="old")
    kept.activate(HOURLY, at("02:00"), version="new")
    before = kept.position
    assert kept.tell(Activate(plan("old"), HOURLY, policy(), DAY, 1), at("03:00")) == []
    assert kept.position == before
    kept.deactivate(at("04:00"))
    assert kept.tell(Activate(plan("new"), HOURLY, policy(), at("02:00"), 2), at("05:00")) == []
    # Deactivating what never had a schedule is nothing that happened.
    assert Kept().deactivate(DAY) == []


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (Schedule(rate=FixedRate(value=0, unit=HOUR)), "a rate of 0 hours has no next time"),
        (cron("0 0 31 2 *"), "[0 0 31 2 *] names no day that exists"),
        (Schedule(rate=FixedRate(value=4_000_000_000, unit=RATE_DAY)), "[every 4000000000 days] has no next time"),
        (Schedule(), "the launch plan's schedule says no time"),
    ],
)
def test_a_schedule_that_can_never_fire_is_refused_and_says_why(schedule: Schedule, reason: str) -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, version="old")
    assert kept.activate(schedule, at("02:30"), version="new") == [
        f"schedule refused: {reason}",
        "fired 01:00 late",
        "fired 02:00 late",
        "over old",
    ]
    assert (kept.position.refused, kept.position.active, kept.alarm) == (reason, None, None)
    assert kept.wake(at("09:00")) == []
    assert kept.activate(HOURLY, at("09:30"), version="newer") == ["activated newer"]
    assert kept.position.refused == ""


def test_a_refusal_of_the_one_who_asks_is_recorded() -> None:
    kept = Kept()
    command = Activate(plan("v"), HOURLY, policy(), DAY, 1, refused="no such policy")
    assert kept.tell(command, DAY) == ["schedule refused: no such policy"]


def test_jitter_is_always_the_same_for_a_tick_and_never_lets_one_overtake_another() -> None:
    jitter = timedelta(minutes=1)
    each_minute, end = cron("* * * * *"), at("04:00")
    woken, fired = woken_by_alarm(policy(jitter=jitter), each_minute, end)
    assert (woken, fired) == woken_by_alarm(policy(jitter=jitter), each_minute, end)
    assert fired == [DAY + timedelta(minutes=minute) for minute in range(1, len(fired) + 1)]
    assert fired[-1] >= end - jitter
    # Alone, each tick fires at a moment of its own.
    delays = list[timedelta]()
    for minute in range(100):
        kept = Kept()
        kept.activate(cron("* * * * *"), DAY + timedelta(minutes=minute), policy(jitter=jitter))
        assert kept.alarm is not None
        delays.append(kept.alarm - DAY - timedelta(minutes=minute + 1))
    assert all(timedelta() <= delay < jitter for delay in delays)
    assert max(delays) - min(delays) > jitter * 0.9


def test_jitter_that_is_longer_than_the_time_between_ticks_makes_none_count_as_missed() -> None:
    how = policy(catch_up=CatchUp.CATCH_UP_NONE, jitter=timedelta(hours=3))
    woken, fired = woken_by_alarm(how, HOURLY, at("20:00"))
    assert fired == [DAY + timedelta(hours=number) for number in range(1, len(fired) + 1)]
    assert fired[-1] >= at("18:00")
    assert all(due <= moment < due + timedelta(hours=1) for moment, due in zip(woken, fired, strict=True))


def test_a_takeover_cuts_jitter_short() -> None:
    kept = Kept()
    kept.activate(HOURLY, DAY, policy(jitter=timedelta(minutes=50)), version="old")
    assert kept.alarm is not None
    assert kept.alarm > at("01:00")
    happened = kept.activate(HOURLY, at("01:00:00"), version="new")
    assert happened == ["activated new", "fired 01:00", "over old"]


def test_an_offset_delays_ticks_that_keep_their_nominal_times() -> None:
    kept = Kept()
    kept.activate(cron("0 * * * *", offset="PT20M"), at("05:10"))
    # The tick of 05:00 fires at 05:20, after the activation.
    assert kept.alarm == at("05:20")
    assert kept.wake(at("05:20")) == ["fired 05:00"]
    assert kept.alarm == at("06:20")
    # Another version in between neither loses one nor repeats one.
    kept.activate(cron("0 * * * *", offset="PT20M"), at("06:10"), version="new")
    assert kept.wake(at("06:20")) == ["fired 06:00"]
    early = Kept()
    early.activate(cron("0 * * * *", offset="-PT5M"), at("05:57"))
    assert early.alarm == at("06:55")
    assert early.wake(at("06:55")) == ["fired 07:00"]
