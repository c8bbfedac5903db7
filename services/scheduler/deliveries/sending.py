"""Working queues off: the first of each is sent, and what came of it is recorded.

What was sent but not recorded, because the process died in between, is sent again under the same id. Each sink has its
own consumers and places, so that one that is slow or away holds up no other.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from prometheus_client import Counter

from flightlog_log import Cause, Log, Recorded
from flightlog_protos.log.v1.envelope_pb2 import Actor
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryAlarm, DeliveryQueued, DeliveryRetried
from services.scheduler.deliveries import delivery, subjects
from services.scheduler.deliveries.delivery import Delivered, Failed, Item, Outcome, Policy
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.sinks import Sink, presentable
from services.scheduler.deliveries.subjects import QueueKey

SERVICE = "scheduler"
REACTED_TO = frozenset(fact.DESCRIPTOR.name for fact in (DeliveryQueued, DeliveryRetried))

_log = structlog.get_logger(__name__)
_tries = Counter("flightlog_delivery_tries_total", "Tries to deliver", ["sink", "outcome"])


class Sender:
    """Works the queues of one sink off.

    Args:
        clock: what "now" is when a next try is due.
    """

    def __init__(
        self,
        log: Log,
        queues: Queues,
        sink: Sink,
        policy: Policy,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._queues = queues
        self._sink = sink
        self._policy = policy
        self._clock = clock
        self._places = asyncio.Semaphore(sink.at_once)
        self._lanes: dict[QueueKey, tuple[asyncio.Lock, int]] = {}
        for outcome in ("delivered", "failed", "parked"):
            _tries.labels(sink.name, outcome)

    async def run(self) -> None:
        """Send until cancelled."""
        name = self._sink.name
        durable = f"deliveries-{name}"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self._log.consume(
                        subjects.SCHEDULER,
                        durable,
                        self.take,
                        facts=REACTED_TO,
                        subjects=subjects.queues_of(name),
                        max_in_flight=2 * self._sink.at_once,
                    )
                )
                group.create_task(
                    self._log.consume_alarms(
                        durable,
                        subjects.alarm_kind(name),
                        self.on_alarm,
                        DeliveryAlarm,
                        max_in_flight=2 * self._sink.at_once,
                    )
                )
        finally:
            await self._sink.close()

    async def take(self, recorded: Recorded) -> None:
        """Something was queued, or is to be tried again."""
        key = subjects.key_of(recorded.subject)
        if key is not None:
            await self.work_off(key, Cause.service(SERVICE, recorded), self._clock())

    async def on_alarm(self, alarm: DeliveryAlarm, due: datetime) -> None:
        """The first of a queue is due again."""
        key = subjects.key_of(alarm.subject)
        if key is not None:
            actor = Actor(subject=SERVICE, method="service")
            cause = Cause(actor, alarm.correlation_id, alarm.causation_id, alarm.traceparent)
            # The alarm clock is the server's: ours may be behind.
            await self.work_off(key, cause, max(due, self._clock()))

    async def work_off(self, key: QueueKey, cause: Cause, now: datetime) -> None:
        """Send what is due, one after another, until nothing waits or the next try is later."""
        async with self._lane(key):
            while (item := delivery.head(await self._queues.queue(key))) is not None:
                if item.next_try is not None and item.next_try > now:
                    await self._arm(key, item.next_try, cause)
                    return
                await self._try(key, item, cause)
                now = max(now, self._clock())

    async def _try(self, key: QueueKey, item: Item, cause: Cause) -> None:
        queued = item.queued
        assert queued is not None, "what waits has its content"
        async with self._places:
            outcome = await self._outcome(queued, item)
        # Recorded even when the process is asked to stop now: else it would be sent again.
        await asyncio.shield(self._record(key, queued, outcome, cause))

    async def _outcome(self, queued: DeliveryQueued, item: Item) -> Outcome:
        try:
            return await self._sink.send(queued, item.reached)
        except Exception as error:  # noqa: BLE001  # the edge: one message that a sink chokes on must not hold up its queue
            reason = presentable(f"{type(error).__name__}: {error}", self._sink.secrets)
            # Where, but no traceback: the values in it may be secrets.
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error(
                "delivery.sink_failed",
                sink=self._sink.name,
                delivery=queued.event_id,
                reason=reason,
                where=f"{where.filename}:{where.lineno}",
            )
            return Failed(reason)

    async def _record(self, key: QueueKey, queued: DeliveryQueued, outcome: Outcome, cause: Cause) -> None:
        event_id, at = queued.event_id, self._clock()
        facts = await self._queues.change(
            key, lambda queue: delivery.settle(queue, event_id, outcome, at, self._policy), cause
        )
        told = {"sink": key.sink, "delivery": event_id, "execution": "/".join(key[1:])}
        for fact in facts:
            kind = fact.DESCRIPTOR.name.removeprefix("Delivery").lower()
            _tries.labels(key.sink, "delivered" if isinstance(outcome, Delivered) else kind).inc()
            if isinstance(outcome, Failed):
                _log.warning(f"delivery.{kind}", **told, reason=outcome.reason)

    async def _arm(self, key: QueueKey, due: datetime, cause: Cause) -> None:
        alarm = DeliveryAlarm(
            subject=str(subjects.queue(key)),
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            traceparent=cause.traceparent,
        )
        await self._log.schedule(subjects.alarm(key), due, alarm, traceparent=cause.traceparent)

    @asynccontextmanager
    async def _lane(self, key: QueueKey) -> AsyncGenerator[None]:
        """One at a time works a queue off in this process; a second process repeats at most what is being sent."""
        lock, users = self._lanes.get(key, (asyncio.Lock(), 0))
        self._lanes[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._lanes.pop(key)
            if users > 1:
                self._lanes[key] = lock, users - 1
