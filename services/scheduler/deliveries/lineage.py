"""Lineage as a source of deliveries: the catalog's events for OpenLineage, as they are."""

from __future__ import annotations

from flightlog_log import Recorded
from flightlog_protos.catalog.v1.lineage_pb2 import LineageEventRecorded
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued, HttpContent
from services.scheduler.deliveries import subjects
from services.scheduler.deliveries.events import delivery_id
from services.scheduler.deliveries.executions import execution_subjects
from services.scheduler.deliveries.settings import OpenLineageSettings
from services.scheduler.deliveries.sinks import host_of

CONTENT_TYPE = "application/json"


class Lineage:
    """The stream CATALOG, as far as it is about lineage."""

    stream = subjects.CATALOG
    facts = frozenset({LineageEventRecorded.DESCRIPTOR.name})

    def __init__(self, sinks: list[OpenLineageSettings]) -> None:
        self._sinks = sinks

    def subjects_of(self, project: str, domain: str, execution: str) -> str:
        return execution_subjects("catalog.*.lineage", project, domain, execution)

    async def earlier(self, recorded: Recorded) -> list[Recorded]:
        """None: OpenLineage's events bear their own times, and receivers take them in any order."""
        return []

    async def deliveries(self, recorded: Recorded) -> list[tuple[str, DeliveryQueued]]:
        """What the catalog has written, byte for byte, to every sink that takes OpenLineage."""
        return [
            (
                sink.name,
                DeliveryQueued(
                    event_id=delivery_id(fact.event_id, sink.name, "lineage"),
                    execution_id=fact.execution_id,
                    event=f"lineage.{fact.event_type.lower()}",
                    http=HttpContent(content_type=CONTENT_TYPE, body=fact.json),
                    recipients=[host_of(sink.url.get_secret_value())],
                    happened_at=fact.occurred_at,
                ),
            )
            for fact in recorded.facts
            if isinstance(fact, LineageEventRecorded)
            for sink in self._sinks
            if sink.concerns(fact.execution_id.project, fact.execution_id.domain)
        ]
