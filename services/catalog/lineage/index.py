"""Reads of the schema `lineage`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from flightlog_log import Log
from flightlog_read import Database, Projector
from services.catalog.lineage.mentions import Role
from services.catalog.lineage.projection import INDEXED, LineageProjection
from services.catalog.lineage.sources import Makers, Mention, Reuse
from services.catalog.subjects import ExecutionKey

_MAKERS: Final = 20
"""Of the nodes that have to do with an address, the last so many are looked at."""

_COLUMNS = "a.address, a.role, a.execution_project, a.execution_domain, a.execution_name, a.node_id, a.sequence"
# An address is found by its beginning, whatever plan is made; the whole of it is compared then.
_OF_ADDRESS = f"""SELECT {_COLUMNS} FROM unnest($1::text[]) AS wanted (address) CROSS JOIN LATERAL (
    SELECT * FROM lineage.addresses a
    WHERE left(a.address, {INDEXED}) = left(wanted.address, {INDEXED}) COLLATE "C" AND a.address = wanted.address
    AND a.role = ANY($2::smallint[]) AND ($3 = 0 OR a.sequence < $3) ORDER BY a.sequence DESC LIMIT $4) a"""
# Of very many addresses, each with very many users, the last users of all.
_USERS_OF_ADDRESS = f"{_OF_ADDRESS.replace('SELECT', 'SELECT DISTINCT', 1)} ORDER BY a.sequence DESC LIMIT $4"
_BELOW = f"""SELECT DISTINCT {_COLUMNS} FROM unnest($1::text[]) AS wanted (address) CROSS JOIN LATERAL (
    SELECT * FROM lineage.addresses a
    WHERE left(a.address, {INDEXED}) >= left(wanted.address || '/', {INDEXED}) COLLATE "C"
    AND left(a.address, {INDEXED}) <= left(wanted.address || '/', {INDEXED}) || chr(1114111) COLLATE "C"
    AND starts_with(a.address, wanted.address || '/')
    AND a.role = ANY($2::smallint[]) ORDER BY a.sequence DESC LIMIT $3) a ORDER BY a.sequence DESC LIMIT $3"""
_REUSES = """SELECT source_node_id, execution_project, execution_domain, execution_name, node_id FROM lineage.reuses
    WHERE source_project = $1 AND source_domain = $2 AND source_name = $3 ORDER BY sequence DESC, number LIMIT $4"""


class Index:
    """Which executions have to do with an address, and whose results were taken by others.

    All raise `flightlog_read.StaleRead` when the projection lags too long.
    """

    def __init__(self, log: Log, database: Database, projector: Projector) -> None:
        self._log = log
        self._database = database
        self._projector = projector

    async def wait(self) -> None:
        """Until the tables have all that the log has now."""
        await self._projector.wait_for(await self._log.stream_sequence(LineageProjection.stream))

    async def makers(self, address: str, before: int) -> Makers:
        """As `Sources.makers`."""
        found = await self._fetch(_OF_ADDRESS, _around(address), [Role.OWNS, Role.GAVE], before, _MAKERS)
        owners = [_mention(row) for row in found if row["role"] == Role.OWNS]
        return Makers(owners, [_mention(row) for row in found if row["role"] != Role.OWNS])

    async def users(self, addresses: Collection[str], limit: int) -> list[Mention]:
        """As `Sources.users`, the last `limit`."""
        given = [address for address in addresses if "\0" not in address]
        roles = [Role.GIVEN, Role.GAVE]
        rows = await self._fetch(_USERS_OF_ADDRESS, given, roles, 0, limit)
        rows += await self._fetch(_BELOW, [address.rstrip("/") for address in given], roles, limit)
        rows.sort(key=lambda row: row["sequence"])
        return list(dict.fromkeys(map(_mention, rows)))[-limit:]

    async def reuses(self, execution: ExecutionKey, limit: int) -> list[Reuse]:
        """As `Sources.reuses`, the last `limit`."""
        rows = await self._fetch(_REUSES, *execution, limit)
        return [
            Reuse(
                row["source_node_id"],
                (row["execution_project"], row["execution_domain"], row["execution_name"]),
                row["node_id"],
            )
            for row in rows
        ]

    async def _fetch(self, statement: str, *parameters: Any) -> list[Any]:
        async with self._database.pool.acquire() as connection:
            return list(await connection.fetch(statement, *parameters))


def _around(address: str) -> list[str]:
    """The address and all folders that it is in, with and without the slash at their ends."""
    if "\0" in address:
        return []
    scheme, separator, rest = address.partition("://")
    parts = (rest if separator else scheme).split("/")
    start = f"{scheme}{separator}" if separator else ""
    folders: Iterable[str] = (start + "/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return list(dict.fromkeys(form for folder in folders if folder for form in (folder, f"{folder}/")))


def _mention(row: Any) -> Mention:
    execution = (row["execution_project"], row["execution_domain"], row["execution_name"])
    return Mention(row["address"], execution, row["node_id"], row["sequence"])
