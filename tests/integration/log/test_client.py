"""A subscription whose messages are handed over while they are read from the socket."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from nats.aio.msg import Msg

from flightlog_log import LogSettings
from flightlog_log.connection import Connection


async def test_what_one_message_does_wrong_holds_up_no_other(log_settings: LogSettings) -> None:
    connection = await Connection.open(log_settings, "test")
    try:
        subject, taken, over = f"test.{uuid4().hex}", list[bytes](), asyncio.Event()

        def take(message: Msg) -> None:
            if message.data == b"1":
                raise ValueError(message.data)
            taken.append(message.data)
            if message.data == b"3":
                over.set()

        subscription = await connection.subscribe(subject, take)
        for number in range(4):
            await connection.publish(subject, str(number).encode())
        async with asyncio.timeout(10):
            await over.wait()
        assert taken == [b"0", b"2", b"3"]
        await subscription.unsubscribe()
        await connection.publish(subject, b"4")
        # An answer of the server says that it has dealt with what was sent before.
        await connection.api("INFO")
        assert taken == [b"0", b"2", b"3"]
    finally:
        await connection.close()
