"""Poison: parked with its reason while everything else flows, and tried again on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import nats.errors
import pytest

from flightlog_blobs import BlobStore
from flightlog_log import Head, Log, LogError, ParkedEntry, Recorded, Subject, Undecodable
from flightlog_protos.execution.v1.facts_pb2 import NodeQueued, TimerSet
from tests.integration.log.shared import CAUSE, Handled, OwnNats, append_many

Background = Callable[..., asyncio.Task[None]]


async def parked_by(log: Log, consumer: str, subject: Subject) -> ParkedEntry:
    """Waits until the consumer has parked a message of the subject."""
    async with asyncio.timeout(20):
        while True:
            async for entry in log.parked():
                if entry.consumer == consumer and entry.subject == str(subject):
                    return entry


async def test_poison_is_parked_after_eight_deliveries_and_its_subject_flows_on(
    log: Log, subject: Subject, background: Background
) -> None:
    consumer = f"poisoned_{uuid4().hex}"
    attempts: list[int] = []
    redelivered: list[bool] = []
    done = asyncio.Event()

    async def handler(record: Recorded) -> None:
        if record.subject == str(subject):
            attempts.append(record.envelope.position)
            redelivered.append(record.redelivered)
            if record.envelope.position == 2:
                raise RuntimeError("indigestible")
            if record.envelope.position == 3:
                done.set()

    await append_many(log, subject, 3)
    background(log.consume("EXECUTION", consumer, handler, facts=frozenset({"TimerSet"})))
    await asyncio.wait_for(done.wait(), 20)

    assert attempts == [1, *[2] * 8, 3]
    assert redelivered == [False, False, *[True] * 7, False]
    entry = await parked_by(log, consumer, subject)
    second = (await log.load(subject))[1]
    assert (entry.stream, entry.subject, entry.original_sequence) == ("EXECUTION", str(subject), second.sequence)
    assert entry.reason == "RuntimeError: indigestible"
    assert entry.deliveries == 8
    assert entry.message == second.envelope.SerializeToString()


async def test_redriven_message_is_handled_again_and_no_longer_parked(
    log: Log, subject: Subject, background: Background
) -> None:
    consumer = f"healed_{uuid4().hex}"
    healed = False
    handled = Handled(subject)

    async def handler(record: Recorded) -> None:
        if record.subject == str(subject) and not healed:
            raise RuntimeError("not yet healed")
        await handled(record)

    recorded = await log.append(subject, [NodeQueued(node_id="n")], head=Head.EMPTY, cause=CAUSE)
    background(log.consume("EXECUTION", consumer, handler, facts=None))
    entry = await parked_by(log, consumer, subject)

    # Still ill: parked once more. Then healed.
    await log.redrive(entry.sequence)
    again = await parked_by(log, consumer, subject)
    assert again.sequence > entry.sequence
    healed = True
    await log.redrive(again.sequence)

    healthy = await handled.next()
    assert healthy == recorded
    assert healthy.redelivered
    assert [e async for e in log.parked() if e.consumer == consumer and e.subject == str(subject)] == []


async def test_redriven_message_that_is_offered_again_while_in_hand_outlives_its_process(
    own_nats: OwnNats, blobs: BlobStore, log: Log, subject: Subject, background: Background
) -> None:
    consumer = f"doomed_{uuid4().hex}"
    taken, handled = asyncio.Event(), Handled(subject)

    async def handler(record: Recorded) -> None:
        if record.subject == str(subject):
            if not record.redelivered:
                raise Undecodable("not yet healed")
            taken.set()
            await asyncio.Event().wait()

    await append_many(log, subject, 1)
    doomed = await Log.connect(own_nats.settings, blobs, name="doomed")
    consuming = asyncio.create_task(doomed.consume("EXECUTION", consumer, handler, facts=None))
    await log.redrive((await parked_by(log, consumer, subject)).sequence)
    await asyncio.wait_for(taken.wait(), 20)
    async with await own_nats.client() as client:
        redriven = f"PARKED.EXECUTION_{consumer}"
        told = await client.subscribe(f"$JS.ACK.{redriven}.>")
        await client.request(f"$JS.API.CONSUMER.RESET.{redriven}", b"")  # as after each reconnect
        with pytest.raises(nats.errors.TimeoutError):
            await told.next_msg(0.3)
    await doomed.close()
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)

    background(log.consume("EXECUTION", consumer, handled, facts=None))
    assert (await handled.next()).redelivered


async def test_what_stopped_processes_handed_back_has_failed_nowhere(
    log: Log, subject: Subject, background: Background
) -> None:
    """For the server each hand-over is one more delivery; but the eighth failure parks, not the eighth process."""
    consumer, steady = f"rolled_{uuid4().hex}", Subject.of("EXECUTION", "tests", "steady", uuid4().hex)
    drawing: set[int] = set()
    handled: list[int] = []
    taken = asyncio.Queue[int]()
    head = Head.EMPTY

    async def process(number: int) -> None:
        async def handler(record: Recorded) -> None:
            drawing.add(number)
            if record.subject == str(subject):
                taken.put_nowait(number)
                if number < 9:
                    await asyncio.Event().wait()
                handled.append(number)
                if len(handled) == 1:
                    raise RuntimeError("for a moment")

        await log.consume("EXECUTION", consumer, handler, facts=None)

    await append_many(log, subject, 1)
    running = background(process(1))
    assert await asyncio.wait_for(taken.get(), 20) == 1
    for number in range(2, 10):
        following = background(process(number))
        async with asyncio.timeout(20):
            while number not in drawing:
                head = await append_many(log, steady, 1, head)
        running.cancel()
        running = following
        assert await asyncio.wait_for(taken.get(), 20) == number
    assert await asyncio.wait_for(taken.get(), 20) == 9
    assert handled == [9, 9]


async def test_garbage_is_parked_at_once_without_calling_the_handler(
    log: Log, own_nats: OwnNats, spoilt_subject: Subject, background: Background
) -> None:
    consumer = f"choosy_{uuid4().hex}"
    handled = Handled(spoilt_subject)
    async with await own_nats.client() as client:
        acknowledgement = await client.jetstream().publish(str(spoilt_subject), b"garbage")
    background(log.consume("REGISTRY", consumer, handled, facts=None))

    entry = await parked_by(log, consumer, spoilt_subject)
    assert entry.original_sequence == acknowledgement.seq
    assert entry.message == b"garbage"
    assert entry.deliveries == 1
    assert entry.reason.startswith("Undecodable")
    assert handled.records == []


async def test_lost_payload_is_parked_with_its_reason(
    log: Log, blobs: BlobStore, spoilt_subject: Subject, background: Background
) -> None:
    consumer = f"hungry_{uuid4().hex}"
    recorded = await log.append(
        spoilt_subject, [NodeQueued(node_id=uuid4().hex * 10_000)], head=Head.EMPTY, cause=CAUSE
    )
    await blobs.delete(recorded.envelope.offloaded.uri)
    background(log.consume("REGISTRY", consumer, Handled(), facts=None))

    entry = await parked_by(log, consumer, spoilt_subject)
    assert entry.reason.startswith("PayloadMissing")


async def test_what_a_projection_parked_can_be_listed_but_not_redriven(log: Log, subject: Subject) -> None:
    recorded = await log.append(subject, [TimerSet()], head=Head.EMPTY, cause=CAUSE)
    consumer = f"projection_{uuid4().hex}"
    await log.park("EXECUTION", recorded.sequence, consumer=consumer, reason="no such column", deliveries=1)
    entry = await parked_by(log, consumer, subject)
    assert entry.reason == "no such column"
    with pytest.raises(LogError, match="no durable consumer"):
        await log.redrive(entry.sequence)


async def test_redriving_nothing_is_refused(log: Log) -> None:
    with pytest.raises(LogError, match="nothing is parked"):
        await log.redrive(10**9)


async def test_what_is_no_parked_message_hides_no_other(log: Log, own_nats: OwnNats) -> None:
    consumer = f"stranger_{uuid4().hex}"
    async with await own_nats.client() as client:
        places = [await client.jetstream().publish(f"parked.EXECUTION.{consumer}", data) for data in (b"\xff", b"")]
    await log.park("EXECUTION", 1 << 40, consumer=consumer, reason="there is none", deliveries=1)

    entries = [entry async for entry in log.parked() if entry.sequence >= places[0].seq]
    assert [entry.message for entry in entries if not entry.stream] == [b"\xff", b""]
    assert [entry.reason for entry in entries if entry.consumer == consumer] == ["there is none"]
    for place in places:
        with pytest.raises(LogError, match="no parked message"):
            await log.redrive(place.seq)
