"""Tables that are to be filled from nothing: no indexes and no vacuum meanwhile, and all of it again afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from flightlog_read.database import Connection, Database

_CONSTRAINTS = """
    SELECT conrelid::regclass::text AS tab, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
    FROM pg_constraint
    WHERE connamespace = $1::regnamespace AND contype IN ('p', 'u', 'x')
      AND conrelid::regclass::text <> 'checkpoint'
    ORDER BY conrelid, conname
"""
_INDEXES = """
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = $1::regnamespace AND indrelid::regclass::text <> 'checkpoint'
    ORDER BY indrelid, name
"""
_TABLES = """
    SELECT quote_ident(tablename) AS tab FROM pg_tables WHERE schemaname = $1 AND tablename <> 'checkpoint'
"""
# Sorting in memory costs a fraction of sorting on disk; it is given back at the end.
_SESSION = "SET maintenance_work_mem TO '256MB'"


async def take_off(connection: Connection, schema: str) -> list[str]:
    """Drops all indexes of a schema's tables, those of the checkpoint apart; `search_path` is the schema.

    Until `put_back` nothing cleans up behind the writers: there is nothing to clean, and to look costs a tenth of all.

    Returns the statements that make them again, the same by name and definition.
    """
    async with connection.transaction():
        for row in await connection.fetch(_TABLES, schema):
            await connection.execute(f"ALTER TABLE {row['tab']} SET (autovacuum_enabled = off)")
        again: list[str] = []
        for row in await connection.fetch(_CONSTRAINTS, schema):
            again.append(f"ALTER TABLE {row['tab']} ADD CONSTRAINT {row['name']} {row['definition']}")
            await connection.execute(f"ALTER TABLE {row['tab']} DROP CONSTRAINT {row['name']}")
        for row in await connection.fetch(_INDEXES, schema):
            again.append(row["definition"])
            await connection.execute(f"DROP INDEX {row['name']}")
    return again


async def put_back(database: Database, statements: Mapping[str, Sequence[str]], *, at_once: int) -> None:
    """Makes the indexes of several schemas' tables again, several at a time.

    Args:
        statements: by schema, as `take_off` gave them.

    Raises:
        asyncpg.UniqueViolationError: two rows have the same key.
    """

    async def build(schema: str, statement: str, connection: Connection) -> None:
        await connection.execute(_SESSION)
        await connection.execute(f"SET search_path TO {schema}")
        await connection.execute(statement)

    builds = [partial(build, schema, statement) for schema, again in statements.items() for statement in again]
    await database.side_by_side("flightlog indexes", builds, at_once=at_once)

    async def settle(connection: Connection) -> None:
        for schema in statements:
            for row in await connection.fetch(_TABLES, schema):
                await connection.execute(f"ALTER TABLE {schema}.{row['tab']} RESET (autovacuum_enabled)")

    await database.side_by_side("flightlog indexes", [settle], at_once=1)
