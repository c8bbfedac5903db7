"""What every stream is that deliveries come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Conflict, Head, Log, Recorded
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveriesBegan, DeliveryQueued
from services.scheduler.deliveries import subjects
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.subjects import QueueKey

DURABLE = "deliveries"
SERVICE = "scheduler"
_GATHER_SECONDS = 0.05


class Source(Protocol):
    """Says what an envelope is to be told to whom.

    Attributes:
        stream: where its envelopes are.
        facts: short names of the facts that it looks at.
    """

    @property
    def stream(self) -> str: ...

    @property
    def facts(self) -> frozenset[str]: ...

    def subjects_of(self, project: str, domain: str, execution: str) -> str:
        """A filter of the subjects that may hold envelopes of such executions; empty names stand for all."""
        ...

    async def earlier(self, recorded: Recorded) -> list[Recorded]:
        """Envelopes of the same execution that are told of before this one. Another process may have them in hand."""
        ...

    async def deliveries(self, recorded: Recorded) -> list[tuple[str, DeliveryQueued]]:
        """What is to be delivered, by name of the sink, in order. The same for the same envelope."""
        ...


class Following:
    """Follows a source's stream and queues what it says."""

    def __init__(
        self,
        log: Log,
        queues: Queues,
        source: Source,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._queues = queues
        self._source = source
        self._clock = clock
        self._after = 0

    async def run(self) -> None:
        """Queue until cancelled."""
        self._after = await self.began()
        source = self._source
        await self._log.consume(source.stream, DURABLE, self.take, facts=source.facts, gather_seconds=_GATHER_SECONDS)

    async def take(self, recorded: Recorded) -> None:
        """Queue what is to be told of one envelope, and before it of earlier ones; on the log when this returns."""
        if recorded.sequence <= self._after:
            return
        found: list[tuple[str, DeliveryQueued]] = []
        for one in (*await self._source.earlier(recorded), recorded):
            if one.sequence > self._after:
                found += await self._source.deliveries(one)
        await self.queue(found, Cause.service(SERVICE, recorded))

    async def queue(self, found: list[tuple[str, DeliveryQueued]], cause: Cause) -> int:
        """Queue what comes of one envelope; returns how many were not waiting already."""
        by_queue: defaultdict[QueueKey, list[DeliveryQueued]] = defaultdict(list)
        for sink, queued in found:
            by_queue[QueueKey.of(sink, queued.execution_id)].append(queued)
        return sum([await self._queues.enqueue(key, queued, cause) for key, queued in by_queue.items()])

    async def began(self) -> int:
        """The sequence behind which this stream's envelopes are delivered: where it ended when this was asked first.

        Without it, the first start on a log with a past would tell everybody of all that ever happened.
        """
        subject = subjects.began(self._source.stream)
        while True:
            first = await self._log.first(subject)
            for fact in first.facts if first is not None else ():
                if isinstance(fact, DeliveriesBegan):
                    return fact.after
            now = Timestamp()
            now.FromDatetime(self._clock())
            began = DeliveriesBegan(
                stream=self._source.stream,
                after=await self._log.stream_sequence(self._source.stream),
                occurred_at=now,
            )
            try:
                await self._log.append(subject, [began], head=Head.EMPTY, cause=Cause.service(SERVICE))
            except Conflict:
                continue
            return began.after
