"""Tables filled by several processes from the start of a log: the same rows as the projector's own, or none at all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import nats
import psutil
import pytest
import pytest_asyncio
from nats.aio.client import Client

from flightlog_log import Cause, Head, Log, LogSettings, Raw, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from flightlog_read import (
    Database,
    DatabaseUnavailable,
    LoadFailed,
    Loading,
    Projector,
    RebuildProgress,
    rebuild,
    rebuild_together,
)
from flightlog_read.loading import Source
from services.catalog.lineage.projection import LineageProjection
from services.execution.history.replay.encoding import from_bytes
from services.execution.projection.projection import ExecutionProjection
from services.history.audit.projection import of_execution
from tests.integration.read.toy_projection import Speeches, running, say, speeches

SEVERAL = Loading(processes=2, from_messages=0)
ALONE = Loading(from_messages=1 << 60)
HISTORIES = Path(__file__).parents[2] / "unit" / "engine" / "histories"


@asynccontextmanager
async def nats_client(settings: LogSettings) -> AsyncGenerator[Client]:
    """A client that may publish anything."""
    assert settings.password is not None
    client = await nats.connect(settings.nats_url, user=settings.user, password=settings.password.get_secret_value())
    try:
        yield client
    finally:
        await client.close()


@pytest_asyncio.fixture
async def schemas(database: Database) -> AsyncIterator[None]:
    """No tables of the services: a rebuild goes as far as those are that it finds, and no further."""

    async def drop() -> None:
        for name in ("execution", "lineage", "audit_execution"):
            for schema in (name, f"{name}__old", f"{name}__new"):
                await database.pool.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    await drop()
    yield
    await drop()


async def definitions(database: Database, schema: str) -> list[tuple[str, str]]:
    """Indexes and constraints of a schema's tables, by name."""
    rows = await database.pool.fetch(
        """
        SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE schemaname = $1
        UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = $1::regnamespace
        """,
        schema,
    )
    return sorted((row["name"], row["definition"].replace(f"{schema}.", "")) for row in rows)


async def test_all_golden_histories_give_the_rows_that_the_projector_writes(
    log: Log, database: Database, schemas: None
) -> None:
    """Interleaved, an envelope of each at a time; some are gone on with when they were over, one is deleted."""
    names = [(path, Subject.of("EXECUTION", "golden", "loading", f"h{uuid4().hex}")) for path in HISTORIES.iterdir()]
    waiting = [(subject, [step.facts for step in from_bytes(path.read_bytes()).steps]) for path, subject in names]
    heads: dict[str, Head] = {}
    while waiting:
        for subject, steps in waiting:
            head = heads.get(str(subject), Head.EMPTY)
            cause = Cause.service("test") if head.position else Cause.request("somebody", "test", "::1")
            recorded = await log.append(subject, steps.pop(0), head=head, cause=cause)
            heads[str(subject)] = recorded.head
        waiting = [(subject, steps) for subject, steps in waiting if steps]
    gone = names[0][1]
    await log.append(gone, [ExecutionDeleted()], head=heads[str(gone)], cause=Cause.request("somebody", "test", "::1"))
    projections = ExecutionProjection(), LineageProjection(), of_execution()
    before = await rebuild_together(database, log, projections, loading=ALONE)
    indexes = await definitions(database, "execution")
    progress: list[RebuildProgress] = []
    after = await rebuild_together(database, log, projections, progress.append, loading=SEVERAL)
    for first, second in zip(before, after, strict=True):
        assert second.identical, [table for table in second.tables if not table.identical]
        assert second.compared_at == first.sequence
        assert second.skipped == first.skipped
    rows = {table.table: table.rebuilt.rows for result in after for table in result.tables if table.rebuilt}
    assert rows["executions"] >= len(names) - 1
    (name,) = gone.parts[2:]
    assert not await database.pool.fetchval("SELECT count(*) FROM execution.executions WHERE execution_name = $1", name)
    assert min(rows.values()) > 0, rows
    assert indexes == await definitions(database, "execution")
    steps = [one.step for one in progress]
    assert steps.index("reading the log") < steps.index("making indexes") < steps.index("comparing")
    tight = Loading(processes=3, from_messages=0, most_bytes=20_000)
    assert all(one.identical for one in await rebuild_together(database, log, projections, loading=tight))


async def test_what_cannot_be_written_is_set_aside_as_the_projector_does(
    log: Log, log_settings: LogSettings, database: Database, schema: str
) -> None:
    """A word that cannot be folded, one that Postgres refuses, one after the end, and bytes that are no envelope."""
    good, folded, refused, ended = (Subject.of("ADMISSION", "speech", schema, name) for name in "abcd")
    await say(log, good, f"{schema}-1", f"{schema}-2")
    poisonous = await say(log, folded, f"{schema}-1", f"{schema}-poison")
    unfit = await say(log, refused, f"{schema}-1", f"{schema}-\0")
    for subject in (folded, refused):
        await say(log, subject, f"{schema}-3")
    await say(log, ended, f"{schema}-1", f"{schema}-end", f"{schema}-3")
    async with nats_client(log_settings) as client:
        stored = await client.jetstream().publish(str(Subject.of("ADMISSION", "speech", schema, "e")), b"no envelope")
    await say(log, good, f"{schema}-3")
    projection = Speeches(schema, stream="ADMISSION", prefix=schema)
    before = await rebuild(database, log, projection, loading=ALONE)
    rows = await speeches(database, schema)
    assert {subject.parts[-1]: rows[str(subject)] for subject in (good, folded, refused, ended)} == {
        "a": ["1", "2", "3"],
        "b": ["1", "3"],
        "c": ["1", "3"],
        "d": ["1", "end", "3"],
    }
    after = await rebuild(database, log, projection, loading=SEVERAL)
    assert after.identical
    assert after.skipped == before.skipped
    assert {poisonous, unfit, stored.seq} <= {sequence for sequence, _ in after.skipped}


async def test_it_is_served_and_written_meanwhile(log: Log, database: Database, schema: str, subject: Subject) -> None:
    """The projector goes on with the tables that took the place of its own."""
    projector = Projector(database, log, Speeches(schema, prefix=schema))
    stop = asyncio.Event()

    async def keep_talking() -> list[str]:
        words: list[str] = []
        while not stop.is_set():
            words.append(str(len(words)))
            await projector.wait_for(await say(log, subject, f"{schema}-{words[-1]}"))
            assert (await speeches(database, schema))[str(subject)] == words  # reads are right all the time
        return words

    async with running(projector):
        await projector.wait_until_serving()
        talking = asyncio.create_task(keep_talking())
        for _ in range(2):
            assert (await rebuild(database, log, Speeches(schema, prefix=schema), loading=SEVERAL)).identical
        stop.set()
        words = await talking
        assert (await speeches(database, schema))[str(subject)] == words


async def test_a_projector_that_begins_with_a_long_log_is_helped_by_others(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    await say(log, subject, f"{schema}-1", f"{schema}-poison")
    poisonous = await log.last_sequence(subject)
    projector = Projector(database, log, Speeches(schema, prefix=schema), loading=SEVERAL)
    async with running(projector):
        await projector.wait_for(await say(log, subject, f"{schema}-2"))
    assert (await speeches(database, schema))[str(subject)] == ["1", "2"]
    parked = {one.original_sequence async for one in log.parked() if one.consumer == f"projection-{schema}"}
    assert parked == {poisonous}


def loading_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "loading_process" in " ".join(child.cmdline())]


def held_up(log: Log, begun: asyncio.Event, go_on: asyncio.Event) -> Source:
    """A source that stops after its first message until it may go on."""

    async def source(stream: str) -> AsyncGenerator[list[Raw]]:
        async for batch in log.follow_stored(stream, after=0, live=False):
            yield batch[:1]
            begun.set()
            await go_on.wait()
            yield batch[1:]

    return source


async def test_a_process_that_is_killed_ends_the_rebuild_and_nothing_else(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    await say(log, subject, f"{schema}-1", f"{schema}-2")
    projection = Speeches(schema, prefix=schema)
    await rebuild(database, log, projection)
    begun, go_on = asyncio.Event(), asyncio.Event()
    loading = Loading(processes=2, from_messages=0, source=held_up(log, begun, go_on))
    rebuilding = asyncio.create_task(rebuild(database, log, projection, loading=loading))
    await begun.wait()
    first, *others = loading_processes()
    os.kill(first.pid, signal.SIGKILL)
    go_on.set()
    with pytest.raises(LoadFailed, match="ended with -9"):
        await rebuilding
    assert not any(process.is_running() for process in others)
    assert (await speeches(database, schema))[str(subject)] == ["1", "2"]
    assert (await rebuild(database, log, projection, loading=SEVERAL)).identical


async def test_postgres_that_goes_away_is_told_as_that(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    await say(log, subject, f"{schema}-1", f"{schema}-2")
    projection = Speeches(schema, prefix=schema)
    begun, go_on = asyncio.Event(), asyncio.Event()
    loading = Loading(processes=1, from_messages=0, source=held_up(log, begun, go_on))
    rebuilding = asyncio.create_task(rebuild(database, log, projection, loading=loading))
    await begun.wait()
    ended = 0
    while not ended:  # the process connects before it takes anything in
        ended = await database.pool.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1",
            f"flightlog {schema}__new load",
        )
    go_on.set()
    with pytest.raises(DatabaseUnavailable):
        await rebuilding
    assert (await rebuild(database, log, projection, loading=SEVERAL)).compared_at is None
    assert (await speeches(database, schema))[str(subject)] == ["1", "2"]


async def test_a_rebuild_that_is_given_up_leaves_the_live_tables_and_no_process(
    log: Log, database: Database, schema: str, subject: Subject
) -> None:
    await say(log, subject, f"{schema}-1", f"{schema}-2")
    projection = Speeches(schema, prefix=schema)
    await rebuild(database, log, projection)
    begun, go_on = asyncio.Event(), asyncio.Event()
    loading = Loading(processes=2, from_messages=0, source=held_up(log, begun, go_on))
    rebuilding = asyncio.create_task(rebuild(database, log, projection, loading=loading))
    await begun.wait()
    processes = loading_processes()
    assert len(processes) == 2
    rebuilding.cancel()
    with suppress(asyncio.CancelledError):
        await rebuilding
    assert not any(process.is_running() for process in processes)
    assert (await speeches(database, schema))[str(subject)] == ["1", "2"]
    assert (await rebuild(database, log, projection, loading=SEVERAL)).identical


async def test_rows_that_cannot_be_copied_at_all_go_the_long_way(log: Log, database: Database, schema: str) -> None:
    subject = Subject.of("REGISTRY", "speech", schema, "a")
    await say(log, subject, f"{schema}-1")
    wrong = Speeches(schema, prefix=schema, columns=("subject", "no_such_column", "sequence"))
    assert (await rebuild(database, log, wrong, loading=SEVERAL)).compared_at is None
    assert await speeches(database, schema) == {str(subject): ["1"]}
