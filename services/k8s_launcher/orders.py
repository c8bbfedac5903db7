"""Orders as they are kept on the log: what a launcher that starts has to look after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from flightlog_log import Log, LogUnavailable, Subject
from flightlog_protos.launcher.v1 import orders_pb2
from services.k8s_launcher.runtime import AttemptKey, Origin, Scheduled

_STREAM = "ORDER"
_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Aborting:
    """The order to end an attempt."""

    reason: str
    origin: Origin


@dataclass(frozen=True)
class Order:
    """What was ordered of one attempt."""

    key: AttemptKey
    scheduled: Scheduled | None
    """None: it is never to start."""
    ran: bool = False
    """It was seen running when it was ordered."""
    aborting: Aborting | None = None
    connector: str = ""
    """The connector that is to run it; none: it is the runtime's own."""
    resource_meta: bytes | None = None
    """What the connector answered when it began the task; None: it has not answered."""
    sequence: int = 0
    """On the stream; 0: it is not kept."""

    @property
    def origin(self) -> Origin:
        """The event that ordered what happens now: the start, or the end."""
        if self.aborting is not None:
            return self.aborting.origin
        assert self.scheduled is not None
        return self.scheduled.origin


class Orders:
    """Keeps orders on the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def keep(self, order: Order) -> Order:
        """The same order, kept in place of what was kept of its attempt. Raises `LogUnavailable`."""
        sequence = await self._log.keep(order_subject(order.key), _message(order))
        return replace(order, sequence=sequence)

    async def drop(self, order: Order) -> None:
        """It is done; returns when the log knows. Retries while the log is away."""
        while True:
            try:
                await self._log.drop(order_subject(order.key), order.sequence)
                return
            except LogUnavailable as error:
                _log.warning("order.drop_delayed", order=str(order_subject(order.key)), error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def kept(self) -> AsyncIterator[Order]:
        """All orders that are not done. Raises `LogUnavailable`."""
        async for kept in self._log.kept(_STREAM, orders_pb2.Order):
            project, domain, execution, node_id, attempt = kept.key.parts
            message = kept.message
            scheduled = Scheduled(message.scheduled, _origin(message.origin)) if message.HasField("scheduled") else None
            aborting: Aborting | None = None
            if message.HasField("abort"):
                aborting = Aborting(message.abort.reason, _origin(message.abort.origin))
            key = AttemptKey(project, domain, execution, node_id, int(attempt))
            meta = message.resource_meta if message.HasField("resource_meta") else None
            yield Order(key, scheduled, message.ran, aborting, message.connector, meta, kept.sequence)


def order_subject(key: AttemptKey) -> Subject:
    """What an attempt's order is kept by."""
    return Subject.of("ORDER", key.project, key.domain, key.execution, key.node_id, str(key.attempt))


def _message(order: Order) -> orders_pb2.Order:
    message = orders_pb2.Order(ran=order.ran, connector=order.connector, resource_meta=order.resource_meta)
    if order.scheduled is not None:
        message.scheduled.CopyFrom(order.scheduled.fact)
        message.origin.CopyFrom(_origin_message(order.scheduled.origin))
    if order.aborting is not None:
        message.abort.reason = order.aborting.reason
        message.abort.origin.CopyFrom(_origin_message(order.aborting.origin))
    return message


def _origin_message(origin: Origin) -> orders_pb2.Origin:
    return orders_pb2.Origin(
        event_id=origin.event_id, correlation_id=origin.correlation_id, traceparent=origin.traceparent
    )


def _origin(message: orders_pb2.Origin) -> Origin:
    return Origin(message.event_id, message.correlation_id, message.traceparent)
