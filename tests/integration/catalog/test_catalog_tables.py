"""The catalog's tables: what they hold, however the stream is cut, and that reads cost the same when they grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio
from flyteidl.core.identifier_pb2 import DATASET, TASK, Identifier, NodeExecutionIdentifier, TaskExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Head, Recorded
from flightlog_protos.catalog.v1 import artifacts_pb2 as artifacts
from flightlog_protos.catalog.v1 import cache_pb2 as cache
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope
from flightlog_read import DatabaseSettings
from flightlog_read.batches import SESSION
from services.catalog.projection.projection import CatalogProjection
from services.catalog.projection.tables import ARTIFACTS, DATASETS, DDL, ENTRIES, Table

AT = Timestamp(seconds=1_700_000_000)
DATASET_ID = Identifier(
    resource_type=DATASET, project="p", domain="d", name="flyte_task-main.t", version="1.0-aaaaaaaa-bbbb-bbb"
)
TABLES = ("datasets", "artifacts", "entries", "uses")


def key(tag: str) -> cache.CacheKey:
    return cache.CacheKey(dataset=DATASET_ID, tag=tag)


def node(name: str) -> NodeExecutionIdentifier:
    identifier = NodeExecutionIdentifier(node_id="n0")
    execution = identifier.execution_id
    execution.project, execution.domain, execution.name = "p", "d", name
    return identifier


def cached(tag: str, artifact_id: str, maker: str = "") -> cache.ResultCached:
    result = cache.CachedResult(artifact_id=artifact_id, outputs=DataRef(uri=f"s3://b/{artifact_id}"))
    if maker:
        task = Identifier(resource_type=TASK, project="p", domain="d", name="main.t", version="v7")
        result.source.CopyFrom(TaskExecutionIdentifier(task_id=task, node_execution_id=node(maker)))
    return cache.ResultCached(key=key(tag), result=result, occurred_at=AT)


def found(tag: str, artifact_id: str, user: str) -> cache.CacheAnswer:
    result = cache.CachedResult(artifact_id=artifact_id)
    return cache.CacheAnswer(node=node(user), kind=cache.CacheAnswer.FOUND, key=key(tag), result=result, occurred_at=AT)


HISTORY: tuple[Message, ...] = (
    cache.ReservationGranted(key=key("t"), holder=node("maker")),
    cached("t", "a", "maker"),
    found("t", "a", "first"),
    found("t", "a", "first"),
    found("t", "a", "second"),
    cache.CacheAnswer(node=node("third"), kind=cache.CacheAnswer.NOT_FOUND, key=key("u"), occurred_at=AT),
    cache.ResultPinned(key=key("t"), artifact_id="a", occurred_at=AT),
    artifacts.DatasetCreated(dataset=DATASET_ID, uuid="u", partition_keys=["k"], occurred_at=AT),
    artifacts.ArtifactCreated(
        dataset=DATASET_ID,
        artifact_id="b",
        data=DataRef(uri="s3://b/b"),
        metadata={"by": "me"},
        partitions=[artifacts.ArtifactPartition(key="k", value="v")],
        occurred_at=AT,
    ),
    cached("u", "b"),
    cache.ResultEvicted(key=key("u"), artifact_id="b", occurred_at=AT),
    artifacts.ArtifactUpdated(
        dataset=DATASET_ID,
        artifact_id="b",
        data=DataRef(uri="s3://b/c"),
        metadata={"by": "you"},
        revision=2,
        occurred_at=AT,
    ),
    # Tagged before it was updated, recorded after.
    cached("v", "b"),
    cache.ReservationGranted(key=key("u"), owner="a client", occurred_at=AT),
    cache.ReservationExtended(key=key("u"), owner="a client", occurred_at=AT),
    cache.ReservationEnded(key=key("u"), node=node("somebody else"), occurred_at=AT),
    cache.ReservationGranted(key=key("w"), owner="a client", occurred_at=AT),
    cache.ReservationEnded(key=key("w"), owner="a client", occurred_at=AT),
    cached("x", "c", "maker"),
    cache.ResultPinned(key=key("x"), artifact_id="c", occurred_at=AT),
    cached("x", "d", "other"),
)


def recorded() -> list[Recorded]:
    return [
        Recorded("catalog.00.x", number, Envelope(), (fact,), Head.EMPTY)
        for number, fact in enumerate(HISTORY, start=1)
    ]


@pytest_asyncio.fixture(loop_scope="session")
async def connection(database_settings: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    """A connection to empty tables that nobody has analysed."""
    connection = await asyncpg.connect(database_settings.dsn)
    schema = f"catalog_{uuid4().hex}"
    try:
        await connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema};" + DDL)
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        yield connection
    finally:
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
        await connection.close()


async def contents(connection: asyncpg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: [tuple(row) for row in await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5")]
        for table in TABLES
    }


async def project(connection: asyncpg.Connection, batches: Sequence[Sequence[Recorded]]) -> Any:
    await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
    for batch in batches:
        await CatalogProjection().apply(connection, batch)
    return await contents(connection)


async def test_the_rows_say_what_the_facts_say(connection: asyncpg.Connection) -> None:
    await project(connection, [recorded()])
    columns = (
        "tag, name, cache_version, artifact_id, source_execution, task_version, pinned, evicted, reserved_by, "
        "cached_at IS NOT NULL AS cached"
    )
    rows = await connection.fetch(f"SELECT {columns} FROM entries ORDER BY tag")
    assert [tuple(row) for row in rows] == [
        ("t", "main.t", "1.0", "a", "maker", "v7", True, False, "", True),
        ("u", "main.t", "1.0", "", "", "", False, True, "a client", False),
        ("v", "main.t", "1.0", "b", "", "", False, False, "", True),
        ("w", "main.t", "1.0", "", "", "", False, False, "", False),
        ("x", "main.t", "1.0", "d", "other", "v7", False, False, "", True),
    ]
    uses = await connection.fetch("SELECT execution, artifact_id FROM uses ORDER BY execution")
    assert [tuple(row) for row in uses] == [("first", "a"), ("second", "a")]
    (dataset,) = await connection.fetch("SELECT id, uuid, created FROM datasets")
    assert tuple(dataset) == (2, "u", True)
    rows = await connection.fetch("SELECT artifact_id, id, partitions, data FROM artifacts ORDER BY artifact_id")
    assert [(row["artifact_id"], row["id"], DataRef.FromString(row["data"]).uri) for row in rows] == [
        ("a", 2, "s3://b/a"),
        ("b", 9, "s3://b/c"),
        ("c", 19, "s3://b/c"),
        ("d", 21, "s3://b/d"),
    ]
    assert rows[1]["partitions"] == '{"k": "v"}'


async def test_the_rows_are_the_same_however_the_stream_is_cut(connection: asyncpg.Connection) -> None:
    whole = await project(connection, [recorded()])
    for size in (1, 2, 3, 7):
        batches = [recorded()[start : start + size] for start in range(0, len(HISTORY), size)]
        assert await project(connection, batches) == whole
    # Applied again, as after a crash before the checkpoint, they stay the same.
    await CatalogProjection().apply(connection, recorded())
    assert (await contents(connection))["uses"] == whole["uses"]


_VALUES = {"text": "'x' || g", "bigint": "g", "boolean": "false", "timestamptz": "now()", "jsonb": "'{}'"}


def filling(table: Table[Any]) -> str:
    """A statement that makes 5,000 rows."""
    values = ", ".join(_VALUES.get(kind, "convert_to('k' || g, 'UTF8')") for kind in table.columns.values())
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) SELECT {values} FROM generate_series(1, 5000) g;"


async def test_rows_are_found_by_index_with_plans_made_for_empty_tables(connection: asyncpg.Connection) -> None:
    await connection.execute(SESSION + "SET plan_cache_mode TO force_generic_plan;")
    reads = {
        "artifact": ("SELECT * FROM artifacts WHERE key = $1::bytea", "'x'"),
        "by_id": ("SELECT * FROM artifacts WHERE artifact_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1", "'x'"),
        "listed": (
            "SELECT * FROM artifacts r WHERE TRUE AND r.dataset_key = $1::bytea "
            "ORDER BY r.created_at DESC, r.id DESC LIMIT 50",
            "'x'",
        ),
        "tags": (
            "SELECT * FROM entries e JOIN unnest($1::bytea[], $2::text[]) AS wanted (dataset_key, artifact_id) "
            "USING (dataset_key, artifact_id)",
            "'{x}', '{x}'",
        ),
        "tagged": (
            "SELECT * FROM entries e WHERE NOT e.evicted AND e.project = $1 AND e.domain = $2 AND e.name = $3 "
            "AND e.tag = $4 ORDER BY e.cached_at DESC, e.id DESC LIMIT 1000",
            "'x', 'x', 'x', 'x'",
        ),
        "used": ("SELECT * FROM uses WHERE artifact_id = $1 ORDER BY used_at DESC LIMIT 9", "'x'"),
    }
    for table in (DATASETS, ARTIFACTS, ENTRIES):
        reads[f"{table.name}_load"] = (table.load(), "'{x}'")
    for name, (statement, _) in reads.items():
        await connection.execute(f"PREPARE {name} AS {statement}")
    await connection.execute("".join(filling(table) for table in (DATASETS, ARTIFACTS, ENTRIES)))
    for name, (_, arguments) in reads.items():
        rows = await connection.fetch(f"EXPLAIN EXECUTE {name} ({arguments})")
        shown = "\n".join(row[0] for row in rows)
        assert "Seq Scan" not in shown, shown
        assert "Index" in shown, shown
        assert name != "tagged" or "entries_by_tag" in shown, shown
