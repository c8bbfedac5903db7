"""Where the aggregates of this service, and those it reads, are on the log."""

from functools import lru_cache

from flyteidl.core.identifier_pb2 import TASK, Identifier, WorkflowExecutionIdentifier

from flightlog_log import Subject

EXECUTION = "EXECUTION"
LAUNCHER = "LAUNCHER"
CATALOG = "CATALOG"
REGISTRY = "REGISTRY"
SCHEDULER = "SCHEDULER"
ADMISSION = "ADMISSION"
ORDER = "ORDER"
ALARM_KIND = "execution"
"""First part of the alarms' names: they belong to executions."""
QUEUES = "admission.*.queue.>"
"""Matches the subjects of all queues."""
PLACE_ALARM_KIND = "place"
"""First part of the names of the alarms of places in queues."""

MAX_SUBJECT_BYTES = 2000
"""Longest encoded subject: a NATS protocol line holds 4096 bytes, an index entry of Postgres 2704."""

ExecutionKey = tuple[str, str, str]
"""Project, domain and name of an execution."""


def key_of(identifier: WorkflowExecutionIdentifier) -> ExecutionKey:
    return identifier.project, identifier.domain, identifier.name


def identifier_of(key: ExecutionKey) -> WorkflowExecutionIdentifier:
    project, domain, name = key
    return WorkflowExecutionIdentifier(project=project, domain=domain, name=name)


def execution(key: ExecutionKey) -> Subject | None:
    """The subject of an execution; None when no execution can have this name."""
    return _fitting(EXECUTION, *key)


def project(identifier: str) -> Subject | None:
    """The subject of a project; None when no project can have this id."""
    return _fitting(REGISTRY, "project", identifier)


def version(identifier: Identifier) -> Subject | None:
    """The subject of a task's or launch plan's version; None when none can have this name."""
    kind = "task" if identifier.resource_type == TASK else "launch_plan"
    return _fitting(REGISTRY, kind, identifier.project, identifier.domain, identifier.name, identifier.version)


def answer(key: ExecutionKey) -> Subject:
    """Where it is told what became of the request for an execution."""
    return Subject.of(ADMISSION, "answer", *key)


def told_of(key: ExecutionKey) -> list[Subject]:
    """Where others say something of an execution: its launcher, the catalog, and who answers requests for it."""
    return [
        Subject.of(LAUNCHER, *key),
        Subject.of(CATALOG, "answer", *key),
        Subject.of(CATALOG, "lineage", *key),
        answer(key),
    ]


def queue(place: tuple[str, str]) -> Subject:
    """The queue of a project and domain."""
    return Subject.of(ADMISSION, "queue", *place)


def place_alarm(key: ExecutionKey) -> Subject:
    """The name of the alarm of a place that was taken for an execution."""
    return Subject.of("ALARM", PLACE_ALARM_KIND, *key)


def alarm(key: ExecutionKey, timer_id: str) -> Subject:
    """The name of the alarm of a timer."""
    return Subject.of("ALARM", ALARM_KIND, *key, timer_id)


@lru_cache(maxsize=16384)
def _fitting(stream: str, *parts: str) -> Subject | None:
    if not all(parts) or any("\0" in part for part in parts) or sum(map(len, parts)) > MAX_SUBJECT_BYTES:
        return None
    subject = Subject.of(stream, *parts)
    return subject if len(subject.text) <= MAX_SUBJECT_BYTES else None
