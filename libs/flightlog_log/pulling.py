"""A pull consumer as a never-ending source of messages.

Keeps pull requests open ahead of need, so that a new message arrives without being asked for, and notices by missing
heartbeats that the server, the consumer or the connection is gone; it then asks its owner to set the consumer up anew.

A message that arrives by itself costs both sides a turn: the server writes it, we wake up. Who is not in a hurry asks
on demand: one request is answered with all that is there, or else with what comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import nats.errors
import structlog
from nats.aio.msg import Msg

from .connection import Connection, status_of
from .errors import LogUnavailable

_log = structlog.get_logger(__name__)
_HEARTBEAT_SECONDS = 2.0
_PULL_SECONDS = 30.0
_REFUSED_SECONDS = 0.05
_NANOSECONDS = 1_000_000_000


class Pull:
    """Messages of one consumer, in the order the server sends them.

    `set_up` makes or finds the consumer and returns its name; it is called at the start and each time the flow broke.
    With `on_demand`, nothing is asked of the server between two calls of `next`.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        set_up: Callable[[], Awaitable[str]],
        *,
        batch: int,
        max_bytes: int = 16 * 1024 * 1024,
        on_demand: bool = False,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._set_up = set_up
        self._batch = batch
        # All of a request but its size.
        terms = {
            "expires": int(_PULL_SECONDS * _NANOSECONDS),
            "idle_heartbeat": int(_HEARTBEAT_SECONDS * _NANOSECONDS),
            "no_wait": on_demand,
        }
        self._terms = json.dumps({"max_bytes": max_bytes, **terms})
        self._terms_of_one = json.dumps(terms)
        self._on_demand = on_demand
        self._loop = connection.loop
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._consumer = ""
        self._inbox = ""
        self._open = 0
        self._refused = False
        self._full = False
        self._heard = 0.0
        self._broken = True

    async def __aenter__(self) -> Pull:
        self._stop_watching = self._connection.watch_reconnects(self.reset)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_watching()
        await self._unsubscribe()

    def reset(self) -> None:
        """Drop what is under way and set the consumer up anew before the next message."""
        self._broken = True
        self._wake.set()

    async def next(self) -> list[Msg]:
        """All messages that are there, at least one; none, once, at the start and after a break in the flow.

        Waits for as long as the server is away. Raises `LogUnavailable` when the connection is closed for good.
        """
        while True:
            if self._broken:
                try:
                    await self._start()
                except LogUnavailable as error:
                    if self._connection.is_closed:
                        raise
                    _log.warning("consumer.waiting", stream=self._stream, reason=str(error))
                    continue
                return []
            if self._arrived:
                messages = list(self._arrived)
                self._arrived.clear()
                return messages
            self._wake.clear()
            await self._ask()
            if self._arrived or self._broken:
                continue
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS * 2.5):
                    await self._wake.wait()
            except TimeoutError:
                if self._loop.time() - self._heard > _HEARTBEAT_SECONDS * 2:
                    _log.warning("consumer.silent", stream=self._stream, consumer=self._consumer)
                    self._broken = True

    async def _start(self) -> None:
        await self._unsubscribe()
        self._arrived.clear()
        self._consumer = await self._set_up()
        self._inbox = self._connection.new_inbox()
        inbox = self._inbox

        def arrived(message: Msg) -> None:
            if inbox == self._inbox:
                self._receive(message)

        self._subscription = await self._connection.subscribe(inbox, arrived)
        self._open = 0
        self._heard = self._loop.time()
        self._broken = False
        self._refused = False
        self._full = False
        if not self._on_demand:
            await self._ask()

    async def _unsubscribe(self) -> None:
        if self._inbox:
            self._inbox = ""
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._subscription.unsubscribe()

    async def _ask(self) -> None:
        """Keep between half a batch and a batch requested; on demand a batch, when none is."""
        if self._open > (0 if self._on_demand else self._batch // 2):
            return
        if self._refused:
            self._refused = False
            await asyncio.sleep(_REFUSED_SECONDS)
        # What comes next did not fit in; it may be larger than any batch, so it is asked for by itself.
        wanted, terms = (1, self._terms_of_one) if self._full else (self._batch - self._open, self._terms)
        self._full = False
        try:
            await self._connection.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}",
                f'{{"batch": {wanted}, {terms[1:]}'.encode(),
                reply=self._inbox,
            )
        except LogUnavailable:
            self._broken = True
            return
        self._open += wanted

    def _receive(self, message: Msg) -> None:
        self._heard = self._loop.time()
        status = status_of(message)
        if not status:
            self._open -= 1
            self._arrived.append(message)
        elif status == "100":
            return
        else:
            self._ended(status, message.headers or {})
        self._wake.set()

    def _ended(self, status: str, headers: Mapping[str, str]) -> None:
        """A pull request is over: it expired, was served up to its bytes, or the consumer is no more."""
        pending = headers.get("Nats-Pending-Messages")
        description = headers.get("Description", "").lower()
        if pending is not None and status in ("404", "408", "409") and "consumer" not in description:
            self._open -= int(pending)
            self._full = self._full or "maxbytes" in description
        elif self._on_demand and status in ("404", "408"):
            # All that was there has come; or nothing, because what is there is another one's, who asked before.
            self._refused = self._open == self._batch
            self._open = 0
        else:
            _log.info(
                "consumer.interrupted", stream=self._stream, consumer=self._consumer, status=status, reason=description
            )
            self._broken = True


class Numbers(NamedTuple):
    """What the subject for acknowledging a message says about it."""

    deliveries: int
    sequence: int
    """In the stream."""
    delivered: int
    """How many messages the consumer was given, this one included."""
    pending: int
    """How many more there are for the consumer."""


def numbers_of(reply: str) -> Numbers:
    """Parse `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<delivered>.<time>.<pending>`.

    Since the second version of that subject, domain and account come before the stream.
    """
    tokens = reply.split(".")
    start = 4 if len(tokens) == 9 else 6
    return Numbers(int(tokens[start]), int(tokens[start + 1]), int(tokens[start + 2]), int(tokens[start + 4]))
