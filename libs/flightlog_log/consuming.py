"""Durable consumption: every message of a stream is handled at least once, those of one subject one after another.

Each subject with messages waiting has a lane: a queue and the task that works it off, gone when the queue is empty. A
failing message is tried again in its lane, never handed back to the server, so that no later message of its subject can
overtake it; meanwhile the server is told that work goes on. After `MAX_TRIES` it is parked.

When a process or the server died, messages may be delivered but not acknowledged. The server offers them again only
after the time for acknowledgement has passed, and behind newer ones: to another process that draws from the consumer.
Where there is none, the consumer is set back to its acknowledgement floor when the flow starts anew; what this process
has in hand, or has done lately, is recognised by its sequence. A process that is told to stop hands back what it has.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog
from nats.aio.msg import Msg
from structlog.contextvars import bound_contextvars

from flightlog_telemetry import span_from

from .connection import ApiError, Connection
from .errors import LogError, LogUnavailable, Undecodable
from .metrics import consumer_lag, parked_total, redelivered_total
from .parking import REDRIVEN_SEQUENCE, park, redriven_subject
from .pulling import Pull, numbers_of
from .reading import Reader

MAX_TRIES = 8
_UNAVAILABLE_SECONDS = 0.5
_REMEMBERED = 16384
_NANOSECONDS = 1_000_000_000
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Delivery:
    """A message on its way through a lane."""

    subject: str
    sequence: int
    """In the stream it was appended to."""
    data: bytes
    headers: Mapping[str, str]
    reply: str
    """Where to acknowledge; a redelivery changes it."""
    again: bool
    """Whether it may have been handled before."""
    told: float
    """When the server last gave it to us, or heard that it is being worked on."""
    tries: int = 1
    """By this process. What others had in hand when they were stopped has not failed there."""


class Source(Protocol):
    """What a consumer draws from, and what it does with a message."""

    stream: str
    durable: str
    filter: str
    """Subjects to draw; ">" for all of the stream."""

    def wanted(self, headers: Mapping[str, str]) -> bool:
        """Whether the message is to be handled; others are acknowledged unread."""
        ...

    async def handle(self, delivery: Delivery) -> None: ...


class Consumer:
    """One durable consumer, from `run` until that is cancelled."""

    def __init__(
        self,
        connection: Connection,
        reader: Reader,
        source: Source,
        *,
        max_in_flight: int,
        gather_seconds: float = 0.0,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._source = source
        self._max_in_flight = max_in_flight
        self._gather_seconds = gather_seconds
        self._working = asyncio.Semaphore(max_in_flight)
        self._lanes: dict[str, deque[Delivery]] = {}
        self._in_hand: dict[tuple[bool, int], Delivery] = {}
        self._done: OrderedDict[int, None] = OrderedDict()
        self._pending = 0
        labels = (source.stream, source.durable)
        consumer_lag.labels(*labels).set_function(lambda: self._pending + len(self._in_hand))
        # There from the start: an alert on the first one needs the zero before it.
        parked_total.labels(*labels)
        redelivered_total.labels(*labels)

    async def run(self) -> None:
        """Consume until cancelled. Raises a group with `LogUnavailable` when the connection is closed for good."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_alive())
                tasks.create_task(self._draw_redriven(tasks))
                await self._draw(tasks)
        finally:
            for delivery in self._in_hand.values():
                await self._tell(delivery.reply, b"-NAK")

    async def _draw(self, tasks: asyncio.TaskGroup) -> None:
        source = self._source

        async def set_up() -> str:
            return await self._set_up(source.stream, source.durable, source.filter)

        batch, on_demand = self._max_in_flight, self._gather_seconds > 0
        async with Pull(self._connection, source.stream, set_up, batch=batch, on_demand=on_demand) as pull:
            while True:
                messages = await pull.next()
                for message in messages:
                    await self._accept(message, tasks)
                if messages:
                    self._pending = numbers_of(messages[-1].reply).pending
                    if on_demand and not self._pending:
                        await asyncio.sleep(self._gather_seconds)

    async def _accept(self, message: Msg, tasks: asyncio.TaskGroup) -> None:
        numbers = numbers_of(message.reply)
        sequence = numbers.sequence
        known = self._in_hand.get((False, sequence))
        if known is not None:
            known.reply, known.told = message.reply, self._connection.loop.time()
            return
        headers = message.headers or {}
        if sequence in self._done or not self._source.wanted(headers):
            await self._acknowledge(message.reply)
            return
        delivery = Delivery(
            message.subject,
            sequence,
            message.data,
            headers,
            message.reply,
            numbers.deliveries > 1,
            self._connection.loop.time(),
        )
        self._enqueue((False, sequence), delivery, tasks)

    def _enqueue(self, key: tuple[bool, int], delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        self._in_hand[key] = delivery
        lane = self._lanes.get(delivery.subject)
        if lane is not None:
            lane.append(delivery)
            return
        self._lanes[delivery.subject] = deque((delivery,))
        tasks.create_task(self._work(delivery.subject))

    async def _work(self, subject: str) -> None:
        """Work a lane off. The delivery under way stays first in it."""
        lane = self._lanes[subject]
        while lane:
            delivery = lane[0]
            await self._handle(delivery)
            lane.popleft()
            await self._finish(delivery)
        del self._lanes[subject]

    async def _handle(self, delivery: Delivery) -> None:
        """Handle until it worked or the message is parked."""
        while (failure := await self._try(delivery)) is not None:
            if isinstance(failure, LogUnavailable):
                _log.warning(
                    "consumer.waiting", consumer=self._source.durable, sequence=delivery.sequence, reason=str(failure)
                )
                await asyncio.sleep(min(_UNAVAILABLE_SECONDS, self._connection.settings.redelivery_longest_seconds))
            elif isinstance(failure, Undecodable) or delivery.tries >= MAX_TRIES:
                await self._park(delivery, failure)
                return
            else:
                await self._back_off(delivery, failure)

    async def _try(self, delivery: Delivery) -> Exception | None:
        """Handle once; returns why it failed."""
        try:
            async with self._working:
                await self._source.handle(delivery)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return LogError("something that the handler waited for was cancelled")
        except Exception as error:  # noqa: BLE001  # the edge: whatever a handler raises, the other subjects flow on
            return error
        return None

    async def _back_off(self, delivery: Delivery, error: Exception) -> None:
        settings = self._connection.settings
        delay = min(settings.redelivery_first_seconds * 3 ** (delivery.tries - 1), settings.redelivery_longest_seconds)
        delivery.tries += 1
        delivery.again = True
        redelivered_total.labels(self._source.stream, self._source.durable).inc()
        _log.warning(
            "consumer.failed",
            consumer=self._source.durable,
            subject=delivery.subject,
            sequence=delivery.sequence,
            next_try=delivery.tries,
            delay_seconds=delay,
            reason=f"{type(error).__name__}: {error}",
            exc_info=error if delivery.tries == 2 else None,
        )
        await asyncio.sleep(delay)

    async def _park(self, delivery: Delivery, error: Exception) -> None:
        source = self._source
        reason = f"{type(error).__name__}: {error}"
        while True:
            try:
                await park(
                    self._connection,
                    self._reader,
                    source.stream,
                    delivery.sequence,
                    consumer=source.durable,
                    reason=reason,
                    deliveries=delivery.tries,
                )
                break
            except LogUnavailable:
                await asyncio.sleep(_UNAVAILABLE_SECONDS)
        _log.error(
            "message.parked",
            consumer=source.durable,
            subject=delivery.subject,
            sequence=delivery.sequence,
            reason=reason,
            exc_info=error,
        )

    async def _finish(self, delivery: Delivery) -> None:
        key = (delivery.headers is _REDRIVEN, delivery.sequence)
        del self._in_hand[key]
        if not key[0]:
            self._done[delivery.sequence] = None
            if len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
        await self._acknowledge(delivery.reply)

    async def _acknowledge(self, reply: str) -> None:
        # One that is lost is made up for when the server delivers the message again.
        await self._tell(reply, b"+ACK")

    async def _tell(self, reply: str, word: bytes) -> None:
        try:
            await self._connection.publish(reply, word)
        except LogUnavailable:
            return

    async def _keep_alive(self) -> None:
        """Tell the server that messages in hand for long are still being worked on."""
        fifth = self._connection.settings.takeover_seconds / 5
        while True:
            await asyncio.sleep(fifth)
            now = self._connection.loop.time()
            for delivery in [held for held in self._in_hand.values() if held.told < now - 2 * fifth]:
                delivery.told = now
                await self._tell(delivery.reply, b"+WPI")

    async def _draw_redriven(self, tasks: asyncio.TaskGroup) -> None:
        """Take up parked messages that are to be tried again."""
        source = self._source

        async def set_up() -> str:
            durable = f"{source.stream}_{source.durable}"
            return await self._set_up("PARKED", durable, redriven_subject(source.stream, source.durable))

        async with Pull(self._connection, "PARKED", set_up, batch=32) as pull:
            while True:
                for message in await pull.next():
                    sequence = int((message.headers or {}).get(REDRIVEN_SEQUENCE, "0"))
                    found = await self._reader.message(source.stream, sequence)
                    if found is None:
                        await self._acknowledge(message.reply)
                        continue
                    now = self._connection.loop.time()
                    known = self._in_hand.get((True, sequence))
                    if known is not None:
                        # To acknowledge it now would be to lose it with this process: it is not parked any more.
                        known.reply, known.told = message.reply, now
                        continue
                    delivery = Delivery(found[0], sequence, found[1], _REDRIVEN, message.reply, True, now)
                    self._enqueue((True, sequence), delivery, tasks)

    async def _set_up(self, stream: str, durable: str, subjects: str) -> str:
        config: dict[str, Any] = {
            "durable_name": durable,
            "name": durable,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self._connection.settings.takeover_seconds * _NANOSECONDS),
            "max_deliver": -1,
            "max_ack_pending": self._max_in_flight * 8,
            "max_waiting": 512,
            "replay_policy": "instant",
        }
        verb = f"CONSUMER.CREATE.{stream}.{durable}"
        if subjects != ">":
            config["filter_subject"] = subjects
            verb += f".{subjects}"
        info = await self._connection.api(verb, {"stream_name": stream, "config": config, "action": ""})
        if info.get("num_ack_pending", 0) and not info.get("num_waiting", 0) and not await self._drawn(info):
            try:
                await self._connection.api(f"CONSUMER.RESET.{stream}.{durable}")
            except ApiError as error:  # a server before 2.14 offers them again when their time is over
                _log.info("consumer.not_reset", consumer=durable, reason=str(error))
        return durable

    async def _drawn(self, info: Mapping[str, Any]) -> bool:
        """Whether another process draws from a consumer though it does not wait for anything at this moment."""
        if not self._gather_seconds:
            return False
        await asyncio.sleep(2 * self._gather_seconds)
        later = await self._connection.api(f"CONSUMER.INFO.{info['stream_name']}.{info['name']}")
        return bool(later.get("num_waiting", 0)) or later["delivered"] != info["delivered"]


_REDRIVEN: Mapping[str, str] = {"Flightlog-Redriven": "1"}


class EventSource:
    """Draws envelopes and hands them on decoded."""

    def __init__(
        self,
        reader: Reader,
        stream: str,
        durable: str,
        handler: Callable[[Any], Awaitable[None]],
        facts: frozenset[str] | None,
        subjects: str = ">",
    ) -> None:
        self.stream = stream
        self.durable = durable
        self.filter = subjects
        self._reader = reader
        self._handler = handler
        self._facts = facts
        self._restored: int | None = None

    def wanted(self, headers: Mapping[str, str]) -> bool:
        if self._facts is None:
            return True
        names = headers.get("Flightlog-Facts")
        return names is None or not self._facts.isdisjoint(names.split(","))

    async def handle(self, delivery: Delivery) -> None:
        recorded = await self._reader.decode(delivery.subject, delivery.sequence, delivery.data)
        if self._restored is None:
            self._restored = await self._reader.restored(self.stream)
        # What a restore has given back was handled before, as far as this consumer had come then.
        if delivery.again or delivery.sequence <= self._restored:
            recorded = replace(recorded, redelivered=True)
        name = f"consume {self.stream} {self.durable}"
        told = {"subject": recorded.subject, "sequence": recorded.sequence, "event_id": recorded.event_id}
        # Whatever is logged on the way names the message it is about.
        with bound_contextvars(**told), span_from(recorded.traceparent, name, kind="consumer", **told):
            await self._handler(recorded)
