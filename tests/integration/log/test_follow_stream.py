"""Following a stream in order, from the past into the present."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from flightlog_log import Head, Log, Recorded, Subject, Unreadable
from flightlog_protos.execution.v1.facts_pb2 import NodeQueued, TimerSet
from tests.integration.log.shared import CAUSE, OwnNats, append_many


async def test_past_is_followed_to_the_end_it_had_at_the_start(log: Log, subject: Subject) -> None:
    before = await log.stream_sequence("EXECUTION")
    head = await append_many(log, subject, 2500)

    batches: list[list[Recorded | Unreadable]] = []
    async for batch in log.follow("EXECUTION", after=before, live=False):
        if not batches:
            head = await append_many(log, subject, 1, head)
        batches.append(batch)

    records = [item for batch in batches for item in batch]
    assert [item.sequence for item in records] == list(range(before + 1, before + 2501))
    assert len(batches) < 100, "what is there comes in batches, not one by one"


async def test_empty_past_ends_at_once(log: Log, subject: Subject) -> None:
    head = await append_many(log, subject, 1)
    assert [batch async for batch in log.follow("EXECUTION", after=head.sequence, live=False)] == []
    beyond = [batch async for batch in log.follow("EXECUTION", after=head.sequence + 1000, live=False)]
    assert beyond == []


async def test_filter_lets_only_its_subjects_through(log: Log, subject: Subject) -> None:
    before = await log.stream_sequence("EXECUTION")
    other = Subject.of("EXECUTION", "tests", uuid4().hex)
    head = await append_many(log, subject, 3)
    await append_many(log, other, 3)

    async def followed(subjects: str) -> list[Recorded | Unreadable]:
        batches = log.follow("EXECUTION", after=before, subjects=subjects, live=False)
        return [item async for batch in batches for item in batch]

    assert [item.subject for item in await followed(str(subject))] == [str(subject)] * 3
    assert (await followed(str(subject)))[-1].sequence == head.sequence
    assert await followed("execution.*.nothing.here") == []


async def test_what_was_stored_before_a_moment_is_left_out(log: Log, subject: Subject) -> None:
    head = await append_many(log, subject, 3)
    (last,) = await log.load(subject, after=Head(head.sequence - 1, 2, b""))
    head = await append_many(log, subject, 2, head)

    async def followed(since: datetime) -> list[int]:
        batches = log.follow("EXECUTION", after=0, subjects=str(subject), live=False, since=since)
        return [item.sequence async for batch in batches for item in batch]

    assert len(await followed(last.recorded_at - timedelta(hours=1))) == 5
    later = await followed(last.recorded_at + timedelta(microseconds=1))
    assert later[-1] == head.sequence
    assert len(later) < 5
    assert await followed(datetime.now(UTC) + timedelta(hours=1)) == []


async def test_new_facts_arrive_while_following(
    log: Log, subject: Subject, background: Callable[..., asyncio.Task[None]]
) -> None:
    arrived: asyncio.Queue[Recorded | Unreadable] = asyncio.Queue()
    head = await append_many(log, subject, 5)

    async def follow() -> None:
        async for batch in log.follow("EXECUTION", after=head.sequence - 5):
            for item in batch:
                arrived.put_nowait(item)

    background(follow())
    expected: list[int] = [head.sequence - 4 + index for index in range(5)]
    for index in range(20):
        recorded = await log.append(subject, [NodeQueued(node_id=str(index))], head=head, cause=CAUSE)
        head = recorded.head
        expected.append(recorded.sequence)
    got = [(await asyncio.wait_for(arrived.get(), 10)).sequence for _ in expected]
    assert got == expected


@pytest.mark.parametrize("on_demand", [False, True], ids=["ahead", "on demand"])
async def test_follower_misses_and_repeats_nothing_when_the_server_is_killed(
    log: Log, own_nats: OwnNats, background: Callable[..., asyncio.Task[None]], on_demand: bool
) -> None:
    before = await log.stream_sequence("EXECUTION")
    sequences: list[int] = []
    seen: dict[int, asyncio.Event] = {count: asyncio.Event() for count in (50, 150, 300, 600)}

    async def follow() -> None:
        async for batch in log.follow("EXECUTION", after=before, on_demand=on_demand):
            sequences.extend(item.sequence for item in batch)
            for count, event in seen.items():
                if len(sequences) >= count:
                    event.set()

    async def append(name: str) -> None:
        await append_many(log, Subject.of("EXECUTION", "tests", name, uuid4().hex), 200)

    background(follow())
    writers = [asyncio.create_task(append(name)) for name in "abc"]
    for count in (50, 150, 300):
        await asyncio.wait_for(seen[count].wait(), 20)
        await own_nats.child.restart()
    await asyncio.gather(*writers)
    await asyncio.wait_for(seen[600].wait(), 20)

    assert sequences == list(range(before + 1, before + 601))


@pytest.mark.parametrize("on_demand", [True, False])
async def test_a_message_above_what_is_held_at_a_time_comes_alone(
    log: Log, subject: Subject, *, on_demand: bool
) -> None:
    head = Head.EMPTY
    for size in (1, 1, 5000, 1, 9000, 8000, 1):
        head = (await log.append(subject, [TimerSet(timer_id="t" * size)], head=head, cause=CAUSE)).head
    following = log.follow_stored("EXECUTION", after=0, subjects=str(subject), on_demand=on_demand, max_bytes=2000)
    sequences: list[int] = []
    async with asyncio.timeout(30), aclosing(following) as batches:
        while len(sequences) < 7:
            sequences += [raw.sequence for raw in await anext(batches)]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == head.sequence


async def test_whoever_leaves_takes_the_consumer_along(log: Log, subject: Subject) -> None:
    """Each of those that come and go would otherwise be one more for a minute, and hold up whoever trims."""
    await append_many(log, subject, 2)
    following = log.follow_stored("EXECUTION", after=0, subjects=str(subject))
    async with aclosing(following) as batches:
        assert len(await anext(batches)) == 2
        assert len(await consumers_of(log, subject)) == 1
    async with asyncio.timeout(30):
        # It is told to go, and nobody waits for that.
        while await consumers_of(log, subject):
            pass


async def consumers_of(log: Log, subject: Subject) -> list[str]:
    api = log._connection.api  # pyright: ignore[reportPrivateUsage]
    found = (await api("CONSUMER.LIST.EXECUTION"))["consumers"]
    return [info["name"] for info in found if info["config"].get("filter_subject") == str(subject)]


async def test_follower_goes_on_when_its_consumer_is_removed(
    log: Log, own_nats: OwnNats, subject: Subject, background: Callable[..., asyncio.Task[None]]
) -> None:
    arrived: asyncio.Queue[Recorded | Unreadable] = asyncio.Queue()

    async def follow() -> None:
        async for batch in log.follow("EXECUTION", after=0, subjects=str(subject)):
            for item in batch:
                arrived.put_nowait(item)

    first = await log.append(subject, [TimerSet()], head=Head.EMPTY, cause=CAUSE)
    background(follow())
    assert (await asyncio.wait_for(arrived.get(), 10)).sequence == first.sequence
    async with await own_nats.client() as client:
        js = client.jetstream()
        for info in await js.consumers_info("EXECUTION"):
            if info.name.startswith("follow_"):
                await js.delete_consumer("EXECUTION", info.name)
    second = await log.append(subject, [TimerSet()], head=first.head, cause=CAUSE)
    assert (await asyncio.wait_for(arrived.get(), 10)).sequence == second.sequence
