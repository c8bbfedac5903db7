"""Where a text is: in NATS' files, in Postgres' tables, in the object store."""

from __future__ import annotations

from collections.abc import Iterable
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
            "postgres": await self._tables(text),
        }

    async def _tables(self, text: str) -> list[str]:
        connection = await asyncpg.connect(Access.of(self.folder).database.dsn)
        try:
            tables: list[Any] = await connection.fetch(
                "SELECT schemaname, tablename FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
            found: list[str] = []
            for schema, table in tables:
                # A column of bytes is shown in hexadecimal digits.
                wanted = "strpos(one::text, $1) > 0 OR strpos(one::text, $2) > 0"
                query = f'SELECT count(*) FROM "{schema}"."{table}" one WHERE {wanted}'
                if await connection.fetchval(query, text, text.encode().hex()):
                    found.append(f"{schema}.{table}")
            return found
        finally:
            await connection.close()


def _files(folder: Path, needle: bytes) -> Iterable[str]:
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and needle in path.read_bytes():
                yield str(path.relative_to(folder))
        except FileNotFoundError:
            continue  # a file of a server at work
