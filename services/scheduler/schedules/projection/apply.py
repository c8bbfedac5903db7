"""From facts to rows. What a batch says of one row is put together first, so each row is written once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Recorded
from flightlog_protos.scheduler.v1 import backfills_pb2 as backfills
from flightlog_protos.scheduler.v1 import schedules_pb2 as schedules
from flightlog_read import Connection
from services.scheduler import subjects
from services.scheduler.schedules.position import ScheduleKey
from services.scheduler.schedules.projection.ddl import DDL
from services.scheduler.subjects import BackfillKey

SCHEDULE: Final = "schedule"
BACKFILL: Final = "backfill"

_SCHEDULES: Final = """
    INSERT INTO schedules (project, domain, name, stands, sequence) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (project, domain, name) DO UPDATE SET stands = excluded.stands, sequence = excluded.sequence
    WHERE schedules.sequence < excluded.sequence"""
_BACKFILLS: Final = """
    INSERT INTO backfills (project, domain, name, id, stands, sequence) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (project, domain, name) DO UPDATE SET stands = excluded.stands, sequence = excluded.sequence
    WHERE backfills.sequence < excluded.sequence"""
_TICKS: Final = """
    INSERT INTO ticks (
        kind, project, domain, name, due, version,
        last, count, fired_at, ended_at, execution, state, reason, sequence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (kind, project, domain, name, due, version) DO UPDATE SET
        fired_at = coalesce(excluded.fired_at, ticks.fired_at),
        ended_at = coalesce(excluded.ended_at, ticks.ended_at),
        execution = coalesce(nullif(excluded.execution, ''), ticks.execution),
        state = coalesce(nullif(excluded.state, ''), ticks.state),
        reason = coalesce(nullif(excluded.reason, ''), ticks.reason),
        sequence = excluded.sequence
    WHERE ticks.sequence < excluded.sequence"""

_ENDS: Final = {
    WorkflowExecution.SUCCEEDED: "succeeded",
    WorkflowExecution.FAILED: "failed",
    WorkflowExecution.ABORTED: "aborted",
    WorkflowExecution.TIMED_OUT: "failed",
}
_SKIPPED: Final = {
    schedules.TicksSkipped.MISSED: "missed",
    schedules.TicksSkipped.OVERLAP: "an earlier run went on",
    schedules.TicksSkipped.REPLACED: "a later tick took its place",
    schedules.TicksSkipped.PAUSED: "paused",
    schedules.TicksSkipped.DEACTIVATED: "deactivated",
}


class TickKey(NamedTuple):
    """What a row of `ticks` is found by."""

    kind: str
    project: str
    domain: str
    name: str
    due: datetime
    version: str


@dataclass(frozen=True, slots=True)
class TickRow:
    """What is said of a tick. What is empty says nothing."""

    last: datetime
    count: int = 1
    fired_at: datetime | None = None
    ended_at: datetime | None = None
    execution: str = ""
    state: str = ""
    reason: str = ""
    sequence: int = 0

    def then(self, later: TickRow) -> TickRow:
        """This, and what was said afterwards."""
        return replace(
            self,
            fired_at=later.fired_at or self.fired_at,
            ended_at=later.ended_at or self.ended_at,
            execution=later.execution or self.execution,
            state=later.state or self.state,
            reason=later.reason or self.reason,
            sequence=later.sequence,
        )


class SchedulesProjection:
    """The read model of schedules and backfills."""

    name = "schedules"
    stream = subjects.SCHEDULER
    version = 1

    def ddl(self) -> str:
        """CREATE statements."""
        return DDL

    async def apply(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        """Writes a batch with one round trip for each table that it touches."""
        stands: dict[ScheduleKey, tuple[bytes, int]] = {}
        filled: dict[BackfillKey, tuple[int, bytes, int]] = {}
        ticks: dict[TickKey, TickRow] = {}
        for record in batch:
            key = subjects.key_of(record.subject)
            if key is None:
                continue
            for tick, row in _ticks(key, record):
                ticks[tick] = ticks[tick].then(row) if tick in ticks else row
            for fact in record.facts:
                if isinstance(fact, schedules.ScheduleStands) and isinstance(key, ScheduleKey):
                    stands[key] = fact.SerializeToString(deterministic=True), record.sequence
                elif isinstance(fact, backfills.BackfillStands) and isinstance(key, BackfillKey):
                    first = filled[key][0] if key in filled else record.sequence
                    filled[key] = first, fact.SerializeToString(deterministic=True), record.sequence
        if stands:
            await connection.executemany(_SCHEDULES, [(*key, *row) for key, row in stands.items()])
        if filled:
            await connection.executemany(_BACKFILLS, [(*key, *row) for key, row in filled.items()])
        if ticks:
            await connection.executemany(_TICKS, [(*key, *_values(row)) for key, row in ticks.items()])


def _values(row: TickRow) -> tuple[object, ...]:
    reason = row.reason.replace("\0", "")
    return row.last, row.count, row.fired_at, row.ended_at, row.execution, row.state, reason, row.sequence


def _ticks(key: ScheduleKey | BackfillKey, record: Recorded) -> Iterable[tuple[TickKey, TickRow]]:
    if isinstance(key, ScheduleKey):
        for fact in record.facts:
            said = _of_schedule(fact)
            if said is not None:
                version, due, row = said
                yield TickKey(SCHEDULE, *key, due, version), replace(row, sequence=record.sequence)
        return
    # Every envelope ends with the position, and that knows the version.
    last = record.facts[-1]
    version = last.request.launch_plan.version if isinstance(last, backfills.BackfillStands) else ""
    for fact in record.facts:
        row = _of_backfill(fact)
        if row is not None:
            yield TickKey(BACKFILL, *key, row.last, version), replace(row, sequence=record.sequence)


def _of_schedule(fact: Message) -> tuple[str, datetime, TickRow] | None:
    """Version, time and what is said of the tick."""
    match fact:
        case schedules.TickFired():
            reason = "caught up" if fact.caught_up else ""
            at = _moment(fact.occurred_at)
            row = TickRow(
                _moment(fact.due), fired_at=at, execution=fact.execution_id.name, state="fired", reason=reason
            )
        case schedules.TickWaiting():
            row = TickRow(_moment(fact.due), state="waiting")
        case schedules.TicksSkipped():
            reason = _SKIPPED.get(fact.reason, "")
            last = _moment(fact.last)
            return (
                fact.launch_plan.version,
                _moment(fact.first),
                TickRow(last, fact.count, state="skipped", reason=reason),
            )
        case schedules.TickRunEnded():
            row = _ended(fact.due, fact.phase, fact.occurred_at)
        case schedules.TickRunExisted():
            row = TickRow(_moment(fact.due), state="existed", reason="somebody else had made its execution")
        case schedules.TickRefused():
            row = _refused(fact.due, fact.code, fact.message, fact.occurred_at)
        case schedules.TickRunStopping():
            row = TickRow(_moment(fact.due), reason="a later tick took its place")
        case _:
            return None
    return fact.launch_plan.version, row.last, row


def _of_backfill(fact: Message) -> TickRow | None:
    match fact:
        case backfills.BackfillRunRequested():
            at = _moment(fact.occurred_at)
            return TickRow(_moment(fact.due), fired_at=at, execution=fact.execution_id.name, state="fired")
        case backfills.BackfillRunEnded():
            return _ended(fact.due, fact.phase, fact.occurred_at)
        case backfills.BackfillTickSkipped():
            return TickRow(
                _moment(fact.due),
                execution=fact.execution_id.name,
                state="skipped",
                reason="it had an execution already",
            )
        case backfills.BackfillRunRefused():
            return _refused(fact.due, fact.code, fact.message, fact.occurred_at)
        case _:
            return None


def _ended(due: Timestamp, phase: WorkflowExecution.Phase, at: Timestamp) -> TickRow:
    return TickRow(_moment(due), ended_at=_moment(at), state=_ENDS.get(phase, "failed"))


def _refused(due: Timestamp, code: str, message: str, at: Timestamp) -> TickRow:
    return TickRow(_moment(due), ended_at=_moment(at), state="refused", reason=f"{code}: {message}")


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)
