"""Deliveries as a whole: their sources, queues, sinks, tables and calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_rpc import CallContext
from services.scheduler.deliveries.api import DeliveryApi
from services.scheduler.deliveries.delivery import Policy
from services.scheduler.deliveries.executions import Executions
from services.scheduler.deliveries.forgetting import Forgetting
from services.scheduler.deliveries.lineage import Lineage
from services.scheduler.deliveries.projection import DeliveryProjection
from services.scheduler.deliveries.queries import Reads
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.replaying import Replaying
from services.scheduler.deliveries.sending import Sender
from services.scheduler.deliveries.settings import DeliverySettings
from services.scheduler.deliveries.sinks import Sink
from services.scheduler.deliveries.smtp import EmailSink
from services.scheduler.deliveries.sources import Following, Source
from services.scheduler.deliveries.webhook import HttpSink


class Deliveries:
    """What `python -m services.scheduler` runs of deliveries."""

    def __init__(
        self,
        log: Log,
        database: Database,
        settings: DeliverySettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        queues = Queues(log, clock)
        sources: list[Source] = [Executions(log, settings)]
        if settings.openlineage:
            sources.append(Lineage(settings.openlineage))
        followed = [(source, Following(log, queues, source, clock)) for source in sources]
        sinks: list[Sink] = [
            EmailSink(settings.smtp),
            *(HttpSink(one) for one in (*settings.webhooks, *settings.openlineage)),
        ]
        policy = Policy(settings.most_tries, settings.first_pause, settings.longest_pause)
        self.projector = Projector(database, log, DeliveryProjection())
        self._followed = [following for _, following in followed]
        self._queues = queues
        self._working = [
            Forgetting(log, queues).run,
            *(following.run for following in self._followed),
            *(Sender(log, queues, sink, policy, clock).run for sink in sinks),
        ]
        reads = Reads(log, database, self.projector)
        self._api = DeliveryApi(reads, queues, Replaying(log, followed), [sink.name for sink in sinks])

    async def begin(self) -> None:
        """At the first start on a log: what happens from now on is delivered. Raises `LogUnavailable`."""
        for following in self._followed:
            await following.began()

    async def run(self) -> None:
        """Deliver, and keep the tables, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.projector.run())
            for work in self._working:
                group.create_task(work())

    async def forget(self, project: str) -> None:
        """Forget what is in memory of a project's personal data."""
        await self._queues.reload(project)

    def methods(self) -> Mapping[str, Callable[[Any, CallContext], Awaitable[Message]]]:
        """DeliveryService."""
        return self._api.methods()
