"""Executions as a source of deliveries: notifications by e-mail, and webhooks."""

from __future__ import annotations

from dataclasses import replace

from flightlog_log import Log, LogUnavailable, Recorded, encode_token
from flightlog_protos.execution.v1.facts_pb2 import AbortRequested, ExecutionAborted, ExecutionCreated, ExecutionStarted
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued
from services.scheduler.deliveries import cloudevents, notifications, subjects
from services.scheduler.deliveries.events import END_FACTS, PHASES, TERMINAL, event_of
from services.scheduler.deliveries.settings import EMAIL, DeliverySettings
from services.scheduler.deliveries.sinks import host_of


class Executions:
    """The stream EXECUTION. Everything that a delivery says is in the execution's own history."""

    stream = subjects.EXECUTION

    def __init__(self, log: Log, settings: DeliverySettings, *, email: str = EMAIL) -> None:
        self._log = log
        self._settings = settings
        self._email = email
        phases = TERMINAL.union(*(webhook.phases for webhook in settings.webhooks))
        self.facts = frozenset(fact.DESCRIPTOR.name for fact, phase in PHASES.items() if phase in phases)

    def subjects_of(self, project: str, domain: str, execution: str) -> str:
        return execution_subjects("execution.*", project, domain, execution)

    async def earlier(self, recorded: Recorded) -> list[Recorded]:
        """How it was created and started, where somebody hears of that."""
        if self.facts <= END_FACTS or recorded.envelope.position == 1:
            return []
        found: list[Recorded] = []
        async for batch in self._log.follow(self.stream, after=0, subjects=recorded.subject, live=False):
            for one in batch:
                if one.sequence >= recorded.sequence or not isinstance(one, Recorded):
                    return found
                found += [one] if any(fact.DESCRIPTOR.name in self.facts for fact in one.facts) else []
                if any(isinstance(fact, ExecutionStarted) for fact in one.facts):
                    return found
        return found

    async def deliveries(self, recorded: Recorded) -> list[tuple[str, DeliveryQueued]]:
        """Raises as `Log.first` and `Log.load`; `LogUnavailable` when the replica asked does not know how it began."""
        facts = [fact for fact in recorded.facts if fact.DESCRIPTOR.name in self.facts]
        created = await self._created(recorded) if facts else None
        if created is None:
            return []
        found: list[tuple[str, DeliveryQueued]] = []
        for fact in facts:
            event = event_of(recorded.event_id, fact, created, traceparent=recorded.traceparent)
            if event is None:
                continue
            found += ((self._email, queued) for queued in notifications.emails(event, self._settings))
            wanting = [webhook for webhook in self._settings.webhooks if cloudevents.wants(webhook, event)]
            if wanting and isinstance(fact, ExecutionAborted):
                event = replace(event, abort=await self._abort(recorded.subject))
            for webhook in wanting:
                host = host_of(webhook.url.get_secret_value())
                posts = cloudevents.posts(event, webhook, source=self._settings.source, host=host)
                found += ((webhook.name, queued) for queued in posts)
        return found

    async def _created(self, recorded: Recorded) -> ExecutionCreated | None:
        first = recorded if recorded.envelope.position == 1 else await self._log.first(recorded.subject)
        if first is None:
            raise LogUnavailable(f"{recorded.subject}: the nearest replica lags")
        return next((fact for fact in first.facts if isinstance(fact, ExecutionCreated)), None)

    async def _abort(self, subject: str) -> AbortRequested | None:
        """Why an execution was aborted."""
        history = (fact for record in await self._log.load(subject) for fact in record.facts)
        return next((fact for fact in history if isinstance(fact, AbortRequested)), None)


def execution_subjects(prefix: str, project: str, domain: str, execution: str) -> str:
    """A filter of subjects that end with an execution's names; empty ones stand for all."""
    return ".".join((prefix, *(encode_token(part) if part else "*" for part in (project, domain, execution))))
