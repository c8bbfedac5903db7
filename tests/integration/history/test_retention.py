"""Executions go when their project has kept them long enough: by label or by default, by one process at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest_asyncio
from flyteidl.admin.project_pb2 import Project
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from flightlog_protos.registry.v1.facts_pb2 import ProjectRegistered, ProjectUpdated
from flightlog_read import Database, DatabaseSettings, Projector
from flightlog_service import running
from flightlog_types.retention import RETENTION_LABEL
from services.execution import subjects
from services.execution.deletion.retention import Retention
from services.execution.engine import TerminateExecution
from services.execution.lookup import Lookup
from services.execution.projection.projection import ExecutionProjection
from services.execution.settings import ExecutionSettings, RetentionSettings
from services.execution.shell import Shell
from services.execution.subjects import ExecutionKey
from tests.unit.engine.story import Flow

CAUSE = Cause.service("test")
DOMAIN = "development"


@dataclass
class World:
    """Projects and executions; every process of the service has the same log and tables."""

    log: Log
    blobs: BlobStore
    database: Database
    projector: Projector

    def shell(self) -> Shell:
        return Shell(self.log, self.blobs, Lookup(self.log, (DOMAIN,)), ExecutionSettings())

    def retention(self, *, after: timedelta, default: timedelta | None = None, at_once: int = 100) -> Retention:
        """One process, some time from now."""
        settings = RetentionSettings(default=default, at_once=at_once)
        lookup = Lookup(self.log, (DOMAIN,))
        clock = lambda: datetime.now(UTC) + after  # noqa: E731
        return Retention(self.log, self.database, self.shell(), lookup, settings, clock)

    async def project(self, label: str | None) -> str:
        name = f"kept{uuid4().hex[:8]}"
        subject, project = Subject.of("REGISTRY", "project", name), Project(id=name, name=name)
        created = await self.log.append(subject, [ProjectRegistered(project=project)], head=Head.EMPTY, cause=CAUSE)
        if label is not None:
            project.labels.values[RETENTION_LABEL] = label
            await self.log.append(subject, [ProjectUpdated(project=project)], head=created.head, cause=CAUSE)
        return name

    async def execution(self, project: str, *, over: bool) -> ExecutionKey:
        """An execution that was created now."""
        key = project, DOMAIN, f"e{uuid4().hex}"
        root = "/".join(("tests", *key))
        now = Timestamp()
        now.FromDatetime(datetime.now(UTC))
        created = facts.ExecutionCreated(
            id=subjects.identifier_of(key),
            closure=await self.blobs.put_content(root, Flow().task("n0").closure().SerializeToString()),
            inputs=await self.blobs.put_content(root, LiteralMap().SerializeToString()),
            config=facts.ResolvedConfig(metadata_prefix=self.blobs.uri(root), raw_output_prefix=self.blobs.uri("data")),
            created_at=now,
        )
        shell = self.shell()
        await shell.create(created, LiteralMap(), CAUSE)
        if over:
            await shell.dispatch(key, TerminateExecution("enough", "", force=True), CAUSE)
        return key

    async def caught_up(self) -> None:
        await self.projector.wait_for(await self.log.stream_sequence("EXECUTION"))

    async def there(self, keys: list[ExecutionKey]) -> list[ExecutionKey]:
        shell = self.shell()
        return [key for key in keys if await shell.state(key) is not None]


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> AsyncIterator[World]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    database = await Database.connect(database_settings)
    projector = Projector(database, log, ExecutionProjection())
    async with running(projector.run()):
        await projector.wait_until_serving()
        yield World(log, blobs, database, projector)
    await database.close()
    await log.close()
    await blobs.close()


async def test_each_project_keeps_its_executions_as_long_as_its_label_says(world: World) -> None:
    short, long, ever, unsaid = [await world.project(label) for label in ("1h", "30d", "forever", None)]
    over = {project: await world.execution(project, over=True) for project in (short, long, ever, unsaid)}
    going_on = await world.execution(short, over=False)
    everything = [*over.values(), going_on]
    await world.caught_up()

    await world.retention(after=timedelta(minutes=30)).look()
    assert await world.there(everything) == everything
    await world.retention(after=timedelta(hours=2)).look()
    assert await world.there(everything) == [over[long], over[ever], over[unsaid], going_on]
    (deleted,) = (await world.log.load(Subject.of("EXECUTION", *over[short])))[-1].facts
    assert isinstance(deleted, facts.ExecutionDeleted)
    assert deleted.reason == "kept for 1:00:00 after its end"
    await world.caught_up()
    await world.retention(after=timedelta(days=31)).look()
    assert await world.there(everything) == [over[ever], over[unsaid], going_on]
    await world.caught_up()
    await world.retention(after=timedelta(days=400), default=timedelta(days=365)).look()
    assert await world.there(everything) == [over[ever], going_on]


async def test_one_look_deletes_so_many_and_says_whether_there_may_be_more(world: World) -> None:
    project = await world.project("1h")
    keys = [await world.execution(project, over=True) for _ in range(5)]
    await world.caught_up()
    left: list[int] = []
    more = True
    while more:
        more = await world.retention(after=timedelta(hours=2), at_once=2).look()
        await world.caught_up()
        left.append(len(await world.there(keys)))
    assert left == [3, 1, 0]


async def test_while_one_process_looks_no_other_does(world: World) -> None:
    project = await world.project("1h")
    key = await world.execution(project, over=True)
    await world.caught_up()
    async with world.database.dedicated("another one", on_loss=lambda: None) as connection:
        locked = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *Retention.LOCK)
        assert locked
        assert not await world.retention(after=timedelta(hours=2)).look()
        assert await world.there([key]) == [key]
    while await world.there([key]):
        # Postgres frees the lock when it notices that the connection has ended.
        await world.retention(after=timedelta(hours=2)).look()


async def test_a_label_from_before_it_was_checked_keeps_everything(world: World) -> None:
    project = await world.project("a month")
    key = await world.execution(project, over=True)
    await world.caught_up()
    await world.retention(after=timedelta(days=400), default=timedelta(days=1)).look()
    assert await world.there([key]) == [key]


async def test_one_that_cannot_be_read_and_a_label_beyond_all_time_keep_no_others(world: World) -> None:
    """`999999d` are more days than there have been; a history whose facts are lost cannot be decided about."""
    for_long, short = await world.project("999999d"), await world.project("1h")
    kept, broken, readable = [await world.execution(one, over=True) for one in (for_long, short, short)]
    await world.caught_up()
    subject = Subject.of("EXECUTION", *broken)
    (*_, last) = await world.log.load(subject)
    lost = Envelope(
        event_id=uuid4().hex, subject=str(subject), position=last.head.position + 1, previous_hash=last.head.hash
    )
    lost.facts.add(type_url="type.googleapis.com/flightlog.execution.v1.NobodyKnows")
    await world.log.put_back(subject, lost.SerializeToString(), head=last.head)

    await world.retention(after=timedelta(hours=2)).look()
    assert await world.there([kept, readable]) == [kept]
