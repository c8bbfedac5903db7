"""Where queues of deliveries are on the log."""

from __future__ import annotations

from typing import NamedTuple

from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_log import Subject, encode_token

SCHEDULER = "SCHEDULER"
EXECUTION = "EXECUTION"
CATALOG = "CATALOG"

_QUEUE = "delivery"


class QueueKey(NamedTuple):
    """A sink and an execution."""

    sink: str
    project: str
    domain: str
    execution: str

    @property
    def identifier(self) -> WorkflowExecutionIdentifier:
        return WorkflowExecutionIdentifier(project=self.project, domain=self.domain, name=self.execution)

    @staticmethod
    def of(sink: str, execution: WorkflowExecutionIdentifier) -> QueueKey:
        return QueueKey(sink, execution.project, execution.domain, execution.name)


def queue(key: QueueKey) -> Subject:
    """The subject of a queue."""
    return Subject.of(SCHEDULER, _QUEUE, *key)


def key_of(subject: str) -> QueueKey | None:
    """The queue that a subject belongs to; None when it is something else's."""
    parts = Subject.parse(subject).parts
    return QueueKey(*parts[1:]) if parts[0] == _QUEUE and len(parts) == 5 else None


def queues_of(sink: str) -> str:
    """Filter of the subjects of all queues of a sink."""
    return f"{SCHEDULER.lower()}.*.{_QUEUE}.{encode_token(sink)}.>"


def began(stream: str) -> Subject:
    """The subject that says where deliveries of a stream began."""
    return Subject.of(SCHEDULER, "deliveries", stream)


def alarm_kind(sink: str) -> str:
    """A sink's alarms are a kind of their own, so that no sink waits for another."""
    return f"delivery-{sink}"


def alarm(key: QueueKey) -> Subject:
    """The name of the alarm of a queue."""
    return Subject.of("ALARM", alarm_kind(key.sink), *key[1:])
