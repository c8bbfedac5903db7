"""Selections over real tables, evictions while results come, and statements whose plans fit tables of any size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio
from flyteidl.core.identifier_pb2 import (
    DATASET,
    TASK,
    Identifier,
    NodeExecutionIdentifier,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Log, LogSettings
from flightlog_protos.catalog.v1 import catalog_service_pb2 as catalog
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey, ResultCached, ResultEvicted
from flightlog_read import Database, DatabaseSettings, Projector
from flightlog_rpc import CallContext
from services.catalog import subjects
from services.catalog.entries import Rules
from services.catalog.keeping import Entries
from services.catalog.looking import reading, selection
from services.catalog.looking.calls import Keeping
from services.catalog.looking.reading import Reads
from services.catalog.projection.projection import CatalogProjection
from services.catalog.projection.tables import DDL, ENTRIES
from services.catalog.requests import Put

CALL = CallContext.of([("user-agent", "tester")], "ipv4:127.0.0.1:1")
CAUSE = Cause.service("test")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Cache:
    """A catalog without a server. Its results are of a project that no other test has."""

    log: Log
    entries: Entries
    reads: Reads
    keeping: Keeping
    project: str

    def key(self, tag: str, name: str = "t", version: str = "1") -> CacheKey:
        dataset = Identifier(
            resource_type=DATASET,
            project=self.project,
            domain="d",
            name=f"flyte_task-{name}",
            version=f"{version}-aaaaaaaa-bbbbbbbb",
        )
        return CacheKey(dataset=dataset, tag=tag)

    async def put(
        self, key: CacheKey, *, execution: str = "e", task_version: str = "v", seconds: float = 0, size: int = 0
    ) -> str:
        """Puts a result there, in the place of one that is; returns its id."""
        node = NodeExecutionIdentifier(
            execution_id=WorkflowExecutionIdentifier(project=self.project, domain="d", name=execution), node_id="n0"
        )
        task = Identifier(resource_type=TASK, project=self.project, domain="d", name="t", version=task_version)
        result = CachedResult(
            artifact_id=str(uuid4()),
            source=TaskExecutionIdentifier(task_id=task, node_execution_id=node),
            metadata={"filling": "x" * size} if size else {},
        )
        put = Put(None, result, overwrites=True)
        await self.entries.change(key, [put], Cause.service("test"), at=moment(seconds))
        return result.artifact_id

    async def listed(self, limit: int = 1000, **selected: Any) -> list[str]:
        where = selection.where(catalog.CacheSelection(project=self.project, **selected))
        entries, _ = await self.reads.entries(where, limit)
        return [entry.result.artifact_id for entry in entries]


def moment(seconds: float) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(BEGIN + timedelta(seconds=seconds))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> AsyncIterator[tuple[Log, Reads]]:
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(blob_settings)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(log_settings, blobs, name="test")
        stack.push_async_callback(log.close)
        database = await Database.connect(database_settings)
        stack.push_async_callback(database.close)
        projector = Projector(database, log, CatalogProjection())
        running = asyncio.create_task(projector.run())
        await projector.wait_until_serving()
        yield log, Reads(log, database, projector)
        running.cancel()
        await asyncio.wait({running})


@pytest_asyncio.fixture(loop_scope="session")
async def cache(shared: tuple[Log, Reads]) -> Cache:
    log, reads = shared
    entries = Entries(log, Rules())
    return Cache(log, entries, reads, Keeping(entries, reads), f"p{uuid4().hex}")


async def test_every_part_of_a_selection_narrows_it(cache: Cache) -> None:
    first = await cache.put(cache.key("a"), execution="x", task_version="v1", seconds=1)
    second = await cache.put(cache.key("b", version="2"), execution="y", task_version="v1", seconds=2)
    third = await cache.put(cache.key("c", name="u"), execution="y", task_version="v2", seconds=3)
    cases: tuple[tuple[dict[str, Any], list[str]], ...] = (
        ({}, [third, second, first]),
        ({"name": "t"}, [second, first]),
        ({"cache_version": "2"}, [second]),
        ({"dataset_version": "1-aaaaaaaa-bbbbbbbb"}, [third, first]),
        ({"task_version": "v1"}, [second, first]),
        ({"execution": "y"}, [third, second]),
        ({"execution": f"{cache.project}/d/x"}, [first]),
        ({"execution": f"{cache.project}/other/x"}, []),
        ({"tag": "a"}, [first]),
        ({"artifact_id": second}, [second]),
        ({"artifact_ids": [first, third]}, [third, first]),
        ({"before": moment(3)}, [second, first]),
        ({"name": "t", "execution": "y"}, [second]),
        ({"pinned": True}, []),
        ({"domain": "elsewhere"}, []),
    )
    for selected, expected in cases:
        assert await cache.listed(**selected) == expected, selected
    await cache.keeping.pin(catalog.PinRequest(selection=catalog.CacheSelection(artifact_id=first)), CALL)
    assert await cache.listed(pinned=True) == [first]
    assert await cache.listed(pinned=False) == [third, second]


async def test_what_is_used_is_not_unused(cache: Cache) -> None:
    used, unused = await cache.put(cache.key("a"), seconds=1), await cache.put(cache.key("b"), seconds=1)
    execution = WorkflowExecutionIdentifier(project=cache.project, domain="d", name="user")
    answer = CacheAnswer(
        kind=CacheAnswer.FOUND,
        key=cache.key("a"),
        node=NodeExecutionIdentifier(execution_id=execution, node_id="n0"),
        result=CachedResult(artifact_id=used),
        occurred_at=moment(10),
    )
    subject = subjects.answers((cache.project, "d", "user"))
    await cache.log.publish(subject, [answer], cause=CAUSE, message_id=uuid4().hex)
    assert await cache.listed(unused_since=moment(10)) == [unused]
    assert set(await cache.listed(unused_since=moment(11))) == {used, unused}
    assert await cache.listed(unused_since=moment(1)) == []
    entry = await cache.reads.entry(cache.key("a"))
    assert entry is not None
    assert (entry.uses, entry.last_used_at) == (1, moment(10))
    (user,) = await cache.reads.users(used, 10)
    assert (user.node.execution_id.name, user.used_at) == ("user", moment(10))


async def test_an_answer_is_never_too_large_for_a_client(cache: Cache) -> None:
    expected = [await cache.put(cache.key(f"t{number}"), seconds=number, size=200_000) for number in range(15)]
    found, token, answers = list[str](), "", 0
    while True:
        where = selection.where(catalog.CacheSelection(project=cache.project)) & selection.behind(token)
        entries, token = await cache.reads.entries(where, 1000)
        assert sum(entry.ByteSize() for entry in entries) < 3_000_000
        found += [entry.result.artifact_id for entry in entries]
        answers += 1
        if not token:
            break
    assert found == expected[::-1]
    assert answers == 2


async def test_results_that_come_while_others_are_evicted_stay(cache: Cache) -> None:
    """An eviction is of the results that were selected, whatever takes their place meanwhile."""
    keys = [cache.key(f"t{number}") for number in range(12)]
    old = {await cache.put(key) for key in keys}
    request = catalog.EvictRequest(selection=catalog.CacheSelection(artifact_ids=old), reason="race")
    evicting = asyncio.create_task(cache.keeping.evict(request, CALL))
    new = await asyncio.gather(*(cache.put(key, execution="new", seconds=1) for key in keys))
    answer = await evicting
    assert set(await cache.listed()) == set(new)
    evicted = {entry.result.artifact_id for entry in answer.evicted}
    assert evicted <= old
    told = set[str]()
    for key in keys:
        for record in await cache.log.load(subjects.entry(key)):
            for fact in record.facts:
                if isinstance(fact, ResultEvicted):
                    told.add(fact.artifact_id)
                    assert (fact.reason, record.envelope.actor.subject) == ("race", "tester")
                else:
                    assert isinstance(fact, ResultCached)
    assert told == evicted


async def test_two_who_evict_at_once_evict_once(cache: Cache) -> None:
    await asyncio.gather(*(cache.put(cache.key(f"t{number}")) for number in range(5)))
    request = catalog.EvictRequest(selection=catalog.CacheSelection(project=cache.project))
    answers = await asyncio.gather(*(cache.keeping.evict(request, CALL) for _ in range(3)))
    evicted = [entry.result.artifact_id for answer in answers for entry in answer.evicted]
    assert len(evicted) == len(set(evicted)) == 5
    assert await cache.listed() == []


async def test_lists_and_candidates_are_found_by_an_index(database_settings: DatabaseSettings) -> None:
    connection = await asyncpg.connect(database_settings.dsn)
    schema = f"plans_{uuid4().hex}"
    values = {"key": "int4send(g)", "dataset_key": "int4send(g % 50)", "name": "'t' || g % 50", "cached_at": "now()"}
    kinds = {"text": "''", "bigint": "g", "boolean": "false", "timestamptz": "now()", "bytea": "''"}
    filling = ", ".join(values.get(name) or kinds[kind] for name, kind in ENTRIES.columns.items())
    try:
        await connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema};" + DDL)
        await connection.execute("ALTER TABLE entries SET (autovacuum_enabled = false)")
        await connection.execute("SET plan_cache_mode TO force_generic_plan;")
        await connection.execute(
            f"INSERT INTO entries ({', '.join(ENTRIES.columns)}) SELECT {filling} FROM generate_series(1, 5000) g"
        )
        for statement, types, arguments, indexes in (
            (
                reading._CANDIDATES,  # pyright: ignore[reportPrivateUsage]
                "timestamptz, text, text, text, bytea, text",
                "now(), 'p', 'd', 't7', 'k', 'tag'",
                {"entries_by_name", "entries_of_dataset_by_time"},
            ),
            (
                reading._ELSEWHERE,  # pyright: ignore[reportPrivateUsage]
                "timestamptz, text",
                "now(), 't7'",
                {"entries_by_name"},
            ),
        ):
            name = f"s{uuid4().hex}"
            await connection.execute(f"PREPARE {name} ({types}) AS {statement.replace('catalog.', '')}")
            rows = await connection.fetch(f"EXPLAIN EXECUTE {name} ({arguments})")
            plan = "\n".join(row[0] for row in rows)
            assert all(index in plan for index in indexes), plan
            assert "Seq Scan" not in plan, plan
    finally:
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
        await connection.close()
