"""When a consumer's messages are asked for."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from flightlog_log import Log, LogUnavailable, Subject
from flightlog_log.connection import Connection
from flightlog_log.pulling import Pull, numbers_of
from tests.integration.log.shared import OwnNats, append_many


async def test_on_demand_nothing_comes_unasked_and_what_is_there_comes_with_one_request(
    own_nats: OwnNats, log: Log
) -> None:
    subject, durable = Subject.of("EXECUTION", "tests", "demand", uuid4().hex), f"test_{uuid4().hex}"
    client = await own_nats.client()
    asked = await client.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.EXECUTION.{durable}")
    connection = await Connection.open(own_nats.settings, "test")

    async def set_up() -> str:
        config = {"durable_name": durable, "ack_policy": "explicit", "filter_subject": str(subject)}
        verb = f"CONSUMER.CREATE.EXECUTION.{durable}.{subject}"
        await connection.api(verb, {"stream_name": "EXECUTION", "config": config, "action": "create"})
        return durable

    async def drawn(pull: Pull, last: int) -> list[int]:
        found: list[int] = []
        async with asyncio.timeout(20):
            while last not in found:
                found += [numbers_of(message.reply).sequence for message in await pull.next()]
        return found

    async with Pull(connection, "EXECUTION", set_up, batch=100, on_demand=True) as pull:
        assert await pull.next() == []
        head = await append_many(log, subject, 50)
        first = await drawn(pull, head.sequence)
        assert len(first) == 50
        head = await append_many(log, subject, 60, head)
        info = await connection.api(f"CONSUMER.INFO.EXECUTION.{durable}")
        assert info["num_pending"] == 60, "nothing is delivered while nobody asks"
        assert len(await drawn(pull, head.sequence)) == 60
        # Whoever waits is given what comes first, by itself.
        waiting = asyncio.create_task(drawn(pull, head.sequence + 1))
        async with asyncio.timeout(20):
            while not (await connection.api(f"CONSUMER.INFO.EXECUTION.{durable}"))["num_waiting"]:
                continue
        head = await append_many(log, subject, 1, head)
        assert await waiting == [head.sequence]
    await client.flush()
    assert asked.pending_msgs == 3
    await connection.close()
    await client.close()


async def test_what_draws_from_a_connection_that_is_closed_for_good_ends(own_nats: OwnNats) -> None:
    """To try again for ever would leave the loop no moment for anything else, a cancellation included."""
    connection = await Connection.open(own_nats.settings, "test")
    durable = f"test_{uuid4().hex}"

    async def set_up() -> str:
        config = {"durable_name": durable, "ack_policy": "explicit"}
        verb = f"CONSUMER.CREATE.EXECUTION.{durable}"
        await connection.api(verb, {"stream_name": "EXECUTION", "config": config, "action": ""})
        return durable

    async with Pull(connection, "EXECUTION", set_up, batch=10) as pull:
        assert await pull.next() == []
        await connection.close()
        pull.reset()
        with pytest.raises(LogUnavailable, match="closed"):
            await pull.next()
