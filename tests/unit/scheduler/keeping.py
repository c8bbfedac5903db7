"""A schedule and its history, for tests: told commands, it checks what holds after each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from flyteidl.admin.schedule_pb2 import CronSchedule, Schedule
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested, TerminationRequested
from flightlog_protos.scheduler.v1 import schedules_pb2 as facts
from flightlog_protos.scheduler.v1.schedules_pb2 import CatchUp, Overlap, SchedulePolicy, ScheduleStands, TicksSkipped
from services.scheduler.schedules.commands import Activate, Command, Deactivate, Limits, RunEnded, Wake
from services.scheduler.schedules.position import Position, ScheduleKey, fold
from services.scheduler.schedules.schedule import LIMITS, decide, next_alarm

KEY = ScheduleKey("p", "d", "n")
DAY = datetime(2026, 3, 10, tzinfo=UTC)
"""Midnight of the day on which the stories begin."""


def at(time: str) -> datetime:
    """A time of that day, `06:00` or `06:00:30`."""
    hour, minute, second = (*map(int, time.split(":")), 0)[:3]
    return DAY + timedelta(hours=hour, minutes=minute, seconds=second)


def cron(expression: str, *, kickoff: str = "", offset: str = "") -> Schedule:
    return Schedule(cron_schedule=CronSchedule(schedule=expression, offset=offset), kickoff_time_input_arg=kickoff)


def policy(
    overlap: Overlap = Overlap.OVERLAP_ALLOW,
    catch_up: CatchUp = CatchUp.CATCH_UP_ALL,
    jitter: timedelta = timedelta(),
    zone: str = "",
) -> SchedulePolicy:
    message = SchedulePolicy(overlap=overlap, catch_up=catch_up, time_zone=zone)
    if jitter:
        message.jitter.FromTimedelta(jitter)
    return message


def plan(version: str) -> Identifier:
    return Identifier(resource_type=LAUNCH_PLAN, project="p", domain="d", name="n", version=version)


def moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


@dataclass
class Kept:
    limits: Limits = LIMITS
    position: Position = field(default_factory=Position)
    history: list[Message] = field(default_factory=list[Message])
    sequence: int = 0

    def tell(self, command: Command, now: datetime) -> list[str]:
        """Gives a command; returns what happened, in words."""
        return self.append(decide(self.position, KEY, command, now, self.limits))

    def append(self, envelope: tuple[Message, ...]) -> list[str]:
        if envelope:
            assert isinstance(envelope[-1], ScheduleStands)
            assert sum(isinstance(fact, ScheduleStands) for fact in envelope) == 1
        self.history.extend(envelope)
        last = fold(envelope) if envelope else self.position
        # The last fact says all that the whole history says, and the history says it without such facts, too.
        assert fold(self.history) == last
        assert fold(fact for fact in self.history if not isinstance(fact, ScheduleStands)) == last
        assert fold(envelope[-1:] or [*self.history[-1:]]) == last
        self.position = last
        return [words for fact in envelope if (words := said(fact))]

    def activate(
        self, schedule: Schedule, when: datetime, how: SchedulePolicy | None = None, version: str = "v"
    ) -> list[str]:
        self.sequence += 1
        return self.tell(Activate(plan(version), schedule, how or policy(), when, self.sequence), when)

    def deactivate(self, when: datetime, version: str = "v") -> list[str]:
        self.sequence += 1
        return self.tell(Deactivate(plan(version), when, self.sequence), when)

    def wake(self, now: datetime) -> list[str]:
        return self.tell(Wake(), now)

    def wake_all(self, now: datetime) -> list[str]:
        """Wakes it as often as its alarm says that something is due."""
        happened = self.wake(now)
        while (alarm := next_alarm(self.position, self.limits)) is not None and alarm <= now:
            more = self.wake(now)
            assert more, f"the alarm of {alarm} is of no use"
            happened += more
        return happened

    def end(
        self, number: int, now: datetime, phase: WorkflowExecution.Phase = WorkflowExecution.SUCCEEDED
    ) -> list[str]:
        """The run at a place among the running ones ends."""
        return self.tell(RunEnded(KEY.execution(self.position.running[number]), phase), now)

    @property
    def alarm(self) -> datetime | None:
        return next_alarm(self.position, self.limits)


def said(fact: Message) -> str:
    """A fact in words; "" for those that repeat what another one says."""
    match fact:
        case facts.TickFired():
            return f"fired {_time(fact.due)}" + (" late" if fact.caught_up else "")
        case facts.TickWaiting():
            return f"waits {_time(fact.due)}"
        case facts.TicksSkipped():
            reason = TicksSkipped.Reason.Name(fact.reason).lower()
            times = _time(fact.first) if fact.count == 1 else f"{_time(fact.first)}-{_time(fact.last)} ({fact.count})"
            return f"skipped {times} {reason}" + (" after waiting" if fact.waited else "")
        case facts.TickRunEnded():
            return f"ended {_time(fact.due)} {WorkflowExecution.Phase.Name(fact.phase).lower()}"
        case facts.TickRunExisted():
            return f"existed {_time(fact.due)}"
        case facts.TickRefused():
            return f"refused {_time(fact.due)} {fact.code}"
        case facts.TickRunStopping():
            return f"stopping {_time(fact.due)}"
        case facts.ScheduleActivated():
            return f"activated {fact.launch_plan.version}"
        case facts.ScheduleRefused():
            return f"schedule refused: {fact.reason}"
        case facts.ScheduleDeactivated():
            return "deactivated"
        case facts.ScheduleEnded():
            return f"over {fact.launch_plan.version}"
        case facts.SchedulePaused():
            return "paused"
        case facts.ScheduleResumed():
            return "resumed"
        case ScheduleStands() | ExecutionRequested() | TerminationRequested():
            return ""
        case _:
            raise AssertionError(f"no words for {fact.DESCRIPTOR.name}")


def _time(stamp: Timestamp) -> str:
    time = moment(stamp)
    text = time.strftime("%H:%M:%S" if time.second else "%H:%M")
    days = (time - DAY) // timedelta(days=1)
    return f"{days}d{text}" if days else text
