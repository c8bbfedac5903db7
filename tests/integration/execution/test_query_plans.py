"""What a projection and a read of one execution cost does not grow with the tables, analysed or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio

from flightlog_read import DatabaseSettings
from flightlog_read.batches import SESSION
from services.execution.projection.queries import _GET_EXECUTION  # pyright: ignore[reportPrivateUsage]
from services.execution.projection.signals import SIGNALS
from services.execution.projection.tables import DDL, EXECUTIONS, NODE_EXECUTIONS, TASK_EXECUTIONS, Table

TABLES = (EXECUTIONS, NODE_EXECUTIONS, TASK_EXECUTIONS, SIGNALS)
_VALUES = {
    "text": "''",
    "bigint": "g",
    "integer": "0",
    "smallint": "0",
    "timestamptz": "now()",
    "text[]": "'{}'",
    "jsonb": "'{}'",
    "bytea": "''",
}
_KEYS = {
    "execution_project": "'p'",
    "execution_domain": "'d'",
    "execution_name": "'e' || g",
    "node_id": "'n0'",
    "signal_id": "'n0'",
}


def filling(table: Table[Any]) -> str:
    """A statement that gives each of 5,000 executions a row."""
    values = ", ".join(_KEYS.get(name) or _VALUES[kind] for name, kind in table.columns.items())
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) SELECT {values} FROM generate_series(1, 5000) g;"


FILL = "".join(map(filling, TABLES))


@pytest_asyncio.fixture(loop_scope="session")
async def connection(database_settings: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    """A connection to tables that nobody has analysed."""
    connection = await asyncpg.connect(database_settings.dsn)
    schema = f"plans_{uuid4().hex}"
    try:
        await connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema};" + DDL)
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table.name} SET (autovacuum_enabled = false)")
        yield connection
    finally:
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
        await connection.close()


async def plan(connection: asyncpg.Connection, name: str, arguments: str) -> str:
    rows = await connection.fetch(f"EXPLAIN EXECUTE {name} ({arguments})")
    return "\n".join(row[0] for row in rows)


async def test_projection_finds_its_rows_by_key_with_plans_made_for_empty_tables(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(SESSION + "SET plan_cache_mode TO force_generic_plan;")
    arguments = "'{p}', '{d}', '{e7}', '{n0}', '{0}'"
    for table in TABLES:
        await connection.execute(f"PREPARE {table.name}_load AS {table.load()}")
        given = ", ".join(arguments.split(", ")[: len(table.key)])
        before = await plan(connection, f"{table.name}_load", given)
        assert f"{table.name}_pkey" in before, before
    await connection.execute(FILL)
    for table in TABLES:
        given = ", ".join(arguments.split(", ")[: len(table.key)])
        after = await plan(connection, f"{table.name}_load", given)
        assert f"{table.name}_pkey" in after, after


async def test_one_execution_is_found_by_its_key(connection: asyncpg.Connection) -> None:
    await connection.execute(FILL + "SET plan_cache_mode TO force_generic_plan;")
    await connection.execute(f"PREPARE one AS {_GET_EXECUTION.format(executions='executions')}")
    found = await plan(connection, "one", "'p', 'd', 'e7'")
    assert "executions_pkey" in found, found
