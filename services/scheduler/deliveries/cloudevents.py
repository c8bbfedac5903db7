"""Events of executions as CloudEvents 1.0 (structured mode, JSON). Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from flyteidl.admin.execution_pb2 import ExecutionMetadata
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.identifier_pb2 import Identifier, ResourceType
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued, HttpContent
from services.scheduler.deliveries.events import ExecutionEvent, delivery_id
from services.scheduler.deliveries.settings import WebhookSettings
from services.scheduler.deliveries.templates import shortened

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
TYPE_PREFIX: Final = "flightlog.execution."
_LONGEST_MESSAGE: Final = 50_000


def wants(webhook: WebhookSettings, event: ExecutionEvent) -> bool:
    """Whether a webhook is to hear of an event."""
    created = event.created
    labels = created.config.labels
    return (
        event.phase in webhook.phases
        and webhook.concerns(created.id.project, created.id.domain)
        and (not webhook.launch_plans or created.spec.launch_plan.name in webhook.launch_plans)
        and all(labels.get(key) == value for key, value in webhook.labels.items())
    )


def posts(event: ExecutionEvent, webhook: WebhookSettings, *, source: str, host: str) -> list[DeliveryQueued]:
    """What is posted to a webhook because of an event: one CloudEvent, or nothing.

    Args:
        source: which deployment this is.
        host: what people are told of the webhook's address.
    """
    if not wants(webhook, event):
        return []
    event_id = delivery_id(event.event_id, webhook.name, event.name)
    happened_at = Timestamp()
    happened_at.FromDatetime(event.happened_at)
    body = json.dumps(document(event, event_id, source), ensure_ascii=False, separators=(",", ":"))
    return [
        DeliveryQueued(
            event_id=event_id,
            execution_id=event.created.id,
            event=event.name,
            http=HttpContent(content_type=CONTENT_TYPE, body=body),
            recipients=[host],
            happened_at=happened_at,
        )
    ]


def document(event: ExecutionEvent, event_id: str, source: str) -> dict[str, Any]:
    """The CloudEvent."""
    created = event.created
    execution = created.id
    found: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": TYPE_PREFIX + event.name,
        "subject": f"{execution.project}/{execution.domain}/{execution.name}",
        "time": _moment(event.happened_at),
        "datacontenttype": "application/json",
    }
    if event.traceparent:
        found["traceparent"] = event.traceparent
    data: dict[str, Any] = {
        "execution": {"project": execution.project, "domain": execution.domain, "name": execution.name},
        "phase": event.phase,
        "launch_plan": _identifier(created.spec.launch_plan),
        "workflow": _identifier(created.workflow_id),
        "mode": _name(ExecutionMetadata.ExecutionMode, created.spec.metadata.mode),
        "principal": created.spec.metadata.principal,
        "labels": dict(sorted(created.config.labels.items())),
        "created_at": _moment(created.created_at.ToDatetime(UTC)),
        "occurred_at": _moment(event.happened_at),
    }
    if event.error is not None:
        data["error"] = {
            "code": event.error.code,
            "kind": _name(ExecutionError.ErrorKind, event.error.kind),
            "message": shortened(event.error.message, _LONGEST_MESSAGE),
        }
    if event.abort is not None:
        data["abort"] = {
            "cause": shortened(event.abort.cause, _LONGEST_MESSAGE),
            "principal": event.abort.principal,
        }
    return {**found, "data": data}


def _identifier(identifier: Identifier) -> dict[str, str]:
    return {
        "type": _name(ResourceType, identifier.resource_type).lower(),
        "project": identifier.project,
        "domain": identifier.domain,
        "name": identifier.name,
        "version": identifier.version,
    }


def _name(enum: Any, number: int) -> str:
    return str(enum.Name(number)) if number in enum.values() else str(number)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
