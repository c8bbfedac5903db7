"""The shell around schedules and backfills: load where one stands, decide, append.

The last envelope of each holds all that is needed to go on, so loading is one look-up. Several processes may decide for
one at once: the log lets one of them append, and the other loads and decides again. So each tick is fired once, by whom
it may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from google.protobuf.message import Message

from flightlog_log import Cause, Conflict, Head, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.scheduler.v1.alarms_pb2 import ScheduleAlarm
from services.scheduler import subjects
from services.scheduler.schedules import backfill, metrics, schedule
from services.scheduler.schedules.backfill import Progress
from services.scheduler.schedules.commands import BackfillCommand, Command, Limits
from services.scheduler.schedules.position import Position, ScheduleKey, fold
from services.scheduler.subjects import BackfillKey

SERVICE: Final = "scheduler"
_MAX_CONFLICTS: Final = 50

_State = TypeVar("_State")


class Shell:
    """Gives commands to schedules and backfills.

    Args:
        clock: what time it is; decisions themselves look at no clock.
    """

    def __init__(self, log: Log, limits: Limits, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._log = log
        self._limits = limits
        self.clock = clock

    async def position(self, key: ScheduleKey) -> Position | None:
        """Where a schedule stands; None when the name never had one. Raises `LogUnavailable`."""
        subject = subjects.schedule(key)
        record = None if subject is None else await self._log.last(subject)
        return None if record is None else fold(record.facts)

    async def tell(self, key: ScheduleKey, command: Command, cause: Cause) -> Recorded | None:
        """Gives a command to a schedule; returns what was appended, None when there was nothing to do.

        Raises:
            Refused: it cannot be granted.
            LogUnavailable: it is not known whether it took effect. Giving it again is safe.
        """
        subject = subjects.schedule(key)
        if subject is None:
            return None

        def decide(record: Recorded | None) -> Sequence[Message]:
            position = Position() if record is None else fold(record.facts)
            return schedule.decide(position, key, command, self.clock(), self._limits)

        return await self._decide(subject, decide, cause)

    async def progress(self, key: BackfillKey) -> Progress | None:
        """Where a backfill stands; None when there is none of this id. Raises `LogUnavailable`."""
        subject = subjects.backfill(key)
        record = None if subject is None else await self._log.last(subject)
        return None if record is None else backfill.fold(record.facts)

    async def tell_backfill(self, key: BackfillKey, command: BackfillCommand, cause: Cause) -> Recorded | None:
        """Likewise, to a backfill."""
        subject = subjects.backfill(key)
        if subject is None:
            return None

        def decide(record: Recorded | None) -> Sequence[Message]:
            progress = None if record is None else backfill.fold(record.facts)
            return backfill.decide(progress, command, self.clock())

        return await self._decide(subject, decide, cause)

    async def arm(self, key: ScheduleKey, cause: Cause) -> datetime | None:
        """Sets the alarm of a schedule for when something of it is due next; returns that.

        Two processes may arm at once after different envelopes. Whoever has armed looks again whether what it armed for
        is still the last, so that the one that is last has armed for the last.

        Raises:
            LogUnavailable: it may not be armed.
        """
        subject = subjects.schedule(key)
        if subject is None:
            return None
        while True:
            record = await self._log.last(subject)
            due = None if record is None else schedule.next_alarm(fold(record.facts), self._limits)
            if record is None or due is None:
                return None
            alarm = ScheduleAlarm(
                project=key.project,
                domain=key.domain,
                name=key.name,
                correlation_id=cause.correlation_id,
                causation_id=cause.causation_id,
                traceparent=cause.traceparent,
            )
            await self._log.schedule(subjects.alarm(key), due, alarm, traceparent=cause.traceparent, lasting=True)
            if await self._log.last_sequence(subject) == record.sequence:
                return due

    async def _decide(
        self, subject: Subject, decide: Callable[[Recorded | None], Sequence[Message]], cause: Cause
    ) -> Recorded | None:
        for _ in range(_MAX_CONFLICTS):
            record = await self._log.last(subject)
            facts = decide(record)
            if not facts:
                return None
            head = Head.EMPTY if record is None else record.head
            try:
                appended = await self._log.append(subject, facts, head=head, cause=cause)
            except Conflict:
                continue
            metrics.count(facts, () if record is None else record.facts)
            return appended
        raise LogUnavailable(f"{subject} is changed by others all the time")
