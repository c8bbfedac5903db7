"""OpenLineage's events on a real log: every start and end once, in order, whenever the publisher dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import nats
import pytest_asyncio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, LogUnavailable, Recorded, Subject
from flightlog_protos.catalog.v1.lineage_pb2 import LineageEventRecorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog import subjects
from services.catalog.lineage.publishing import Publisher
from services.catalog.lineage.settings import OpenLineageSettings
from services.scheduler.deliveries.delivery import State
from services.scheduler.deliveries.lineage import Lineage
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.settings import OpenLineageSettings as SinkSettings
from services.scheduler.deliveries.sources import Following
from services.scheduler.deliveries.subjects import QueueKey
from services.scheduler.deliveries.webhook import HttpSink
from tests.integration.scheduler.delivering import sending, settled
from tests.integration.scheduler.receivers import answering, fine, web_server
from tests.unit.catalog.lineage.library import file, told
from tests.unit.engine.story import Flow, From, Story

CAUSE = Cause.service("test")
SETTINGS = OpenLineageSettings.model_validate({"enabled": True})


class Dying(Log):
    """A connection that breaks when something is published."""

    async def publish(self, *arguments: Any, **named: Any) -> int:
        raise LogUnavailable("the process died here")


class Told:
    """A story on the log: one envelope for each of its facts."""

    def __init__(self, log: Log, blobs: BlobStore, story: Story) -> None:
        self._log = log
        self._blobs = blobs
        self._story = story
        self.key = ("p", "d", f"a{uuid4().hex}")
        self.records: list[Recorded] = []

    async def write(self) -> None:
        created = self._story.history[0]
        assert isinstance(created, facts.ExecutionCreated)
        await self._blobs.put(created.inputs.uri, self._story.blobs[created.inputs.uri])
        head = Head.EMPTY
        for fact in self._story.history:
            recorded = await self._log.append(self.subject, [self._own(fact)], head=head, cause=CAUSE)
            self.records.append(recorded)
            head = recorded.head

    @property
    def subject(self) -> Subject:
        return Subject.of("EXECUTION", *self.key)

    async def events(self) -> list[LineageEventRecorded]:
        records = await self._log.load(subjects.lineage(self.key))
        return [fact for one in records for fact in one.facts if isinstance(fact, LineageEventRecorded)]

    def _own(self, fact: Message) -> Message:
        if not isinstance(fact, facts.ExecutionCreated):
            return fact
        created = facts.ExecutionCreated()
        created.CopyFrom(fact)
        created.id.name = self.key[2]
        return created


@pytest_asyncio.fixture(loop_scope="session")
async def blobs(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def log(log_settings: LogSettings, blobs: BlobStore) -> AsyncIterator[Log]:
    log = await Log.connect(log_settings, blobs, name="test")
    yield log
    await log.close()


def story(blobs: BlobStore) -> Story:
    flow = Flow().task("n0", {"f": From("", "f")}).task("n1", {"a": From("n0")})
    made = told(flow, f"a{uuid4().hex}", {"f": file(blobs.uri("given.csv"))})
    made.start()
    made.succeeds("n0")
    made.fails("n1")
    return made


def summary(events: Sequence[LineageEventRecorded]) -> list[str]:
    return [f"{event.event_type} {event.node_id}".rstrip() for event in events]


ALL = ["START", "START n0", "COMPLETE n0", "START n1", "FAIL n1", "FAIL"]


@asynccontextmanager
async def running(publisher: Publisher) -> AsyncGenerator[None]:
    task = asyncio.ensure_future(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_every_start_and_end_is_told_in_order(log: Log, blobs: BlobStore, log_settings: LogSettings) -> None:
    written = Told(log, blobs, story(blobs))
    await written.write()
    assert log_settings.password is not None
    password = log_settings.password.get_secret_value()
    client = await nats.connect(log_settings.nats_url, user=log_settings.user, password=password)
    heard = await client.subscribe(str(subjects.lineage(written.key)))
    async with running(Publisher(log, blobs, SETTINGS, service="catalog")):
        while len(await written.events()) < len(ALL):
            await heard.next_msg(timeout=30)
    await client.close()
    events = await written.events()
    assert summary(events) == ALL
    assert len({event.event_id for event in events}) == len(ALL)
    assert [one["name"] for one in json.loads(events[0].json)["inputs"]] == ["given.csv"]


async def test_envelopes_that_come_again_give_the_same_events(
    log: Log, blobs: BlobStore, log_settings: LogSettings
) -> None:
    written = Told(log, blobs, story(blobs))
    await written.write()
    dying = await Dying.connect(log_settings, blobs, name="test")
    first, second = (Publisher(one, blobs, SETTINGS, service="catalog") for one in (dying, log))
    for record in written.records:
        with suppress(LogUnavailable):
            await first.take(record)
        # It died before it told anything; another process begins in the middle of the execution.
        await second.take(record)
        if record.facts and isinstance(record.facts[0], facts.NodeStarted):
            await second.take(record)
            third = Publisher(log, blobs, SETTINGS, service="catalog")
            await third.take(record)
    assert summary(await written.events()) == ALL
    await dying.close()


async def test_data_that_is_gone_is_no_reason_to_tell_nothing(log: Log, blobs: BlobStore) -> None:
    written = Told(log, blobs, story(blobs))
    created = written._own(written._story.history[0])  # pyright: ignore[reportPrivateUsage]
    assert isinstance(created, facts.ExecutionCreated)
    created.inputs.uri = blobs.uri("nothing", "here")
    publisher = Publisher(log, blobs, SETTINGS, service="catalog")
    first = await log.append(written.subject, [created], head=Head.EMPTY, cause=CAUSE)
    started = facts.ExecutionStarted(occurred_at=Timestamp(seconds=1_800_000_000))
    await publisher.take(await log.append(written.subject, [started], head=first.head, cause=CAUSE))
    (event,) = await written.events()
    assert json.loads(event.json)["inputs"] == []


async def test_a_receiver_that_fails_at_first_gets_all_of_it_in_order(log: Log, blobs: BlobStore) -> None:
    written = Told(log, blobs, story(blobs))
    await written.write()
    publisher = Publisher(log, blobs, SETTINGS, service="catalog")
    for record in written.records:
        await publisher.take(record)
    async with web_server() as receiver:
        given = {"name": f"l{uuid4().hex[:12]}", "url": receiver.url, "api_key": "secret"}
        sink = SinkSettings.model_validate(given)
        following = Following(log, Queues(log), Lineage([sink]))
        for record in await log.load(subjects.lineage(written.key)):
            await following.take(record)
        receiver.answers = [answering(503), fine, answering(500)]
        async with sending(log, HttpSink(sink)):
            queue = QueueKey(sink.name, *written.key)
            assert set((await settled(log, queue, len(ALL))).values()) == {State.DELIVERED}
        assert [post.headers["Authorization"] for post in receiver.taken] == ["Bearer secret"] * len(ALL)
        told_of = [json.loads(post.body) for post in receiver.taken]
        assert told_of == [json.loads(event.json) for event in await written.events()]
