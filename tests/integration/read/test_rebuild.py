"""Blue-green rebuild: the same rows again, beside a projector that goes on writing."""

from __future__ import annotations

import asyncio

import pytest

from flightlog_log import Log, Subject
from flightlog_read import Database, Projector, ReadError, RebuildProgress, rebuild, roll_back
from tests.integration.read.toy_projection import Words, running, said, say


async def test_rebuilt_tables_are_byte_equal(log: Log, database: Database, schema: str, subject: Subject) -> None:
    words = Words(schema, prefix=schema)
    projector = Projector(database, log, words)
    progress: list[RebuildProgress] = []
    async with running(projector):
        await projector.wait_for(await say(log, subject, *[f"{schema}-{n % 7}" for n in range(60)]))
        result = await rebuild(database, log, words, progress.append)
        assert result.identical
        assert {table.table for table in result.tables} == {"words", "log"}
        assert all(table.live is not None and table.live.rows > 0 for table in result.tables)
        assert progress[-1].sequence == result.sequence
        await projector.wait_for(await say(log, subject, f"{schema}-0"))
        assert (await said(database, schema))[f"{schema}-0"] == 10
        assert (await said(database, f"{schema}__old"))[f"{schema}-0"] == 9


async def test_a_row_that_the_log_does_not_justify_is_found_and_gone(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    words = Words(schema, prefix=schema)
    projector = Projector(database, log, words)
    async with running(projector):
        await projector.wait_for(await say(log, subject, f"{schema}-a"))
        await database.pool.execute(f"UPDATE {schema}.words SET said = 99")
        result = await rebuild(database, log, words)
    assert not result.identical
    assert [table.table for table in result.tables if not table.identical] == ["words"]
    assert await said(database, schema) == {f"{schema}-a": 1}


async def test_nothing_written_meanwhile_is_lost(log: Log, database: Database, schema: str, subject: Subject) -> None:
    words = Words(schema, prefix=schema)
    projector = Projector(database, log, words)
    stop = asyncio.Event()

    async def keep_talking() -> int:
        count = 0
        while not stop.is_set():
            await projector.wait_for(await say(log, subject, f"{schema}-a"))
            count += 1
            assert (await said(database, schema))[f"{schema}-a"] == count  # reads are right all the time
        return count

    async with running(projector):
        await projector.wait_until_serving()
        talking = asyncio.create_task(keep_talking())
        for _ in range(4):
            assert (await rebuild(database, log, Words(schema, prefix=schema))).identical
        stop.set()
        count = await talking
        assert await said(database, schema) == {f"{schema}-a": count}


async def test_a_rebuild_without_live_tables_makes_them(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    await say(log, subject, f"{schema}-a", f"{schema}-poison", f"{schema}-b")
    result = await rebuild(database, log, Words(schema, prefix=schema))
    assert result.compared_at is None
    assert [reason for _, reason in result.skipped] == [f"ValueError: cannot digest '{schema}-poison'"]
    assert await said(database, schema) == {f"{schema}-a": 1, f"{schema}-b": 1}


async def test_roll_back_puts_the_former_tables_in_place_and_they_catch_up(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    words = Words(schema, prefix=schema)
    projector = Projector(database, log, words)
    async with running(projector):
        await projector.wait_for(await say(log, subject, f"{schema}-a"))
        await rebuild(database, log, words)
        await projector.wait_for(await say(log, subject, f"{schema}-a"))
        await roll_back(database, schema)
        await projector.wait_for(await say(log, subject, f"{schema}-a"))
        assert await said(database, schema) == {f"{schema}-a": 3}


async def test_roll_back_without_former_tables_is_an_error(database: Database, schema: str) -> None:
    with pytest.raises(ReadError, match="no former tables"):
        await roll_back(database, schema)


async def test_tables_ahead_of_the_log_are_not_believed(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    first = Projector(database, log, Words(schema, prefix=schema))
    async with running(first):
        await first.wait_for(await say(log, subject, f"{schema}-a"))
    await database.pool.execute(f"UPDATE {schema}.checkpoint SET sequence = sequence + 1000000")
    await database.pool.execute(f"UPDATE {schema}.words SET said = 99")
    second = Projector(database, log, Words(schema, prefix=schema))
    async with running(second):
        await second.wait_for(await say(log, subject, f"{schema}-a"))
        assert await said(database, schema) == {f"{schema}-a": 2}
