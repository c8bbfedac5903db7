"""Following a stream: everything behind a sequence, in order, then what comes.

The consumer is ephemeral and keeps no state that matters: whenever messages could be missing (the connection broke, the
server lost the consumer, numbers do not follow), a new one is made behind the last message that was yielded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any

from nats.aio.msg import Msg

from .connection import ApiError, Connection
from .envelopes import Recorded, Unreadable, new_id
from .errors import EventsMissing, LogUnavailable
from .pulling import Pull, numbers_of
from .reading import Raw, Reader

_BATCH = 1000
_MAX_BYTES = 16 * 1024 * 1024
_IDLE_CONSUMER_SECONDS = 60
_SILENCE_SECONDS = 1.0
_NANOSECONDS = 1_000_000_000


async def follow(
    connection: Connection,
    reader: Reader,
    stream: str,
    *,
    after: int,
    subjects: str,
    live: bool,
    since: datetime | None = None,
    on_demand: bool = False,
) -> AsyncIterator[list[Recorded | Unreadable]]:
    """See `Log.follow`."""
    stored = follow_stored(
        connection, reader, stream, after=after, subjects=subjects, live=live, since=since, on_demand=on_demand
    )
    async with aclosing(stored) as batches:
        async for batch in batches:
            yield [
                reader.decode_at_once(raw.subject, raw.sequence, raw.data)
                or await reader.decode_or_unreadable(raw.subject, raw.sequence, raw.data)
                for raw in batch
            ]


async def follow_stored(
    connection: Connection,
    reader: Reader,
    stream: str,
    *,
    after: int,
    subjects: str,
    live: bool,
    since: datetime | None = None,
    on_demand: bool = False,
    until: int | None = None,
    batch: int = _BATCH,
    max_bytes: int = _MAX_BYTES,
) -> AsyncGenerator[list[Raw]]:
    """See `Log.follow_stored`."""
    end = until if until is not None or live else await reader.stream_sequence(stream)
    if end is not None and end <= after:
        return
    if since is None and after < (trimmed := await reader.trimmed.up_to(stream)):
        if reader.cold is None:
            raise EventsMissing(f"{stream} is trimmed up to {trimmed}, and this process has no archive to read it from")
        trimmed = trimmed if end is None else min(trimmed, end)
        async for found in reader.cold.messages(stream, after=after, until=trimmed, subjects=subjects):
            yield found
        after = max(after, trimmed)
        if end is not None and end <= after:
            return
    async with (
        _Position(connection, stream, subjects, after, since) as position,
        Pull(connection, stream, position.set_up, batch=batch, max_bytes=max_bytes, on_demand=on_demand) as pull,
    ):
        while True:
            messages = await pull.next() if end is None else await _unless_over(pull, position)
            if messages is None:
                return
            found = [
                Raw(message.subject, sequence, message.data, message.headers or {})
                for sequence, message in position.in_order(messages, pull)
                if end is None or sequence <= end
            ]
            if found:
                yield found
            if end is not None and (position.pending == 0 or position.after >= end):
                return


async def _unless_over(pull: Pull, position: _Position) -> list[Msg] | None:
    """What comes next; None when nothing will: the server passes over messages that it cannot read, without a word."""
    coming = asyncio.ensure_future(pull.next())
    try:
        while not (await asyncio.wait({coming}, timeout=_SILENCE_SECONDS))[0]:
            if await position.is_over():
                return None
        return coming.result()
    finally:
        coming.cancel()


class _Position:
    """How far a follower is."""

    def __init__(self, connection: Connection, stream: str, subjects: str, after: int, since: datetime | None) -> None:
        self._connection = connection
        self._stream = stream
        self._subjects = subjects
        self._delivered = 0
        self._first = after
        self._since = since
        self._name = ""
        self.after = after
        self.pending = -1
        """How many messages the server still has for us; -1 when unknown."""

    async def __aenter__(self) -> _Position:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._drop()

    async def set_up(self) -> str:
        """A new consumer that starts behind the last message."""
        await self._drop()
        name = f"follow_{new_id().replace('-', '')}"
        config: dict[str, Any] = {
            "name": name,
            **self._start(),
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "inactive_threshold": _IDLE_CONSUMER_SECONDS * _NANOSECONDS,
            "num_replicas": 1,
            "mem_storage": True,
        }
        verb = f"CONSUMER.CREATE.{self._stream}.{name}"
        if self._subjects != ">":
            config["filter_subject"] = self._subjects
            verb += f".{self._subjects}"
        info = await self._connection.api(verb, {"stream_name": self._stream, "config": config, "action": "create"})
        self.pending = int(info.get("num_pending", 0))
        self._delivered = 0
        self._name = name
        return name

    async def _drop(self) -> None:
        """Has the server forget the consumer at once. It would by itself, but who comes and goes leaves many behind,
        and each holds up whoever trims the stream."""
        name, self._name = self._name, ""
        if name:
            # Nobody waits for an answer: the server may be away, and then it is all the same.
            with suppress(LogUnavailable):
                await self._connection.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}")

    async def is_over(self) -> bool:
        """Whether the consumer has nothing more to give, and all that it gave has arrived."""
        if not self._name:
            return False
        try:
            info = await self._connection.api(f"CONSUMER.INFO.{self._stream}.{self._name}")
        except (ApiError, LogUnavailable):
            return False  # another one is made
        return not info.get("num_pending") and int(info["delivered"]["consumer_seq"]) == self._delivered

    def _start(self) -> dict[str, Any]:
        if self._since is None or self.after > self._first:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.after + 1}
        moment = self._since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"deliver_policy": "by_start_time", "opt_start_time": moment}

    def in_order(self, messages: list[Msg], pull: Pull) -> list[tuple[int, Msg]]:
        """The messages that follow one another; behind a gap none, and a new consumer is asked for."""
        ordered: list[tuple[int, Msg]] = []
        for message in messages:
            _, sequence, delivered, pending = numbers_of(message.reply)
            if delivered != self._delivered + 1:
                pull.reset()
                break
            self._delivered = delivered
            self.after = sequence
            self.pending = pending
            ordered.append((sequence, message))
        return ordered
