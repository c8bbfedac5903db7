"""Appending with optimistic concurrency, and reading back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from flightlog_blobs import BlobStore
from flightlog_log import Cause, Conflict, Head, Log, PayloadMissing, Subject, Undecodable, Unreadable, verify_chain
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStarted, NodeQueued, TimerSet
from tests.integration.log.shared import CAUSE, OwnNats, append_many


async def test_appended_facts_are_read_back_as_they_were(log: Log, subject: Subject) -> None:
    cause = Cause.request("ada", "flytekit/1.16", "10.0.0.1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    occurred_at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    facts = [ExecutionStarted(), NodeQueued(node_id="n0"), NodeQueued(node_id="n1")]

    recorded = await log.append(subject, facts, head=Head.EMPTY, cause=cause, occurred_at=occurred_at)
    loaded = await log.load(subject)

    assert loaded == [recorded]
    assert loaded[0].facts == tuple(facts)
    assert loaded[0].occurred_at == occurred_at
    assert loaded[0].traceparent == cause.traceparent
    assert loaded[0].envelope.actor == cause.actor
    assert loaded[0].head == recorded.head == await log.head(subject)
    assert recorded.head.position == 1
    assert await log.last_sequence(subject) == recorded.sequence


async def test_unknown_subject_is_empty(log: Log, subject: Subject) -> None:
    assert await log.load(subject) == []
    assert await log.head(subject) == Head.EMPTY
    assert await log.last_sequence(subject) == 0


async def test_subjects_are_found_by_a_filter(log: Log) -> None:
    unique = uuid4().hex
    wanted = [Subject.of("EXECUTION", unique, "development", f"run.{number}") for number in range(3)]
    for subject in (*wanted, Subject.of("EXECUTION", uuid4().hex, "development", "other")):
        for _ in range(2):
            head = await log.head(subject)
            await log.append(subject, [ExecutionStarted()], head=head, cause=CAUSE)
    assert await log.subjects("EXECUTION", f"execution.*.{unique}.>") == sorted(map(str, wanted))
    assert await log.subjects("EXECUTION", f"execution.*.{uuid4().hex}.>") == []


async def test_append_behind_an_old_head_is_a_conflict_and_stores_nothing(log: Log, subject: Subject) -> None:
    first = await log.append(subject, [ExecutionStarted()], head=Head.EMPTY, cause=CAUSE)
    second = await log.append(subject, [NodeQueued(node_id="a")], head=first.head, cause=CAUSE)

    for stale in (Head.EMPTY, first.head):
        with pytest.raises(Conflict):
            await log.append(subject, [NodeQueued(node_id="b")], head=stale, cause=CAUSE)

    assert await log.load(subject) == [first, second]


async def test_of_many_at_once_exactly_one_appends(log: Log, subject: Subject) -> None:
    outcomes = await asyncio.gather(
        *(log.append(subject, [NodeQueued(node_id=str(i))], head=Head.EMPTY, cause=CAUSE) for i in range(32)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 31
    assert len(await log.load(subject)) == 1


async def test_long_subject_loads_whole_and_in_order_among_others(log: Log, subject: Subject) -> None:
    other = Subject.of("EXECUTION", "tests", "development", uuid4().hex)
    await asyncio.gather(append_many(log, subject, 1300), append_many(log, other, 700))

    records = await log.load(subject)

    assert [record.envelope.position for record in records] == list(range(1, 1301))
    verify_chain(records)
    assert await log.load(subject, after=records[1199].head) == records[1200:]
    assert await log.load(subject, after=records[-1].head) == []
    assert len(await log.load(other)) == 700


async def test_large_facts_are_offloaded_and_come_back_by_themselves(
    log: Log, blobs: BlobStore, subject: Subject
) -> None:
    facts = [NodeQueued(node_id="x" * 200_000), NodeQueued(node_id="y" * 200_000)]
    recorded = await log.append(subject, facts, head=Head.EMPTY, cause=CAUSE)

    assert not recorded.envelope.facts
    assert recorded.envelope.offloaded.count == 2
    assert await blobs.stat(recorded.envelope.offloaded.uri) is not None
    assert (await log.load(subject))[0].facts == tuple(facts)


async def test_lost_payload_is_said_to_be_missing(log: Log, blobs: BlobStore, spoilt_subject: Subject) -> None:
    facts = [NodeQueued(node_id=uuid4().hex * 10_000)]
    recorded = await log.append(spoilt_subject, facts, head=Head.EMPTY, cause=CAUSE)
    await blobs.delete(recorded.envelope.offloaded.uri)

    with pytest.raises(PayloadMissing, match=recorded.event_id):
        await log.load(spoilt_subject)


async def test_altered_payload_is_not_taken_for_the_facts(log: Log, blobs: BlobStore, spoilt_subject: Subject) -> None:
    facts = [NodeQueued(node_id=uuid4().hex * 10_000)]
    recorded = await log.append(spoilt_subject, facts, head=Head.EMPTY, cause=CAUSE)
    await blobs.put(recorded.envelope.offloaded.uri, b"\n\0")

    with pytest.raises(PayloadMissing):
        await log.load(spoilt_subject)


async def test_observation_is_stored_once_for_one_message_id(log: Log) -> None:
    subject = Subject.of("LAUNCHER", "tests", "development", uuid4().hex)
    first = await log.publish(subject, [NodeQueued(node_id="a")], cause=CAUSE, message_id=f"{subject}/1")
    again = await log.publish(subject, [NodeQueued(node_id="a")], cause=CAUSE, message_id=f"{subject}/1")
    other = await log.publish(subject, [NodeQueued(node_id="b")], cause=CAUSE, message_id=f"{subject}/2")

    assert first == again < other
    records = await log.load(subject)
    assert [record.sequence for record in records] == [first, other]
    assert [record.envelope.position for record in records] == [0, 0]


async def test_messages_name_their_facts_and_their_trace_in_headers(
    log: Log, own_nats: OwnNats, subject: Subject
) -> None:
    cause = Cause.request("ada", "c", "a", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    facts = [NodeQueued(), TimerSet(), NodeQueued()]
    recorded = await log.append(subject, facts, head=Head.EMPTY, cause=cause)

    async with await own_nats.client() as client:
        message = await client.jetstream().get_msg("EXECUTION", recorded.sequence)
    assert message.headers is not None
    assert message.headers["Flightlog-Facts"] == "NodeQueued,TimerSet"
    assert message.headers["traceparent"] == cause.traceparent
    assert message.headers["Nats-Msg-Id"] == recorded.event_id


async def test_garbage_on_a_subject_is_undecodable_to_load_and_unreadable_to_a_follower(
    log: Log, own_nats: OwnNats, spoilt_subject: Subject
) -> None:
    before = await log.stream_sequence("REGISTRY")
    async with await own_nats.client() as client:
        await client.jetstream().publish(str(spoilt_subject), b"garbage")
    recorded = await log.append(Subject.of("REGISTRY", uuid4().hex), [TimerSet()], head=Head.EMPTY, cause=CAUSE)

    with pytest.raises(Undecodable):
        await log.load(spoilt_subject)
    followed = [item async for batch in log.follow("REGISTRY", after=before, live=False) for item in batch]
    assert isinstance(followed[0], Unreadable)
    assert (followed[0].subject, followed[0].message) == (str(spoilt_subject), b"garbage")
    assert followed[1] == recorded
