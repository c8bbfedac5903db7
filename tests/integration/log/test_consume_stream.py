"""Durable consumption: order, repetition, survival."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest
from structlog.contextvars import get_contextvars

from flightlog_blobs import BlobStore
from flightlog_log import Head, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStarted, NodeQueued, TimerSet
from tests.integration.log.shared import CAUSE, Handled, OwnNats, append_many

Background = Callable[..., asyncio.Task[None]]


def durable() -> str:
    return f"test_{uuid4().hex}"


async def test_every_envelope_is_handled_in_the_order_of_its_subject(log: Log, background: Background) -> None:
    subjects = [Subject.of("EXECUTION", "tests", "order", uuid4().hex) for _ in range(10)]
    handled = Handled(*subjects)
    await asyncio.gather(*(append_many(log, subject, 50) for subject in subjects))
    background(log.consume("EXECUTION", durable(), handled, facts=None))
    for _ in range(500):
        await handled.next()

    for subject in subjects:
        positions = [record.envelope.position for record in handled.records if record.subject == str(subject)]
        assert positions == list(range(1, 51))


async def test_how_far_a_consumer_is_can_be_asked(log: Log, background: Background) -> None:
    subject, name = Subject.of("EXECUTION", "tests", "handled", uuid4().hex), durable()
    head = await append_many(log, subject, 3)
    release, begun = asyncio.Event(), asyncio.Event()

    async def handler(record: Recorded) -> None:
        if record.subject == str(subject) and record.envelope.position == 2:
            begun.set()
            await release.wait()

    assert await log.handled("EXECUTION", name) == 0
    background(log.consume("EXECUTION", name, handler, facts=None))
    await asyncio.wait_for(begun.wait(), 10)
    assert await log.handled("EXECUTION", name) < head.sequence - 1
    release.set()
    async with asyncio.timeout(10):
        # The acknowledgement is on its way; every question is a round trip.
        while await log.handled("EXECUTION", name) < head.sequence:
            continue


async def test_what_a_handler_logs_names_the_message_it_is_about(log: Log, background: Background) -> None:
    subject = Subject.of("EXECUTION", "tests", "logging", uuid4().hex)
    told: asyncio.Future[tuple[Recorded, dict[str, object]]] = asyncio.get_running_loop().create_future()

    async def handler(record: Recorded) -> None:
        if record.subject == str(subject):
            told.set_result((record, get_contextvars()))

    await append_many(log, subject, 1)
    background(log.consume("EXECUTION", durable(), handler, facts=None))
    record, context = await asyncio.wait_for(told, 10)
    expected = {"subject": record.subject, "sequence": record.sequence, "event_id": record.event_id}
    assert expected.items() <= context.items()


async def test_one_subject_is_never_handled_twice_at_once_and_others_do_not_wait(
    log: Log, background: Background
) -> None:
    slow, quick = (Subject.of("EXECUTION", "tests", "parallel", uuid4().hex) for _ in range(2))
    await append_many(log, slow, 2)
    await append_many(log, quick, 5)
    release, quick_done, slow_done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    order: list[tuple[str, int]] = []

    async def handler(record: Recorded) -> None:
        if record.subject == str(slow):
            order.append(("begin", record.envelope.position))
            await release.wait()
            order.append(("end", record.envelope.position))
            if record.envelope.position == 2:
                slow_done.set()
        elif record.subject == str(quick) and record.envelope.position == 5:
            quick_done.set()

    background(log.consume("EXECUTION", durable(), handler, facts=None))
    await asyncio.wait_for(quick_done.wait(), 10)
    assert order == [("begin", 1)]
    release.set()
    await asyncio.wait_for(slow_done.wait(), 10)
    assert order == [("begin", 1), ("end", 1), ("begin", 2), ("end", 2)]


async def test_envelopes_without_a_wanted_fact_are_passed_over(
    log: Log, subject: Subject, background: Background
) -> None:
    handled = Handled(subject)
    head = Head.EMPTY
    for facts in ([NodeQueued()], [NodeQueued(), TimerSet()], [ExecutionStarted()], [NodeQueued(), NodeQueued()]):
        head = (await log.append(subject, facts, head=head, cause=CAUSE)).head
    last = await log.append(subject, [ExecutionStarted(), NodeQueued()], head=head, cause=CAUSE)

    background(log.consume("EXECUTION", durable(), handled, facts=frozenset({"TimerSet", "ExecutionStarted"})))
    while (await handled.next()).sequence != last.sequence:
        pass
    assert [record.envelope.position for record in handled.records] == [2, 3, 5]


async def test_failed_handling_is_tried_again_before_what_follows(
    log: Log, subject: Subject, background: Background
) -> None:
    attempts: list[int] = []
    done = asyncio.Event()

    async def handler(record: Recorded) -> None:
        if record.subject != str(subject):
            return
        attempts.append(record.envelope.position)
        if record.envelope.position == 1 and len(attempts) < 4:
            raise RuntimeError("not yet")
        if record.envelope.position == 3:
            done.set()

    await append_many(log, subject, 3)
    background(log.consume("EXECUTION", durable(), handler, facts=None))
    await asyncio.wait_for(done.wait(), 20)
    assert attempts == [1, 1, 1, 1, 2, 3]


GATHERING = pytest.mark.parametrize("gather_seconds", [0.0, 0.02], ids=["at once", "gathered"])


@GATHERING
async def test_consumer_goes_on_where_it_was_and_repeats_what_was_under_way(
    own_nats: OwnNats, blobs: BlobStore, log: Log, subject: Subject, background: Background, gather_seconds: float
) -> None:
    name = durable()
    blocked = asyncio.Event()

    async def first_handler(record: Recorded) -> None:
        if record.subject == str(subject) and record.envelope.position == 3:
            blocked.set()
            await asyncio.Event().wait()

    head = await append_many(log, subject, 4)
    # Its own connection, cut without a word: this is how a killed process looks to the server.
    doomed = await Log.connect(own_nats.settings, blobs, name="doomed")
    consuming = doomed.consume("EXECUTION", name, first_handler, facts=None, gather_seconds=gather_seconds)
    task = asyncio.create_task(consuming)
    await asyncio.wait_for(blocked.wait(), 20)
    await doomed.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    head = await append_many(log, subject, 2, head)
    handled = Handled(subject)
    background(log.consume("EXECUTION", name, handled, facts=None, gather_seconds=gather_seconds))
    got = [(await handled.next(10)).envelope.position for _ in range(4)]
    assert got == [3, 4, 5, 6], "in order and at once, not after the time for acknowledgement"


@pytest.mark.parametrize(
    ("ending", "takeover_seconds"), [("told to stop", 3600.0), ("killed", 0.5)], ids=["stopped", "killed"]
)
async def test_what_a_process_had_in_hand_goes_to_another_that_draws_already(
    own_nats: OwnNats, blobs: BlobStore, subject: Subject, background: Background, ending: str, takeover_seconds: float
) -> None:
    """Those that stop hand it back; of those that are killed the server hears nothing any more."""
    name, kept = durable(), Subject.of("EXECUTION", "tests", "steady", uuid4().hex)
    settings = own_nats.settings.model_copy(update={"takeover_seconds": takeover_seconds})
    first, second = [await Log.connect(settings, blobs, name=which) for which in ("first", "second")]
    release, taken = asyncio.Event(), asyncio.Event()
    handled = Handled(subject)
    seen = 0

    async def first_handler(record: Recorded) -> None:
        if record.subject == str(subject):
            taken.set()
            await release.wait()

    async def second_handler(record: Recorded) -> None:
        nonlocal seen
        seen += record.subject == str(kept)
        await handled(record)

    await append_many(first, subject, 2)
    consuming = asyncio.create_task(first.consume("EXECUTION", name, first_handler, facts=None))
    await asyncio.wait_for(taken.wait(), 20)
    taking_over = background(second.consume("EXECUTION", name, second_handler, facts=None))
    head = Head.EMPTY
    while not seen:  # both draw from the same consumer
        head = await append_many(second, kept, 1, head)
    assert not handled.records
    if ending == "killed":
        await first.close()
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    assert [(await handled.next(60)).envelope.position for _ in range(2)] == [1, 2]
    taking_over.cancel()
    await asyncio.gather(taking_over, return_exceptions=True)
    await first.close()
    await second.close()


async def test_what_takes_longer_than_a_takeover_stays_with_who_has_it(
    own_nats: OwnNats, blobs: BlobStore, subject: Subject, background: Background
) -> None:
    name = durable()
    settings = own_nats.settings.model_copy(update={"takeover_seconds": 2.0})
    first, second = [await Log.connect(settings, blobs, name=which) for which in ("first", "second")]
    release, taken, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    handled = Handled(subject)

    async def slow(record: Recorded) -> None:
        if record.subject == str(subject):
            taken.set()
            await release.wait()
            done.set()

    await append_many(first, subject, 1)
    consuming = [background(first.consume("EXECUTION", name, slow, facts=None))]
    await asyncio.wait_for(taken.wait(), 20)
    consuming.append(background(second.consume("EXECUTION", name, handled, facts=None)))
    async with await own_nats.client() as client:
        told = await client.subscribe(f"$JS.ACK.EXECUTION.{name}.>")
        working = 0
        while working < 3:  # 0.8 s at least lie between two of them
            working += (await told.next_msg(20)).data == b"+WPI"
    release.set()
    await asyncio.wait_for(done.wait(), 20)
    for task in consuming:
        task.cancel()
    await asyncio.gather(*consuming, return_exceptions=True)
    assert not handled.records
    await first.close()
    await second.close()


async def test_what_a_gathering_process_has_in_hand_is_not_given_to_one_that_starts(
    own_nats: OwnNats, blobs: BlobStore, log: Log, subject: Subject, background: Background
) -> None:
    name, other = durable(), Subject.of("EXECUTION", "tests", "steady", uuid4().hex)
    taken, release = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def slow(record: Recorded) -> None:
        if record.subject == str(subject):
            taken.set()
            await release.wait()

    async def quick(record: Recorded) -> None:
        seen.append(record.subject)

    await append_many(log, subject, 1)
    background(log.consume("EXECUTION", name, slow, facts=None, gather_seconds=0.02))
    await asyncio.wait_for(taken.wait(), 20)
    steady = background(append_many(log, other, 300))
    second = await Log.connect(own_nats.settings, blobs, name="second")
    task = background(second.consume("EXECUTION", name, quick, facts=None, gather_seconds=0.02))
    await steady
    async with asyncio.timeout(20):
        # Both draw from the same consumer; the one that began draws some of what comes.
        head = await log.head(other)
        while str(other) not in seen:
            head = await append_many(log, other, 1, head)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await second.close()
    release.set()
    assert str(subject) not in seen


@GATHERING
async def test_consumer_survives_kills_of_the_server(
    own_nats: OwnNats, log: Log, background: Background, gather_seconds: float
) -> None:
    subjects = [Subject.of("EXECUTION", "tests", "kills", uuid4().hex) for _ in range(4)]
    handled = Handled(*subjects)
    background(log.consume("EXECUTION", durable(), handled, facts=None, gather_seconds=gather_seconds))
    writers = [asyncio.create_task(append_many(log, subject, 150)) for subject in subjects]
    for _ in range(3):
        for _ in range(40):
            await handled.next()
        await own_nats.child.restart()
    await asyncio.gather(*writers)

    async with asyncio.timeout(30):
        while len({record.event_id for record in handled.records}) < 600:
            await handled.next()
    for subject in subjects:
        positions = [record.envelope.position for record in handled.records if record.subject == str(subject)]
        firsts = list(dict.fromkeys(positions))
        assert firsts == list(range(1, 151)), "first handled in order"


async def test_unavailable_log_never_counts_as_a_failure(log: Log, subject: Subject, background: Background) -> None:
    parked_before = [entry async for entry in log.parked()]
    attempts = 0
    done = asyncio.Event()

    async def handler(record: Recorded) -> None:
        nonlocal attempts
        if record.subject != str(subject):
            return
        attempts += 1
        if attempts <= 10:
            raise LogUnavailable("away")
        done.set()

    await append_many(log, subject, 1)
    background(log.consume("EXECUTION", durable(), handler, facts=None))
    await asyncio.wait_for(done.wait(), 20)
    assert [entry async for entry in log.parked()] == parked_before
