"""The index of lineage on a real log and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import asyncpg
import pytest_asyncio
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from google.protobuf.message import Message

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_read import Database, DatabaseSettings, Projector
from services.catalog.lineage import index as statements
from services.catalog.lineage.index import Index
from services.catalog.lineage.projection import LineageProjection
from services.catalog.lineage.reading import Reading
from services.catalog.subjects import ExecutionKey

CAUSE = Cause.service("test")


class Written:
    """An index, and a log to write executions to."""

    def __init__(self, log: Log, blobs: BlobStore, index: Index) -> None:
        self._log = log
        self._blobs = blobs
        self.index = index

    async def execution(self, *said: Message) -> tuple[ExecutionKey, int]:
        """An execution with these facts in one envelope, and its sequence."""
        key = ("tests", "development", f"a{uuid4().hex}")
        recorded = await self._log.append(Subject.of("EXECUTION", *key), said, head=Head.EMPTY, cause=CAUSE)
        await self.index.wait()
        return key, recorded.sequence

    def reading(self, reads: int) -> Reading:
        """For one question, which may read so much."""
        return Reading(
            self._log, self._blobs, self.index, executions=10, mentions=10, reads=reads, value_bytes=1_000_000
        )

    async def owners(self, address: str, before: int = 0) -> list[tuple[ExecutionKey, str]]:
        return [(one.execution, one.node_id) for one in (await self.index.makers(address, before)).owners]

    async def givers(self, address: str, before: int = 0) -> list[ExecutionKey]:
        return [one.execution for one in (await self.index.makers(address, before)).givers]

    async def users(self, *addresses: str) -> list[tuple[ExecutionKey, str]]:
        return [(one.execution, one.address) for one in await self.index.users(addresses, 10)]


@pytest_asyncio.fixture(loop_scope="session")
async def written(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> AsyncIterator[Written]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    database = await Database.connect(database_settings)
    projector = Projector(database, log, LineageProjection())
    following = asyncio.ensure_future(projector.run())
    await projector.wait_until_serving()
    yield Written(log, blobs, Index(log, database, projector))
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    await database.close()
    await log.close()
    await blobs.close()


def prefix() -> str:
    return f"s3://bucket/{uuid4().hex}"


async def test_owner_is_found_by_whatever_lies_below_its_prefix(written: Written) -> None:
    own = prefix()
    key, _ = await written.execution(
        facts.AttemptScheduled(node_id="n0", raw_output_prefix=own),
        facts.AttemptScheduled(node_id="n1", raw_output_prefix=f"{own}/in/engine", in_engine=True),
    )
    for address in (own, f"{own}/", f"{own}/a", f"{own}/in/engine/b"):
        assert await written.owners(address) == [(key, "n0")]
    for address in (f"{own}a", own.rpartition("/")[0], "", "\0", f"{own}\0"):
        assert await written.owners(address) == []


async def test_users_are_found_by_what_they_were_given_and_by_folders_around_it(written: Written) -> None:
    given = prefix()
    key, _ = await written.execution(facts.ExecutionCreated(addresses=[f"{given}/a/b", f"{given}/ab", "x\0y"]))
    assert await written.users(f"{given}/a/b") == [(key, f"{given}/a/b")]
    assert await written.users(f"{given}/a") == [(key, f"{given}/a/b")]
    assert await written.users(f"{given}/a/") == [(key, f"{given}/a/b")]
    assert set(await written.users(given, f"{given}/ab")) == {(key, f"{given}/a/b"), (key, f"{given}/ab")}
    assert await written.users(f"{given}/a/b/c", f"{given}/", "\0") == [(key, f"{given}/a/b"), (key, f"{given}/ab")]


async def test_of_many_users_of_many_addresses_the_last_ones_are_found(written: Written) -> None:
    given = prefix()
    users = [
        await written.execution(facts.ExecutionCreated(addresses=[f"{given}/{number}", f"{given}/x/{number}"]))
        for number in range(4)
    ]
    asked = [f"{given}/{number}" for number in range(4)]
    for addresses, most in ((asked, 3), ([given], 3), ([given, f"{given}/x"], 5)):
        found = await written.index.users(addresses, most)
        assert len(found) == most
        assert found[-1].execution == users[-1][0]


async def test_a_question_reads_so_much_and_no_more(written: Written) -> None:
    own = prefix()
    key, _ = await written.execution(
        facts.ExecutionCreated(addresses=[own]), facts.AttemptScheduled(node_id="n0", raw_output_prefix=own)
    )
    reading = written.reading(2)
    for _ in range(3):
        assert (await reading.makers(own, 0)).owners
    assert await reading.users([own])
    assert not reading.exhausted
    assert await reading.reuses(key) == []
    assert reading.exhausted
    assert not (await reading.makers(f"{own}/other", 0)).owners
    assert await reading.users([own]) == []
    assert await reading.literals(DataRef(uri="s3://bucket/other")) is None
    assert (await reading.makers(own, 0)).owners


async def test_addresses_may_be_of_any_length(written: Written) -> None:
    """Only their beginnings are indexed; all of them count."""
    start = f"{prefix()}/{'ä' * 3000}"
    key, _ = await written.execution(
        facts.ExecutionCreated(addresses=[f"{start}/one/deep"]), facts.ExecutionStarted(addresses=[f"{start}/two"])
    )
    assert await written.users(f"{start}/one") == [(key, f"{start}/one/deep")]
    assert await written.users(f"{start}/two") == [(key, f"{start}/two")]
    assert await written.users(f"{start}/tw") == []


async def test_only_what_came_before_counts_as_a_maker(written: Written) -> None:
    table = prefix()
    early, first = await written.execution(facts.AttemptSucceeded(node_id="n0", addresses=[table]))
    late, second = await written.execution(facts.AttemptSucceeded(node_id="n0", addresses=[f"{table}/"]))
    assert set(await written.givers(f"{table}/part")) == {late, early}
    assert await written.givers(table, second) == [early]
    assert await written.givers(table, first) == []


async def test_reuses_are_found_by_the_execution_whose_result_it_was(written: Written) -> None:
    source, _ = await written.execution(facts.ExecutionCreated())
    taken = facts.NodeSucceeded(node_id="n7", cache_status=CatalogCacheStatus.CACHE_HIT)
    made = taken.catalog_key.source_task_execution.node_execution_id
    made.node_id = "n3"
    made.execution_id.project, made.execution_id.domain, made.execution_id.name = source
    by_client = facts.NodeSucceeded(node_id="n8", cache_status=CatalogCacheStatus.CACHE_HIT)
    recovered = facts.NodeRecovered(node_id="n9", source=made)
    user, _ = await written.execution(taken, by_client, recovered)
    found = await written.index.reuses(source, 10)
    assert {(one.node_id, one.execution, one.user) for one in found} == {("n3", user, "n7"), ("n3", user, "n9")}


async def test_looking_up_an_address_costs_the_same_however_many_there_are(
    written: Written, database_settings: DatabaseSettings
) -> None:
    """With plans made for tables nobody has analysed, too."""
    await written.execution(facts.ExecutionCreated())
    connection = await asyncpg.connect(database_settings.dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(
            "INSERT INTO lineage.addresses SELECT -g, 0, 's3://plans/' || g, 2, 'p', 'd', 'e' || g, '' "
            "FROM generate_series(1, 5000) g; SET LOCAL plan_cache_mode TO force_generic_plan"
        )
        for statement, arguments in (
            (statements._OF_ADDRESS, "'{s3://plans/7}', '{2,3}', 0, 10"),  # pyright: ignore[reportPrivateUsage]
            (statements._BELOW, "'{s3://plans/7}', '{2,3}', 10"),  # pyright: ignore[reportPrivateUsage]
        ):
            name = f"q{uuid4().hex}"
            await connection.execute(f"PREPARE {name} AS {statement}")
            plan = await connection.fetch(f"EXPLAIN EXECUTE {name} ({arguments})")
            assert "addresses_address" in "\n".join(row[0] for row in plan)
    finally:
        await transaction.rollback()
        await connection.close()
