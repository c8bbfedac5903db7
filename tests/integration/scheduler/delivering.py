"""Executions that end, and senders that tell of it: what tests of deliveries have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from flyteidl.admin.common_pb2 import Notification
from flyteidl.admin.execution_pb2 import NotificationList
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Head, Log, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.scheduler.deliveries import delivery, subjects
from services.scheduler.deliveries.delivery import Policy, State
from services.scheduler.deliveries.executions import Executions
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.sending import Sender
from services.scheduler.deliveries.settings import DeliverySettings, WebhookSettings
from services.scheduler.deliveries.sinks import Sink
from services.scheduler.deliveries.sources import Following
from services.scheduler.deliveries.subjects import QueueKey

CAUSE = Cause.service("test")
SECRET, LATER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "QUJD" * 10
SOON = Policy(most_tries=8, first_pause=timedelta(milliseconds=20), longest_pause=timedelta(milliseconds=100))
QUEUED, RUNNING, SUCCEEDED = (
    facts.ExecutionCreated.DESCRIPTOR.name,
    facts.ExecutionStarted.DESCRIPTOR.name,
    facts.ExecutionSucceeded.DESCRIPTOR.name,
)


def stamp() -> Timestamp:
    found = Timestamp()
    found.FromDatetime(datetime.now(UTC))
    return found


class Execution:
    """An execution's history."""

    def __init__(self, log: Log, *notifications: Notification) -> None:
        self._log = log
        self.id = WorkflowExecutionIdentifier(project="tests", domain="development", name=f"a{uuid4().hex}")
        self.subject = Subject.of("EXECUTION", self.id.project, self.id.domain, self.id.name)
        self._head = Head.EMPTY
        self.created = facts.ExecutionCreated(
            id=self.id, notifications=NotificationList(notifications=notifications), created_at=stamp()
        )

    async def says(self, *said: Message) -> Recorded:
        recorded = await self._log.append(self.subject, said, head=self._head, cause=CAUSE)
        self._head = recorded.head
        return recorded

    async def runs(self, *, fails: str = "") -> list[Recorded]:
        """Its history, from the beginning to the end."""
        end: Message = facts.ExecutionSucceeded(occurred_at=stamp())
        if fails:
            error = ExecutionError(code="Bad", message=fails, kind=ExecutionError.USER)
            end = facts.ExecutionFailed(error=error, occurred_at=stamp())
        return [
            await self.says(self.created),
            await self.says(facts.ExecutionStarted(occurred_at=stamp())),
            await self.says(end),
        ]

    def queue(self, sink: str) -> QueueKey:
        return QueueKey.of(sink, self.id)


def hook(url: str, **given: Any) -> WebhookSettings:
    return WebhookSettings.model_validate(
        {"name": f"w{uuid4().hex[:12]}", "url": url, "secrets": [SECRET], "timeout_seconds": 0.3, **given}
    )


def heard_of(log: Log, *webhooks: WebhookSettings, email: str = "nobody") -> tuple[Executions, Following]:
    """Source and follower of executions for these webhooks."""
    source = Executions(log, DeliverySettings.model_validate({"webhooks": webhooks}), email=email)
    return source, Following(log, Queues(log), source)


@asynccontextmanager
async def sending(log: Log, *sinks: Sink, policy: Policy = SOON) -> AsyncGenerator[Queues]:
    """Senders at work."""
    queues = Queues(log)
    tasks = [asyncio.create_task(Sender(log, queues, sink, policy).run()) for sink in sinks]
    try:
        yield queues
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def history(log: Log, key: QueueKey) -> list[Message]:
    return [fact for record in await log.load(subjects.queue(key)) for fact in record.facts]


async def settled(log: Log, key: QueueKey, count: int = 1) -> dict[str, State]:
    """States of a queue's deliveries, once nothing of at least `count` waits."""
    async with asyncio.timeout(60):
        async for batch in log.follow("SCHEDULER", after=0, subjects=str(subjects.queue(key))):
            assert batch
            queue = delivery.fold(await history(log, key))
            if len(queue.items) >= count and delivery.head(queue) is None:
                return {event_id: item.state for event_id, item in queue.items.items()}
    raise AssertionError
