"""What can be asked of a schedule and of a backfill. Commands are imperatives; `decide` answers with facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from flyteidl.admin.schedule_pb2 import Schedule
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import Identifier

from flightlog_protos.scheduler.v1.schedules_pb2 import SchedulePolicy


class Refusal(Enum):
    """Why a command of a person is refused, for the status of the answer."""

    INVALID = "invalid"
    """It could never be granted: INVALID_ARGUMENT."""
    NOT_NOW = "not now"
    """Not in this state: FAILED_PRECONDITION."""
    EXISTS = "exists"
    """Something else has that name: ALREADY_EXISTS."""


class Refused(Exception):
    """A command cannot be granted; `str` is a sentence for people. Nothing is to be recorded."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a schedule one decision takes in. What is left is due at once again (see `next_alarm`)."""

    missed_after: timedelta = timedelta(minutes=1)
    """A tick is missed when its time to fire was longer ago than this; the catch-up policy decides about it."""
    fired_at_once: int = 100
    """Executions that one envelope asks for."""
    considered_at_once: int = 10_000
    """Ticks that one decision considers."""
    waiting: int = 100
    """Ticks that wait for one another with the overlap policy `wait`. Further ones are left until there is room."""


@dataclass(frozen=True, slots=True)
class Activate:
    """A version became the active one of its name, and takes the place of the version before.

    One command per envelope of the registry: where one holds LaunchPlanActivated, that is all that counts in it. A
    version without a schedule deactivates: use `Deactivate`.
    """

    launch_plan: Identifier
    schedule: Schedule
    policy: SchedulePolicy
    at: datetime
    """When the registry recorded it. Ticks after this moment are the version's own."""
    registry_sequence: int
    """Of the envelope on the stream REGISTRY. One that is not later than what was taken in changes nothing."""
    refused: str = ""
    """A sentence when the version's schedule cannot be kept, whatever it says; "" when it may be."""
    superseded: bool = False
    """The registry has decided something else since, which is told next: nothing is considered before that is known."""


@dataclass(frozen=True, slots=True)
class Deactivate:
    """No version with a schedule is active any more."""

    launch_plan: Identifier
    at: datetime
    registry_sequence: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing more fires until it is resumed. Refused when no version is active; harmless when it is paused already."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """What passed meanwhile is skipped. Refused when no version is active; harmless when it is not paused."""


@dataclass(frozen=True, slots=True)
class Wake:
    """The alarm, or anybody who thinks that something may be due: fire what is. Harmless at any time."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """An execution that was asked for is over (or was, when an answer CREATED has a final phase)."""

    execution: str
    phase: WorkflowExecution.Phase


@dataclass(frozen=True, slots=True)
class RunExisted:
    """Answer EXISTED: the execution was there, and was not made for this aggregate. Nobody will tell of its end."""

    execution: str
    phase: WorkflowExecution.Phase


@dataclass(frozen=True, slots=True)
class RunRefused:
    """Answer REFUSED: the execution cannot be created."""

    execution: str
    code: str
    message: str


Command = Activate | Deactivate | Pause | Resume | Wake | RunEnded | RunExisted | RunRefused
"""Of a schedule."""


@dataclass(frozen=True, slots=True)
class CreateBackfill:
    """Run the ticks of a range. The same one again, with the same id, changes nothing.

    Raises (from `decide`):
        Refused: INVALID with a sentence when the range is empty or holds too many ticks, or when the schedule cannot be
            read; EXISTS when the id belongs to a backfill of something else.
    """

    id: str
    launch_plan: Identifier
    """With a version."""
    schedule: Schedule
    time_zone: str
    """Of the policy; "" for UTC."""
    begin: datetime
    end: datetime
    """Not included."""
    since: datetime | None = None
    """Activation of the version's schedule, from which fixed rates count; None: they count from `begin`."""
    reverse: bool = False
    parallelism: int = 0
    """0: one after another."""
    overwrite: bool = False
    stop_on_failure: bool = False
    most_ticks: int = 10_000
    """A setting: the largest number of ticks that a backfill may have."""


@dataclass(frozen=True, slots=True)
class CancelBackfill:
    """Ask for nothing more. Refused when it is over; harmless when it is cancelled already."""

    reason: str = ""
    terminate: bool = False
    """Terminate what runs, too."""


BackfillCommand = CreateBackfill | CancelBackfill | RunEnded | RunExisted | RunRefused
