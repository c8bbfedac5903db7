"""The projector against a real log and a real Postgres, also while they are killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.embedded.servers import Servers, run_servers
from flightlog_log import Log, LogSettings, Subject
from flightlog_read import Database, DatabaseSettings, Projector, StaleRead
from tests.integration.read.toy_projection import STREAM, Words, running, said, say


async def test_a_read_after_wait_for_sees_the_write(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    projector = Projector(database, log, Words(schema, prefix=schema))
    async with running(projector):
        for number in range(20):
            await projector.wait_for(await say(log, subject, f"{schema}-{number}"))
            assert len(await said(database, schema)) == number + 1


async def test_it_goes_on_from_its_checkpoint(log: Log, database: Database, schema: str, subject: Subject) -> None:
    first = Projector(database, log, Words(schema, prefix=schema))
    async with running(first):
        await first.wait_for(await say(log, subject, f"{schema}-a"))
    last = await say(log, subject, f"{schema}-a", f"{schema}-b")
    words = Words(schema, prefix=schema)
    second = Projector(database, log, words)
    async with running(second):
        await second.wait_for(last)
    assert await said(database, schema) == {f"{schema}-a": 2, f"{schema}-b": 1}
    assert sum(words.batches) == 2


async def test_a_poisonous_record_is_parked_and_all_others_flow(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    last = await say(log, subject, f"{schema}-a", f"{schema}-poison", f"{schema}-b")
    projector = Projector(database, log, Words(schema, prefix=schema))
    async with running(projector):
        await projector.wait_for(last)
        assert await said(database, schema) == {f"{schema}-a": 1, f"{schema}-b": 1}
    parked = [entry async for entry in log.parked() if entry.consumer == f"projection-{schema}"]
    assert len(parked) == 1
    assert "cannot digest" in parked[0].reason


async def test_two_projectors_of_one_name_write_once_and_both_serve_reads(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    one = Projector(database, log, Words(schema, prefix=schema))
    other = Projector(database, log, Words(schema, prefix=schema))
    async with running(one, other):
        await asyncio.gather(one.wait_until_serving(), other.wait_until_serving())
        last = await say(log, subject, *[f"{schema}-a"] * 10)
        await asyncio.gather(one.wait_for(last), other.wait_for(last))
        assert await said(database, schema) == {f"{schema}-a": 10}
        assert sorted([one.applied, other.applied])[0] == -1


async def test_a_standby_takes_over_when_the_leader_is_gone(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    one = Projector(database, log, Words(schema, prefix=schema))
    other = Projector(database, log, Words(schema, prefix=schema))
    async with running(one):
        await one.wait_for(await say(log, subject, f"{schema}-a"))
        standby = asyncio.create_task(other.run())
        await other.wait_until_serving()
    last = await say(log, subject, f"{schema}-a")
    await other.wait_for(last)
    assert await said(database, schema) == {f"{schema}-a": 2}
    standby.cancel()


async def test_a_sequence_that_never_comes_is_a_stale_read(log: Log, database: Database, schema: str) -> None:
    projector = Projector(database, log, Words(schema))
    async with running(projector):
        await projector.wait_until_serving()
        with pytest.raises(StaleRead):
            await projector.wait_for(await log.stream_sequence(STREAM) + 1000, timeout=0.05)


async def test_tables_of_another_version_are_rebuilt_at_start(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    first = Projector(database, log, Words(schema, prefix=schema))
    async with running(first):
        await first.wait_for(await say(log, subject, f"{schema}-a"))
    second = Projector(database, log, Words(schema, version=2, prefix=schema))
    async with running(second):
        await second.wait_for(await log.last_sequence(subject))
        assert await said(database, schema) == {f"{schema}-a": 1}
        assert await database.pool.fetchval(
            "SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND column_name = 'v2'", schema
        )


async def test_tables_of_a_later_version_are_left_alone(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    later = Projector(database, log, Words(schema, version=2, prefix=schema))
    async with running(later):
        await later.wait_for(await say(log, subject, f"{schema}-a"))
    last = await say(log, subject, f"{schema}-a")
    earlier = Projector(database, log, Words(schema, version=1, prefix=schema))
    async with running(earlier):
        with pytest.raises(StaleRead):
            await earlier.wait_for(last, timeout=0.5)
    assert await said(database, schema) == {f"{schema}-a": 1}


async def test_readers_that_wait_at_once_all_see_their_writes(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    projector = Projector(database, log, Words(schema, prefix=schema))

    async def write_and_read(number: int) -> int:
        word = f"{schema}-{number}"
        await projector.wait_for(await say(log, Subject.of(STREAM, "word", schema, str(number)), word))
        return (await said(database, schema))[word]

    async with running(projector):
        assert await asyncio.gather(*(write_and_read(number) for number in range(100))) == [1] * 100


async def test_dropped_tables_are_made_again(log: Log, database: Database, schema: str, subject: Subject) -> None:
    projector = Projector(database, log, Words(schema, prefix=schema))
    async with running(projector):
        await projector.wait_for(await say(log, subject, f"{schema}-a"))
        await database.pool.execute(f"DROP SCHEMA {schema} CASCADE")
        last = await say(log, subject, f"{schema}-a")
        await projector.wait_for(last)
        assert await said(database, schema) == {f"{schema}-a": 2}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Servers that a test may kill."""
    async with run_servers(tmp_path_factory.mktemp("own")) as servers:
        yield servers


@pytest.mark.parametrize("victim", ["postgres", "nats"])
async def test_kills_of_a_server_lose_and_double_nothing(own_servers: Servers, schema: str, victim: str) -> None:
    subject = Subject.of(STREAM, "word", schema)
    settings = LogSettings(
        nats_url=own_servers.nats_url, user=own_servers.nats_user, password=own_servers.nats_password
    )
    blobs = BlobStore.open(
        BlobSettings.model_validate(
            {
                "driver": "directory",
                "bucket": own_servers.bucket,
                "endpoint": own_servers.s3_endpoint,
                "access_key": own_servers.s3_access_key,
                "secret_key": own_servers.s3_secret_key,
                "directory": own_servers.object_directory,
            }
        )
    )
    log = await Log.connect(settings, blobs, name="kills")
    database = await Database.connect(DatabaseSettings(dsn=own_servers.dsn))
    projector = Projector(database, log, Words(schema, prefix=schema))
    async with running(projector):
        count = 0
        for _ in range(3):
            await say(log, subject, *[f"{schema}-a"] * 50)  # the projector is in the middle of these
            await own_servers.kill(victim)
            if victim == "postgres":
                await say(log, subject, *[f"{schema}-a"] * 10)
                count += 10
            await own_servers.restart(victim)
            count += 50
            await projector.wait_for(await say(log, subject, f"{schema}-b"), timeout=30)
            assert (await said(database, schema))[f"{schema}-a"] == count
    await log.close()
    await database.close()
    await blobs.close()
