"""Whatever happens to a schedule: each tick is considered once, in order, and what is to fire fires.

Two deciders take turns, each with what it loaded some time ago; the log takes what the one decides whose load is the
last, as JetStream does, and the other loads again. The clock goes forward by seconds and by days, and back.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from flyteidl.admin.schedule_pb2 import HOUR, MINUTE, FixedRate, Schedule
from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.message import Message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested
from flightlog_protos.scheduler.v1 import schedules_pb2 as facts
from flightlog_protos.scheduler.v1.schedules_pb2 import CatchUp, Overlap, TicksSkipped
from services.scheduler.schedules.commands import (
    Activate,
    Command,
    Deactivate,
    Limits,
    Pause,
    Resume,
    RunEnded,
    RunExisted,
    RunRefused,
    Wake,
)
from services.scheduler.schedules.expressions import Expression, read
from services.scheduler.schedules.position import Position, Tick
from services.scheduler.schedules.schedule import decide
from tests.unit.scheduler.keeping import DAY, KEY, Kept, cron, moment, plan, policy

PHASES = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED)
SCHEDULES = (
    cron("*/20 * * * *"),
    cron("30 * * * *", offset="PT25M"),
    cron("0 */3 * * *", offset="-PT10M"),
    cron("15 2,3 * * *"),
    cron("@every 45m"),
    Schedule(rate=FixedRate(value=40, unit=MINUTE)),
    Schedule(rate=FixedRate(value=5, unit=HOUR)),
)
ZONES = ("", "Europe/Berlin", "Australia/Lord_Howe")
EXCLUSIVE = (Overlap.OVERLAP_SKIP, Overlap.OVERLAP_WAIT, Overlap.OVERLAP_REPLACE)


class AnySchedule(RuleBasedStateMachine):
    """One schedule, two deciders."""

    OVERLAPS: ClassVar[tuple[Overlap, ...]] = (Overlap.OVERLAP_ALLOW, *EXCLUSIVE)
    CATCH_UPS: ClassVar[tuple[CatchUp, ...]] = (
        CatchUp.CATCH_UP_ALL,
        CatchUp.CATCH_UP_LATEST,
        CatchUp.CATCH_UP_NONE,
    )

    @initialize(
        fired=st.integers(1, 5), considered=st.integers(1, 40), waiting=st.integers(1, 5), begin=st.integers(0, 8000)
    )
    def begin(self, fired: int, considered: int, waiting: int, begin: int) -> None:
        self.kept = Kept(Limits(fired_at_once=fired, considered_at_once=considered, waiting=waiting))
        self.now = DAY + timedelta(hours=begin)
        # What each of the two has loaded: how long the history was, and the position then.
        self.loaded: list[tuple[int, Position]] = [(0, Position()), (0, Position())]

    def tell(self, decider: int, command: Command) -> None:
        """A decider decides on what it has loaded; if it lost, it loads and decides again."""
        length, position = self.loaded[decider]
        envelope = decide(position, KEY, command, self.now, self.kept.limits)
        if length != len(self.kept.history):
            envelope = decide(self.kept.position, KEY, command, self.now, self.kept.limits)
        self.kept.append(envelope)
        self.loaded[decider] = (len(self.kept.history), self.kept.position)

    @rule(seconds=st.one_of(st.integers(1, 7200), st.integers(1, 3 * 86400), st.integers(-86400, -1)))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(decider=st.integers(0, 1), times=st.integers(1, 3))
    def wake(self, decider: int, times: int) -> None:
        for _ in range(times):
            self.tell(decider, Wake())

    @precondition(lambda self: self.kept.alarm is not None)
    @rule(decider=st.integers(0, 1), late=st.integers(0, 90))
    def alarm(self, decider: int, late: int) -> None:
        alarm = self.kept.alarm
        assert alarm is not None
        self.now = max(self.now, alarm + timedelta(seconds=late))
        self.tell(decider, Wake())

    @rule(
        decider=st.integers(0, 1),
        schedule=st.sampled_from(SCHEDULES),
        data=st.data(),
        zone=st.sampled_from(ZONES),
        jitter=st.sampled_from((0, 0, 300, 5000)),
        version=st.sampled_from("abc"),
        ago=st.one_of(st.just(0), st.integers(-20, 86400)),
    )
    def activate(
        self, decider: int, schedule: Schedule, data: st.DataObject, zone: str, jitter: int, version: str, ago: int
    ) -> None:
        how = policy(
            data.draw(st.sampled_from(self.OVERLAPS)),
            data.draw(st.sampled_from(self.CATCH_UPS)),
            timedelta(seconds=jitter),
            zone,
        )
        self.kept.sequence += 1
        at = self.now - timedelta(seconds=ago)
        self.tell(decider, Activate(plan(version), schedule, how, at, self.kept.sequence))

    @precondition(lambda self: self.kept.position.spans)
    @rule(decider=st.integers(0, 1))
    def activate_again(self, decider: int) -> None:
        """What was taken in before, told once more."""
        span = self.kept.position.spans[-1]
        before = self.kept.position
        self.tell(decider, Activate(span.launch_plan, span.schedule, span.policy, span.since, self.kept.sequence))
        assert self.kept.position == before

    @rule(decider=st.integers(0, 1))
    def deactivate(self, decider: int) -> None:
        self.kept.sequence += 1
        self.tell(decider, Deactivate(plan("a"), self.now, self.kept.sequence))

    @precondition(lambda self: self.kept.position.active is not None)
    @rule(decider=st.integers(0, 1))
    def pause_or_resume(self, decider: int) -> None:
        self.loaded[decider] = (len(self.kept.history), self.kept.position)
        self.tell(decider, Resume() if self.kept.position.paused else Pause("for once"))

    @precondition(lambda self: self.kept.position.running)
    @rule(decider=st.integers(0, 1), data=st.data(), kind=st.sampled_from(("ended", "ended", "existed", "refused")))
    def run_over(self, decider: int, data: st.DataObject, kind: str) -> None:
        name = KEY.execution(data.draw(st.sampled_from(self.kept.position.running)))
        phase = data.draw(st.sampled_from(PHASES))
        match kind:
            case "ended":
                command = RunEnded(name, phase)
            case "existed":
                command = RunExisted(name, phase)
            case _:
                command = RunRefused(name, "FAILED_PRECONDITION", "not now")
        self.tell(decider, command)
        before = self.kept.position
        self.tell(decider, command)  # told twice
        assert self.kept.position == before

    @invariant()
    def what_is_due_can_be_done(self) -> None:
        """An alarm that is due finds something to do."""
        alarm = self.kept.alarm
        if alarm is not None:
            now = max(alarm, self.now)
            assert decide(self.kept.position, KEY, Wake(), now, self.kept.limits)

    @invariant()
    def only_what_runs_is_being_terminated(self) -> None:
        assert self.kept.position.stopping <= set(self.kept.position.running)

    def teardown(self) -> None:
        if not hasattr(self, "kept"):
            return
        check_considered(self.kept.history)
        check_fired(self.kept.history)
        self.everything_ends()
        check_considered(self.kept.history)
        check_fired(self.kept.history)

    def everything_ends(self) -> None:
        """Left alone with its alarms, and with runs that end, nothing is left waiting."""
        position = self.kept.position
        if position.active is not None and position.paused:
            self.kept.tell(Resume(), self.now)
        while True:
            self.kept.wake_all(self.now)
            if not self.kept.position.running:
                break
            for tick in self.kept.position.running:
                self.kept.tell(RunEnded(KEY.execution(tick), WorkflowExecution.SUCCEEDED), self.now)
        if not self.kept.position.paused:
            assert self.kept.position.waiting == ()
            assert self.kept.alarm is None or self.kept.alarm > self.now


class ExclusiveSchedule(AnySchedule):
    """With these policies never two run at once, and nothing is left out but for overlap."""

    OVERLAPS = EXCLUSIVE
    CATCH_UPS = (CatchUp.CATCH_UP_ALL,)

    @invariant()
    def at_most_one_runs(self) -> None:
        assert len(self.kept.position.running) <= 1

    @invariant()
    def nothing_is_missed(self) -> None:
        skipped = [fact for fact in self.kept.history if isinstance(fact, TicksSkipped)]
        assert all(fact.reason != TicksSkipped.MISSED for fact in skipped)


class WholeSchedule(AnySchedule):
    """Where all is allowed and caught up on, every tick fires that does not pass in a pause or by a deactivation."""

    OVERLAPS = (Overlap.OVERLAP_ALLOW, Overlap.OVERLAP_WAIT)
    CATCH_UPS = (CatchUp.CATCH_UP_ALL,)

    @invariant()
    def none_is_lost(self) -> None:
        for fact in self.kept.history:
            if isinstance(fact, TicksSkipped):
                assert fact.reason in (TicksSkipped.PAUSED, TicksSkipped.DEACTIVATED)


def check_considered(history: list[Message]) -> None:
    """The ticks of each activation are considered one after another, none twice and none left out."""
    spans: list[tuple[str, Expression, datetime, list[datetime]]] = []
    current = 0
    for fact in history:
        match fact:
            case facts.ScheduleActivated():
                expression = read(fact.schedule, fact.policy.time_zone, moment(fact.occurred_at))
                spans.append((fact.launch_plan.version, expression, moment(fact.after), []))
            case facts.ScheduleEnded():
                current += 1
            case facts.ScheduleDeactivated():
                current = len(spans)
            case facts.TicksSkipped() if not fact.waited:
                expression = spans[current][1]
                first = moment(fact.first)
                passed = list(expression.ticks_between(first - timedelta(microseconds=1), moment(fact.last)))
                assert (passed[0], passed[-1], len(passed)) == (first, moment(fact.last), fact.count)
                assert fact.launch_plan.version == spans[current][0]
                spans[current][3].extend(passed)
            case facts.TickFired() | facts.TickWaiting():
                tick = Tick(fact.launch_plan.version, moment(fact.due))
                if isinstance(fact, facts.TickFired) and waited(history, fact):
                    continue
                assert tick.version == spans[current][0]
                spans[current][3].append(tick.due)
            case _:
                pass
    for _, expression, after, considered in spans:
        if considered:
            assert considered == list(expression.ticks_between(after, considered[-1]))
    # Nor is a time considered that a version before has considered, whatever the clock did.
    latest = datetime.min.replace(tzinfo=UTC)
    for _, _, after, considered in spans:
        assert all(due > after for due in considered)
        if considered:
            assert considered[0] > latest
            latest = considered[-1]


def waited(history: list[Message], fired: facts.TickFired) -> bool:
    return any(
        isinstance(fact, facts.TickWaiting)
        and (fact.launch_plan.version, fact.due) == (fired.launch_plan.version, fired.due)
        for fact in history
    )


def check_fired(history: list[Message]) -> None:
    """No execution is asked for twice, and each that fired is asked for."""
    fired = [fact.execution_id.name for fact in history if isinstance(fact, facts.TickFired)]
    assert len(set(fired)) == len(fired)
    assert [fact.request.name for fact in history if isinstance(fact, ExecutionRequested)] == fired


SETTINGS = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnySchedule = AnySchedule.TestCase
TestAnySchedule.settings = SETTINGS
TestExclusiveSchedule = ExclusiveSchedule.TestCase
TestExclusiveSchedule.settings = SETTINGS
TestWholeSchedule = WholeSchedule.TestCase
TestWholeSchedule.settings = SETTINGS
