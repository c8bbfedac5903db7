"""What is delivered again, what is delivered at all, and lineage."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from flightlog_log import Log, Subject
from flightlog_protos.catalog.v1.lineage_pb2 import LineageEventRecorded
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued
from services.scheduler.deliveries import subjects
from services.scheduler.deliveries.executions import Executions
from services.scheduler.deliveries.lineage import Lineage
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.replaying import Range, Replaying
from services.scheduler.deliveries.settings import DeliverySettings, OpenLineageSettings
from services.scheduler.deliveries.sources import Following, Source
from services.scheduler.deliveries.subjects import QueueKey
from services.scheduler.deliveries.webhook import HttpSink
from tests.integration.scheduler.delivering import (
    CAUSE,
    Execution,
    heard_of,
    hook,
    sending,
    settled,
    stamp,
)
from tests.integration.scheduler.receivers import (
    Receiver,
)


async def test_a_range_is_delivered_again_under_the_same_ids(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url, phases=["RUNNING", "SUCCEEDED"])
    source, following = heard_of(log, webhook)
    before, execution, unheard = Execution(log), Execution(log), Execution(log)
    await before.runs()
    begin = datetime.now(UTC)
    records = await execution.runs()
    await unheard.runs()  # ended while nobody followed
    end = datetime.now(UTC)
    chosen = Range(webhook.name, "tests", "development", begin=begin, end=end)
    replaying = Replaying(log, [(source, following)])
    async with sending(log, HttpSink(webhook)):
        for recorded in records:
            await following.take(recorded)
        await settled(log, execution.queue(webhook.name), 2)
        once = [post.id for post in receiver.taken]
        assert await replaying.replay(chosen, CAUSE) == 4
        await receiver.until(lambda: len(receiver.taken) == 6)
        for one in (execution, unheard):
            await settled(log, one.queue(webhook.name), 2)
    again = [post.id for post in receiver.taken if post.id in once][2:]
    assert again == once
    assert not await log.first(subjects.queue(before.queue(webhook.name)))
    assert await replaying.replay(Range("another", "tests", "development", begin=begin), CAUSE) == 0
    only = Range("", "tests", "development", execution.id.name)
    assert await replaying.replay(only, CAUSE) == 2
    assert await replaying.replay(only, CAUSE) == 0  # both wait already


async def test_the_first_start_on_a_log_with_a_past_tells_nobody_of_it(log: Log) -> None:
    class Elsewhere(Executions):
        stream = f"LAUNCHER{uuid4().hex}"

    now = await log.stream_sequence("EXECUTION")
    source: Source = Elsewhere(log, DeliverySettings.model_validate({}))

    class Counting(Log):
        async def stream_sequence(self, stream: str) -> int:
            return await log.stream_sequence("EXECUTION")

    counting = Counting(log._connection, log._reader._blobs)  # pyright: ignore[reportPrivateUsage]
    first = await Following(counting, Queues(log), source).began()
    assert first >= now
    await Execution(log).runs()
    assert await Following(counting, Queues(log), source).began() == first


async def test_lineage_is_delivered_as_it_was_recorded(log: Log, receiver: Receiver) -> None:
    sink = OpenLineageSettings.model_validate(
        {"name": f"l{uuid4().hex[:12]}", "url": receiver.url, "api_key": "hunter22"}
    )
    following = Following(log, Queues(log), Lineage([sink]))
    execution = Execution(log)
    subject = Subject.of("CATALOG", "lineage", execution.id.project, execution.id.domain, execution.id.name)
    bodies = [json.dumps({"eventType": kind, "é": 1.0}) for kind in ("START", "COMPLETE")]
    async with sending(log, HttpSink(sink)):
        for number, (kind, body) in enumerate(zip(("START", "COMPLETE"), bodies, strict=True)):
            fact = LineageEventRecorded(
                event_id=f"e{number}", execution_id=execution.id, event_type=kind, json=body, occurred_at=stamp()
            )
            await log.publish(subject, [fact], cause=CAUSE, message_id=uuid4().hex)
        replayed = await Replaying(log, [(Lineage([sink]), following)]).replay(
            Range(sink.name, "tests", "development", execution.id.name), CAUSE
        )
        assert replayed == 2
        assert len(await settled(log, execution.queue(sink.name), 2)) == 2
    assert [post.body.decode() for post in receiver.taken] == bodies
    assert {post.headers["Authorization"] for post in receiver.posts} == {"Bearer hunter22"}
    assert {post.headers["Content-Type"] for post in receiver.posts} == {"application/json"}


async def test_queues_of_large_runs_are_kept_within_limits(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.deliveries.queues._KEPT_ITEMS", 10)
    writing, reading = Queues(log), Queues(log)
    keys = [QueueKey("x", "tests", "development", f"a{uuid4().hex}") for _ in range(5)]
    for number, key in enumerate(keys):
        for _ in range(2):
            ids = [f"{number}-{uuid4().hex}" for _ in range(3)]
            await writing.enqueue(key, [DeliveryQueued(event_id=one) for one in ids], CAUSE)
        assert len((await reading.queue(key)).items) == 6
    assert [len((await writing.queue(key)).items) for key in keys] == [6] * 5
    assert len(writing._kept) == 1  # pyright: ignore[reportPrivateUsage]
