"""Where the registry's aggregates are on the log.

The execution service reads projects, tasks, workflows and launch plans from these subjects too: they are part of the
contract between the services (protos/flightlog/registry/v1/facts.proto).
"""

from flyteidl.admin import common_pb2
from flyteidl.core import identifier_pb2

from flightlog_log import Subject
from services.registry.refusals import invalid

STREAM = "REGISTRY"

MAX_SUBJECT_BYTES = 2000
"""Longest encoded subject: a NATS protocol line holds 4096 bytes, an index entry of Postgres 2704."""

_KINDS = {
    identifier_pb2.TASK: "task",
    identifier_pb2.WORKFLOW: "workflow",
    identifier_pb2.LAUNCH_PLAN: "launch_plan",
}


def of(*parts: str) -> Subject:
    """The subject of an aggregate, given its kind and its names.

    Raises:
        Refusal: INVALID_ARGUMENT when a name holds a NUL character or all of them together are too long to be kept.
    """
    if not all(parts):
        raise invalid("an identifier must not have empty parts")
    if any("\0" in part for part in parts):
        raise invalid("names must not contain the NUL character")
    if sum(map(len, parts)) <= MAX_SUBJECT_BYTES:
        subject = Subject.of(STREAM, *parts)
        if len(str(subject)) <= MAX_SUBJECT_BYTES:
            return subject
    raise invalid(f"the identifier is too long: its encoded form may have at most {MAX_SUBJECT_BYTES} bytes")


def version(identifier: identifier_pb2.Identifier) -> Subject:
    """The subject of one version of a task, workflow or launch plan."""
    kind = _KINDS[identifier.resource_type]
    return of(kind, identifier.project, identifier.domain, identifier.name, identifier.version)


def project(identifier: str) -> Subject:
    """The subject of a project."""
    return of("project", identifier)


def activation(identifier: identifier_pb2.Identifier | common_pb2.NamedEntityIdentifier) -> Subject:
    """The subject of which version of a launch plan name is active."""
    return of("launch_plan_state", identifier.project, identifier.domain, identifier.name)


def named_entity(resource_type: identifier_pb2.ResourceType, identifier: common_pb2.NamedEntityIdentifier) -> Subject:
    """The subject of the description and state of a name."""
    kind = _KINDS[resource_type]
    return of("named_entity", kind, identifier.project, identifier.domain, identifier.name)
