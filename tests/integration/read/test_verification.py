"""Tables that are not what the log says are named, with the rows that differ, and nothing is changed."""

from __future__ import annotations

from flightlog_log import Log, Subject
from flightlog_read import Database, Projector, checkpoints, verify_tables
from tests.integration.read.toy_projection import Words, running, said, say


async def test_what_was_done_to_tables_is_named_row_by_row(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    words = Words(schema, prefix=schema)
    projector = Projector(database, log, words)
    async with running(projector):
        await projector.wait_for(await say(log, subject, *[f"{schema}-{letter}" for letter in "abca"]))

        async def verified() -> dict[str, dict[str, str]]:
            (result,) = await verify_tables(database, log, [words])
            assert not result.incomparable
            assert result.identical == all(table.identical for table in result.tables)
            return {
                table.table: {row.key: row.how for row in table.differences}
                for table in result.tables
                if not table.identical
            }

        assert await verified() == {}
        async with database.reading() as connection:
            known = await checkpoints.find_all(connection)
        assert known[schema].stream == words.stream
        assert known[schema].sequence == projector.applied
        assert not any("__" in name for name in known)
        await database.pool.execute(f"UPDATE {schema}.words SET said = 9 WHERE word LIKE '%-a'")
        await database.pool.execute(f"DELETE FROM {schema}.words WHERE word LIKE '%-b'")
        await database.pool.execute(f"INSERT INTO {schema}.words (word, said, sequence) VALUES ('z', 1, 1)")
        assert await verified() == {
            "words": {
                f'{{"word" : "{schema}-a"}}': "different",
                f'{{"word" : "{schema}-b"}}': "missing",
                '{"word" : "z"}': "unjustified",
            }
        }
        await database.pool.execute(f"DROP TABLE {schema}.log")
        await database.pool.execute(f"ALTER TABLE {schema}.words ALTER COLUMN said TYPE numeric")
        (result,) = await verify_tables(database, log, [words])
        tables = {table.table: table for table in result.tables}
        assert tables["log"].live_rows is None
        assert "said numeric" in tables["words"].shape
        assert (await said(database, schema))["z"] == 1  # nothing was changed
        left = await database.pool.fetchval(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}__new'")
        assert left == 0


async def test_tables_that_cannot_be_compared_say_why(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    words = Words(schema, prefix=schema)
    (result,) = await verify_tables(database, log, [words])
    assert result.incomparable == "there are no tables"
    projector = Projector(database, log, words)
    async with running(projector):
        await projector.wait_for(await say(log, subject, f"{schema}-a"))
    await database.pool.execute(f"UPDATE {schema}.checkpoint SET sequence = sequence + 1000000")
    (result,) = await verify_tables(database, log, [words])
    assert "the log ends at" in result.incomparable
    (result,) = await verify_tables(database, log, [Words(schema, prefix=schema, version=2)])
    assert "version" in result.incomparable
