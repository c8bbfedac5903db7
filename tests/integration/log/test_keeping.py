"""What is under way is kept by name, and gone when it is done."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from prometheus_client import REGISTRY

from flightlog_blobs import BlobStore
from flightlog_log import Kept, Log, Subject
from flightlog_protos.launcher.v1.orders_pb2 import Order
from tests.integration.log.shared import OwnNats


def key(*parts: str) -> Subject:
    return Subject.of("ORDER", "p.1", "d", uuid4().hex, *parts)


def order(reason: str) -> Order:
    kept = Order()
    kept.abort.reason = reason
    return kept


async def kept(log: Log, *keys: Subject) -> list[Kept[Order]]:
    return [item async for item in log.kept("ORDER", Order) if item.key in keys]


async def reasons(log: Log, *keys: Subject) -> list[str]:
    return [item.message.abort.reason for item in await kept(log, *keys)]


async def test_names_are_kept_in_order_until_they_are_dropped(log: Log) -> None:
    first, second, third = (key(f"n{number}", "0") for number in range(3))
    sequences = [await log.keep(one, order(str(number))) for number, one in enumerate((first, second, third))]
    found = await kept(log, first, second, third)
    assert [(item.key, item.sequence, item.message) for item in found] == [
        (one, sequences[number], order(str(number))) for number, one in enumerate((first, second, third))
    ]
    await log.drop(second, sequences[1])
    assert await reasons(log, first, second, third) == ["0", "2"]


async def test_name_kept_again_has_what_was_kept_last(log: Log) -> None:
    name = key("n0", "0")
    await log.keep(name, order("first"))
    await log.keep(name, order("second"))
    assert await reasons(log, name) == ["second"]


async def test_drop_leaves_what_was_kept_since(log: Log) -> None:
    name = key("n0", "0")
    first = await log.keep(name, order("first"))
    await log.keep(name, order("second"))
    await log.drop(name, first)
    assert await reasons(log, name) == ["second"]


async def test_dropping_twice_is_dropping_once(log: Log) -> None:
    name = key("n0", "0")
    first = await log.keep(name, order("first"))
    await log.drop(name, first)
    await log.drop(name, first)
    second = await log.keep(name, order("second"))
    await log.drop(name, first)
    assert await reasons(log, name) == ["second"]
    await log.drop(name, second)
    assert await kept(log, name) == []


async def test_more_than_one_answer_can_hold_is_found_whole(log: Log) -> None:
    names = [key("n0", str(number)) for number in range(1200)]
    for some in range(0, len(names), 100):
        await asyncio.gather(*(log.keep(one, order("x")) for one in names[some : some + 100]))
    found = await kept(log, *names)
    assert {item.key for item in found} == set(names)
    for some in range(0, len(found), 100):
        await asyncio.gather(*(log.drop(item.key, item.sequence) for item in found[some : some + 100]))
    assert await kept(log, *names) == []


async def test_large_message_lies_in_the_object_store(log: Log, own_nats: OwnNats, blobs: BlobStore) -> None:
    name = key("n0", "0")
    large = order("x" * (own_nats.settings.offload_above_bytes + 1))
    sequence = await log.keep(name, large)
    assert [item.message for item in await kept(log, name)] == [large]
    await log.drop(name, sequence)
    assert await kept(log, name) == []


async def test_kept_survives_a_killed_server(log: Log, own_nats: OwnNats) -> None:
    stays, goes = key("n0", "0"), key("n1", "0")
    await log.keep(stays, order("stays"))
    sequence = await log.keep(goes, order("goes"))
    await log.drop(goes, sequence)
    await own_nats.child.kill()
    await own_nats.child.start()
    assert await reasons(log, stays, goes) == ["stays"]


async def test_what_cannot_be_read_stays_and_hides_nothing_else(log: Log, own_nats: OwnNats) -> None:
    name, other = key("n0", "0"), key("n1", "0")
    async with await own_nats.client() as client:
        acknowledgement = await client.jetstream().publish(str(name), b"\xff\xff\xff")
    sequence = await log.keep(other, order("read"))
    unreadable = log_unreadable_total("ORDER")
    assert await reasons(log, name, other) == ["read"]
    assert log_unreadable_total("ORDER") == unreadable + 1
    await log.drop(name, acknowledgement.seq)
    await log.drop(other, sequence)


def log_unreadable_total(stream: str) -> float:
    return REGISTRY.get_sample_value("flightlog_kept_unreadable_total", {"stream": stream}) or 0.0
