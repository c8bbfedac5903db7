"""Queries of the tables for whoever looks into the cache, each no older than the log when the call came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final, Protocol

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Log
from flightlog_protos.catalog.v1.cache_pb2 import CachedResult, CacheKey
from flightlog_protos.catalog.v1.catalog_service_pb2 import CachedEntry, CacheUser
from flightlog_read import Database, SqlWhere
from services.catalog import subjects
from services.catalog.looking import selection
from services.catalog.looking.keys import Version, entity_name
from services.catalog.projection.rows import clipped, dataset_key, entry_key

_COLUMNS: Final = "e.id, e.cache_key, e.result, e.cached_at, e.pinned, e.reserved_by"
_ORDER: Final = "ORDER BY e.cached_at DESC, e.id DESC"
_WITH_USES: Final = """SELECT e.*, used.uses, used.last_used_at FROM ({}) e,
    LATERAL (SELECT count(*) AS uses, max(u.used_at) AS last_used_at
             FROM catalog.uses u WHERE u.artifact_id = e.artifact_id AND e.artifact_id <> '') used"""
_ENTRIES: Final = f"SELECT {_COLUMNS}, e.artifact_id FROM catalog.entries e WHERE "
_LARGEST: Final = 2 << 20
"""Bytes of entries in one answer at most, unless it is one entry: clients take messages of 4 MiB."""
_USERS: Final = """SELECT node, used_at FROM catalog.uses WHERE artifact_id = $1 AND artifact_id <> ''
    ORDER BY used_at DESC LIMIT $2"""
_NEWEST: Final = f"SELECT {_COLUMNS} FROM catalog.entries e WHERE NOT e.evicted AND e.cached_at <= $1"
_CANDIDATES: Final = f"""
    ({_NEWEST} AND e.project = $2 AND e.domain = $3 AND e.name = $4 AND e.tag = $6 {_ORDER} LIMIT {selection.MOST})
    UNION
    ({_NEWEST} AND e.dataset_key = $5 {_ORDER} LIMIT {selection.MOST})
    UNION
    ({_NEWEST} AND e.project = $2 AND e.domain = $3 AND e.name = $4 {_ORDER} LIMIT {selection.MOST})
"""
_ELSEWHERE: Final = f"{_NEWEST} AND e.name = $2 {_ORDER} LIMIT {selection.MOST}"

_OTHERWISE: Final = """
    (SELECT e.cache_key FROM catalog.entries e WHERE e.name = $2 AND e.cached_at IS NULL AND e.evicted
     ORDER BY e.id DESC LIMIT $3)
    UNION ALL
    (SELECT e.cache_key FROM catalog.entries e WHERE e.name = $2 AND e.cached_at > $1 ORDER BY e.cached_at LIMIT $3)
"""


class Progress(Protocol):
    """How far the projection is."""

    async def wait_for(self, sequence: int) -> None: ...


class Reads:
    """Raises `flightlog_read.StaleRead` when the projection lags too long, `DatabaseUnavailable` without Postgres."""

    def __init__(self, log: Log, database: Database, progress: Progress) -> None:
        self._log = log
        self._database = database
        self._progress = progress

    async def entries(self, where: SqlWhere, limit: int) -> tuple[list[CachedEntry], str]:
        """The newest entries, and the token of those behind them; "" when there are none."""
        await self._caught_up()
        selected = f"{_ENTRIES} {where.clause} {_ORDER} LIMIT {limit + 1}"
        async with self._database.reading() as connection:
            rows = await connection.fetch(f"{_WITH_USES.format(selected)} {_ORDER}", *where.args)
        shown: list[CachedEntry] = []
        size = 0
        for number, row in enumerate(rows):
            entry = _entry(row)
            size += entry.ByteSize()
            if number and (number == limit or size > _LARGEST):
                last = rows[number - 1]
                return shown, selection.token(last["cached_at"], last["id"])
            shown.append(entry)
        return shown, ""

    async def entry(self, key: CacheKey) -> CachedEntry | None:
        """One entry, with a result or without."""
        await self._progress.wait_for(await self._log.last_sequence(subjects.entry(key)))
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_WITH_USES.format(f"{_ENTRIES} e.key = $1"), entry_key(key))
        return None if row is None else _entry(row)

    async def users(self, artifact_id: str, limit: int) -> list[CacheUser]:
        """The nodes that took a result, last one first."""
        async with self._database.reading() as connection:
            rows = await connection.fetch(_USERS, clipped(artifact_id), limit)
        return [
            CacheUser(node=NodeExecutionIdentifier.FromString(row["node"]), used_at=_stamp(row["used_at"]))
            for row in rows
        ]

    async def candidates(self, key: CacheKey, before: Timestamp) -> list[CachedEntry]:
        """Entries that may have been meant: of the same name, there before a moment.

        The newest thousand with the same inputs, of the same version, and of any version; those of other projects and
        domains only where its own has none.
        """
        await self._caught_up()
        moment, name = before.ToDatetime(UTC), clipped(entity_name(key))
        dataset = key.dataset
        async with self._database.reading() as connection:
            rows = await connection.fetch(
                _CANDIDATES,
                moment,
                clipped(dataset.project),
                clipped(dataset.domain),
                name,
                dataset_key(dataset),
                clipped(key.tag),
            )
            if not rows:
                rows = await connection.fetch(_ELSEWHERE, moment, name)
        return [_entry(row) for row in rows]

    async def changed(self, key: CacheKey, since: Timestamp, limit: int) -> list[CacheKey]:
        """Entries of the same name that may have had another result at a moment: evicted ones, and later results."""
        await self._caught_up()
        async with self._database.reading() as connection:
            rows = await connection.fetch(_OTHERWISE, since.ToDatetime(UTC), clipped(entity_name(key)), limit)
        return [CacheKey.FromString(row["cache_key"]) for row in rows]

    async def _caught_up(self) -> None:
        await self._progress.wait_for(await self._log.stream_sequence(subjects.CATALOG))


def _entry(row: Mapping[str, Any]) -> CachedEntry:
    key = CacheKey.FromString(row["cache_key"])
    entry = CachedEntry(
        key=key,
        cache_version=Version.of(key.dataset.version).cache,
        pinned=row["pinned"],
        reserved_by=row["reserved_by"],
        uses=row.get("uses", 0),
    )
    if row["cached_at"] is not None:
        entry.result.CopyFrom(CachedResult.FromString(row["result"]))
        entry.cached_at.CopyFrom(_stamp(row["cached_at"]))
    if row.get("last_used_at") is not None:
        entry.last_used_at.CopyFrom(_stamp(row["last_used_at"]))
    return entry


def _stamp(moment: Any) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
