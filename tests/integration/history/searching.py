"""Where a text is: in NATS' files, in Postgres' tables, in the object store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from flightlog_cli.access import Access


@dataclass(frozen=True, slots=True)
class Places:
    """A stack's data folder."""

    folder: Path

    async def of(self, text: str) -> dict[str, list[str]]:
        """Names of the places that hold a text, as it is or within a message, by where they are."""
        needle = text.encode()
        return {
            "nats": list(_files(self.folder / "nats", needle)),
            "objects": list(_files(self.folder / "objects", needle)),
            "postgres": await self.tables(text),
        }

    async def tables(self, text: str) -> list[str]:
        """Those of Postgres alone."""
        connection = await asyncpg.connect(Access.of(self.folder).database.dsn)
        try:
            while True:
                try:
                    return [table async for table in _tables(connection, text)]
                except asyncpg.UndefinedTableError:
                    continue  # a schema took another's place meanwhile
        finally:
            await connection.close()


async def _tables(connection: Any, text: str) -> AsyncIterator[str]:
    for schema, table in await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    ):
        # A column of bytes is shown in hexadecimal digits.
        wanted = "strpos(one::text, $1) > 0 OR strpos(one::text, $2) > 0"
        query = f'SELECT EXISTS (SELECT FROM "{schema}"."{table}" one WHERE {wanted})'
        if await connection.fetchval(query, text, text.encode().hex()):
            yield f"{schema}.{table}"


def _files(folder: Path, needle: bytes) -> Iterable[str]:
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and needle in path.read_bytes():
                yield str(path.relative_to(folder))
        except FileNotFoundError:
            continue  # a file of a server at work
