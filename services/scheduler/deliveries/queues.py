"""Queues of deliveries on the log: folded, kept at hand, and changed with optimistic concurrency."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Conflict, Head, Log
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued
from services.scheduler.deliveries import delivery, subjects
from services.scheduler.deliveries.delivery import Queue
from services.scheduler.deliveries.subjects import QueueKey

_KEPT = 1000
_KEPT_ITEMS = 200_000
"""Lineage of one large run has ten thousands of deliveries."""


class Queues:
    """All queues. `clock` gives the time of new facts."""

    def __init__(self, log: Log, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._log = log
        self._clock = clock
        self._kept: OrderedDict[QueueKey, tuple[Head, Queue]] = OrderedDict()
        self._items = 0

    async def queue(self, key: QueueKey) -> Queue:
        """The queue as it is now."""
        return (await self._load(key))[1]

    async def enqueue(self, key: QueueKey, deliveries: Sequence[DeliveryQueued], cause: Cause) -> int:
        """Put deliveries at the end, those that are not there yet; returns how many these are."""
        now = self.now()
        for one in deliveries:
            one.occurred_at.CopyFrom(now)
        return len(await self.change(key, lambda queue: delivery.enqueue(queue, deliveries), cause))

    async def retry(self, key: QueueKey, event_ids: Iterable[str], cause: Cause) -> int:
        """Have parked deliveries tried again; returns how many are parked no more."""
        wanted, now = frozenset(event_ids), self.now()
        return len(await self.change(key, lambda queue: delivery.retry(queue, wanted, now), cause))

    async def forget(self, key: QueueKey, cause: Cause) -> None:
        """Empty a queue for good, because its execution is deleted."""
        now = self.now()
        await self.change(key, lambda queue: delivery.forget(queue, now), cause)

    async def reload(self, project: str) -> None:
        """Read a project's queues from the log again: their personal data may be gone."""
        for key in [key for key in self._kept if key.project == project]:
            _, queue = self._kept.pop(key)
            self._items -= len(queue.items)

    async def change(
        self, key: QueueKey, decide: Callable[[Queue], Sequence[Message]], cause: Cause
    ) -> Sequence[Message]:
        """Decide about a queue and record what was decided; decides anew when somebody else was first."""
        while True:
            head, queue = await self._load(key)
            facts = decide(queue)
            if not facts:
                return facts
            try:
                recorded = await self._log.append(subjects.queue(key), facts, head=head, cause=cause)
            except Conflict:
                continue
            self._keep(key, recorded.head, delivery.fold(facts, queue))
            return facts

    def now(self) -> Timestamp:
        """The time of a new fact."""
        stamp = Timestamp()
        stamp.FromDatetime(self._clock())
        return stamp

    async def _load(self, key: QueueKey) -> tuple[Head, Queue]:
        head, queue = self._kept.get(key, (Head.EMPTY, Queue()))
        for record in await self._log.load(subjects.queue(key), after=head):
            head, queue = record.head, delivery.fold(record.facts, queue)
        self._keep(key, head, queue)
        return head, queue

    def _keep(self, key: QueueKey, head: Head, queue: Queue) -> None:
        known = self._kept.get(key)
        # Several change one queue at a time: what is kept never goes back.
        if head.sequence and (known is None or known[0].sequence <= head.sequence):
            self._items += len(queue.items) - (len(known[1].items) if known is not None else 0)
            self._kept[key] = head, queue
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT or (self._items > _KEPT_ITEMS and len(self._kept) > 1):
                _, (_, oldest) = self._kept.popitem(last=False)
                self._items -= len(oldest.items)
