"""Flyte's notifications: which e-mails an event asks for (admin-contract §5.5). Pure.

Those of kind slack and pager_duty are e-mails too: to the addresses that these services give to their channels.
"""

from __future__ import annotations

from flyteidl.admin.common_pb2 import Notification
from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued, EmailContent
from services.scheduler.deliveries import templates
from services.scheduler.deliveries.events import TERMINAL, ExecutionEvent, delivery_id
from services.scheduler.deliveries.settings import EMAIL, DeliverySettings


def emails(event: ExecutionEvent, settings: DeliverySettings) -> list[DeliveryQueued]:
    """One e-mail for each notification of the execution that is about this phase."""
    if event.phase not in TERMINAL:
        return []
    known = templates.values(event)
    happened_at = Timestamp()
    happened_at.FromDatetime(event.happened_at)
    found: list[DeliveryQueued] = []
    for number, notification in enumerate(event.created.notifications.notifications):
        kind = notification.WhichOneof("type")
        if kind is None or WorkflowExecution.Phase.Value(event.phase) not in notification.phases:
            continue
        recipients = list(dict.fromkeys(getattr(notification, kind).recipients_email))
        subject, body = _texts(notification, kind, settings)
        found.append(
            DeliveryQueued(
                event_id=delivery_id(event.event_id, EMAIL, f"{event.name}/{number}"),
                execution_id=event.created.id,
                event=event.name,
                email=EmailContent(
                    recipients=recipients,
                    subject=templates.one_line(templates.fill(subject, known, escape=False)),
                    body=templates.fill(body, known, escape=settings.html),
                    html=settings.html,
                ),
                recipients=recipients,
                happened_at=happened_at,
            )
        )
    return found


def _texts(notification: Notification, kind: str, settings: DeliverySettings) -> tuple[str, str]:
    """Subject and body. What a notification has as its template names a configured one, or is the body, as in Flyte."""
    own: str = getattr(getattr(notification, kind), "template", "")
    configured = settings.templates.get(own, settings.email)
    return configured.subject, own if own and own not in settings.templates else configured.body
