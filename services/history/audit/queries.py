"""Reads of the tables of the audit: all streams at once, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from flightlog_log import Log
from flightlog_read import Database, Projector, SqlWhere
from services.history.audit.projection import COLUMNS, AuditProjection, Row


class Place(NamedTuple):
    """Of an entry in the list: behind it are those that are older, or as old and of a stream or sequence before."""

    at: datetime
    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries. Empty ones select everything."""

    actor: str = ""
    """Part of the name, client or address."""
    kind: str = ""
    project: str = ""
    domain: str = ""
    name: str = ""
    since: datetime | None = None
    until: datetime | None = None
    only_refused: bool = False

    @property
    def where(self) -> SqlWhere:
        """The condition."""
        found = SqlWhere()
        for column in ("kind", "project", "domain", "name"):
            if value := getattr(self, column):
                found = found & SqlWhere(f"{column} = $1", (value,))
        if self.actor:
            found = found & SqlWhere(
                "strpos(lower(actor || chr(10) || client || chr(10) || address), lower($1::text)) > 0", (self.actor,)
            )
        if self.since is not None:
            found = found & SqlWhere("at >= $1", (self.since,))
        if self.until is not None:
            found = found & SqlWhere("at < $1", (self.until,))
        if self.only_refused:
            found = found & SqlWhere("NOT allowed")
        return found


class Reads:
    """Queries of the schemas `audit_…`, no older than the log when they were asked (read your writes)."""

    def __init__(self, log: Log, database: Database, projectors: Mapping[str, Projector]) -> None:
        self._log = log
        self._database = database
        self._projectors = projectors

    async def entries(self, wanted: Wanted, limit: int, behind: Place | None) -> list[tuple[str, Row]]:
        """Streams and entries, newest first, behind a place of the list.

        Raises:
            StaleRead: a table lags too long.
            DatabaseUnavailable: Postgres is away.
        """
        # What is refused is on AUDIT alone.
        streams = ["AUDIT"] if wanted.only_refused else list(self._projectors)
        await asyncio.gather(*(self._caught_up(stream) for stream in streams))
        found: list[tuple[str, Row]] = []
        async with self._database.reading() as connection:
            for stream in streams:
                where = wanted.where & _older(stream, behind)
                statement = (
                    f"SELECT {', '.join(COLUMNS)} FROM {AuditProjection(stream).name}.entries WHERE {where.clause} "
                    f"ORDER BY at DESC, sequence DESC LIMIT {limit}"
                )
                found += [(stream, Row(*row)) for row in await connection.fetch(statement, *where.args)]
        found.sort(key=lambda one: (one[1].at, one[0], one[1].sequence), reverse=True)
        return found[:limit]

    async def _caught_up(self, stream: str) -> None:
        await self._projectors[stream].wait_for(await self._log.stream_sequence(stream))


def _older(stream: str, behind: Place | None) -> SqlWhere:
    if behind is None:
        return SqlWhere()
    if stream == behind.stream:
        return SqlWhere("(at, sequence) < ($1, $2)", (behind.at, behind.sequence))
    return SqlWhere("at <= $1" if stream < behind.stream else "at < $1", (behind.at,))
