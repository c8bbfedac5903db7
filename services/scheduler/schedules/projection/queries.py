"""Reads of the tables, each no older than the log when the call came (read your writes, DESIGN §4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flightlog_log import Log
from flightlog_protos.scheduler.v1.backfills_pb2 import BackfillStands
from flightlog_protos.scheduler.v1.schedule_service_pb2 import Tick
from flightlog_protos.scheduler.v1.schedules_pb2 import ScheduleStands
from flightlog_read import Database, Page, Projector
from services.scheduler import subjects
from services.scheduler.schedules.position import ScheduleKey
from services.scheduler.schedules.projection.apply import BACKFILL, SCHEDULE
from services.scheduler.subjects import BackfillKey

_OF_PLACE = "($1 = '' OR project = $1) AND ($2 = '' OR domain = $2)"
_SCHEDULES = f"""
    SELECT project, domain, name, stands FROM schedules.schedules WHERE {_OF_PLACE} ORDER BY project, domain, name"""
_BACKFILLS = f"SELECT project, domain, name, stands FROM schedules.backfills WHERE {_OF_PLACE} ORDER BY id DESC"
_OF_OWNER = "kind = $1 AND project = $2 AND domain = $3 AND name = $4"
_TICKS = f"""
    SELECT due, version, last, count, fired_at, ended_at, execution, state, reason FROM schedules.ticks
    WHERE {_OF_OWNER}"""


class Queries:
    """Reads of the schema `schedules`. All raise `flightlog_read.StaleRead` when the projection lags too long."""

    def __init__(self, log: Log, database: Database, projector: Projector) -> None:
        self._log = log
        self._database = database
        self._projector = projector

    async def schedules(self, project: str, domain: str, page: Page) -> list[tuple[ScheduleKey, ScheduleStands]]:
        """A page of schedules in the order of their names. An empty project or domain means all."""
        rows = await self._rows(f"{_SCHEDULES} {page.sql}", project, domain)
        return [(ScheduleKey(*row[:3]), ScheduleStands.FromString(row["stands"])) for row in rows]

    async def backfills(self, project: str, domain: str, page: Page) -> list[tuple[BackfillKey, BackfillStands]]:
        """A page of backfills, the newest first. An empty project or domain means all."""
        rows = await self._rows(f"{_BACKFILLS} {page.sql}", project, domain)
        return [(BackfillKey(*row[:3]), BackfillStands.FromString(row["stands"])) for row in rows]

    async def past_ticks(self, key: ScheduleKey, count: int) -> list[Tick]:
        """What became of a schedule's ticks, the latest first."""
        statement = f"{_TICKS} ORDER BY due DESC, version DESC LIMIT {count}"
        return [_tick(row) for row in await self._rows(statement, SCHEDULE, *key)]

    async def backfilled_ticks(self, key: BackfillKey, page: Page) -> list[Tick]:
        """A page of the ticks that a backfill asked for, in the order of their times."""
        rows = await self._rows(f"{_TICKS} ORDER BY due, version {page.sql}", BACKFILL, *key)
        return [_tick(row) for row in rows]

    async def _rows(self, statement: str, *arguments: str) -> Sequence[Any]:
        await self._projector.wait_for(await self._log.stream_sequence(subjects.SCHEDULER))
        async with self._database.reading() as connection:
            return await connection.fetch(statement, *arguments)


def _tick(row: Any) -> Tick:
    tick = Tick(
        execution=row["execution"],
        state=row["state"],
        reason=row["reason"],
        version=row["version"],
        count=row["count"],
    )
    tick.due.FromDatetime(row["due"])
    tick.last.FromDatetime(row["last"])
    for name in ("fired_at", "ended_at"):
        if row[name] is not None:
            getattr(tick, name).FromDatetime(row[name])
    return tick
