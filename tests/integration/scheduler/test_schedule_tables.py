"""The tables of schedules and backfills: the same rows however the stream is cut, found by their indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest_asyncio

from flightlog_log import Recorded
from flightlog_read import DatabaseSettings
from services.scheduler import subjects
from services.scheduler.schedules.commands import Pause
from services.scheduler.schedules.projection.apply import SchedulesProjection
from services.scheduler.subjects import BackfillKey
from tests.integration.scheduler.simulated import World
from tests.integration.scheduler.test_backfills import wanted
from tests.integration.scheduler.test_schedules import FIRST, HOUR, scheduled

ROWS = {
    "schedules": "SELECT * FROM schedules ORDER BY project, domain, name",
    "backfills": "SELECT * FROM backfills ORDER BY id",
    "ticks": "SELECT * FROM ticks ORDER BY kind, name, due, version",
}


@pytest_asyncio.fixture(loop_scope="session")
async def connection(database_settings: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    found = await asyncpg.connect(database_settings.dsn)
    yield found
    await found.close()


async def rows(
    connection: asyncpg.Connection, batches: Sequence[Sequence[Recorded]]
) -> dict[str, list[tuple[object, ...]]]:
    schema = f"schedules_{uuid4().hex}"
    await connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema}")
    projection = SchedulesProjection()
    await connection.execute(projection.ddl())
    for batch in batches:
        async with connection.transaction():
            await projection.apply(connection, batch)
    return {table: [tuple(row) for row in await connection.fetch(query)] for table, query in ROWS.items()}


async def story(world: World) -> list[Recorded]:
    """Ticks that fire, wait, are replaced, skipped and refused, and a backfill; all in the order of the stream."""
    hourly = await scheduled(world, "0 * * * *", catch_up="latest")
    await world.until(FIRST + 2 * HOUR)
    world.now += 5 * HOUR
    await world.until(FIRST + 8 * HOUR)
    await world.tell(hourly, Pause("enough"))
    world.lasting = True
    waiting = await scheduled(world, "0 * * * *", overlap="wait")
    replacing = await scheduled(world, "0 * * * *", overlap="replace")
    await world.until(FIRST + 11 * HOUR)
    await world.finish(next(iter(await world.runs(waiting))))
    world.lasting = False
    first = await world.backfill(await wanted(world))
    await world.react()
    again = await world.backfill(replace(await wanted(world), parallelism=3))
    await world.react()
    found: list[Recorded] = []
    for key in (hourly, waiting, replacing, first, again):
        subject = subjects.backfill(key) if isinstance(key, BackfillKey) else subjects.schedule(key)
        assert subject is not None
        found.extend(await world.log.load(str(subject)))
    return sorted(found, key=lambda record: record.sequence)


async def test_rows_are_the_same_however_the_stream_is_cut(world: World, connection: asyncpg.Connection) -> None:
    records = await story(world)
    whole = await rows(connection, [records])
    assert [len(whole[table]) for table in ROWS] == [3, 2, len(whole["ticks"])]
    states = {row[11] for row in whole["ticks"]}
    assert {"succeeded", "skipped", "waiting", "aborted", "fired"} <= states
    for size in (1, 3, 7):
        cut = [records[start : start + size] for start in range(0, len(records), size)]
        assert await rows(connection, cut) == whole
    # Written once more, nothing changes.
    assert await rows(connection, [records, records, records[3:]]) == whole


async def test_ticks_are_found_without_reading_those_of_others(world: World, connection: asyncpg.Connection) -> None:
    key = await scheduled(world, "*/10 * * * *")
    await world.until(world.now + timedelta(hours=2))
    subject = subjects.schedule(key)
    assert subject is not None
    await rows(connection, [await world.log.load(str(subject))])
    await connection.execute("ANALYZE ticks; SET enable_seqscan TO off")
    plan = await connection.fetch(
        "EXPLAIN SELECT * FROM ticks WHERE kind = 'schedule' AND project = $1 AND domain = $2 AND name = $3 "
        "ORDER BY due DESC, version DESC LIMIT 10",
        *key,
    )
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan Backward using ticks_pkey" in text
    assert "Sort" not in text
