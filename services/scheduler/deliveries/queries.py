"""Reads of the tables of deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from flightlog_log import Log
from flightlog_read import Database, Page, Projector, SqlWhere
from services.scheduler.deliveries import subjects
from services.scheduler.deliveries.projection import STATES, Row

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries. Empty ones select everything; the moments are when they were queued first."""

    sink: str = ""
    project: str = ""
    domain: str = ""
    execution: str = ""
    state: str = ""
    begin: datetime | None = None
    end: datetime | None = None

    @property
    def where(self) -> SqlWhere:
        """The condition."""
        found = SqlWhere()
        for column in ("project", "domain", "execution", "sink"):
            if value := getattr(self, column):
                found = found & SqlWhere(f"{column} = $1", (value,))
        if self.state:
            # Not an argument: the index of those that are not delivered holds for known states alone.
            assert self.state in STATES, "a state that the call has checked"
            found = found & SqlWhere(f"state = '{self.state}'")
        if self.begin is not None:
            found = found & SqlWhere("created_at >= $1", (self.begin,))
        if self.end is not None:
            found = found & SqlWhere("created_at < $1", (self.end,))
        return found


class Reads:
    """Queries of the schema `deliveries`, no older than the log when they were asked (read your writes)."""

    def __init__(self, log: Log, database: Database, projector: Projector) -> None:
        self._log = log
        self._database = database
        self._projector = projector

    async def deliveries(self, wanted: Wanted, page: Page) -> list[Row]:
        """Newest first. Raises `flightlog_read.StaleRead` when the tables lag too long."""
        return await self._rows(wanted.where, f"queued_sequence DESC, queued_index DESC {page.sql}")

    async def all_of(self, wanted: Wanted) -> AsyncIterator[list[Row]]:
        """All that there are, oldest first, some at a time: there may be more than memory holds."""
        behind = SqlWhere()
        while rows := await self._rows(wanted.where & behind, f"queued_sequence, queued_index LIMIT {_AT_ONCE}"):
            yield rows
            last = rows[-1].queued_sequence, rows[-1].queued_index
            behind = SqlWhere("(queued_sequence, queued_index) > ($1, $2)", last)

    async def _rows(self, where: SqlWhere, order: str) -> list[Row]:
        await self._projector.wait_for(await self._log.stream_sequence(subjects.SCHEDULER))
        statement = f"SELECT * FROM deliveries.deliveries WHERE {where.clause} ORDER BY {order}"
        async with self._database.reading() as connection:
            return [Row.stored(record) for record in await connection.fetch(statement, *where.args)]
