"""Pieces that several answers share: checked ids, what is missing, what lists cut away."""

from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.identifier_pb2 import (
    TASK,
    NodeExecutionIdentifier,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from google.protobuf.message import Message

from flightlog_rpc import RpcError, missing_entity
from flightlog_types import prototext, validation

LISTED_ERROR_BYTES = 100
"""How much of an error's message a list shows (admin-contract §1.4, T62)."""


def execution_id(request: Message, field: str = "id") -> WorkflowExecutionIdentifier:
    """The request's execution id, with all parts. Raises InvalidArgument."""
    given = getattr(request, field) if request.HasField(field) else None
    return validation.require_execution_id(given, field)


def node_id(request: Message, field: str = "id") -> NodeExecutionIdentifier:
    """The request's node execution id, with all parts. Raises InvalidArgument."""
    given = getattr(request, field) if request.HasField(field) else None
    return validation.require_node_execution_id(given, field)


def task_execution_id(request: Message, field: str = "id") -> TaskExecutionIdentifier:
    """The request's task execution id, with all parts; an absent resource type means a task (admin-contract §0.2)."""
    given = getattr(request, field) if request.HasField(field) else None
    if given is not None and given.HasField("task_id") and not given.task_id.resource_type:
        given.task_id.resource_type = TASK
    return validation.require_task_execution_id(given, field)


def missing_execution(identifier: WorkflowExecutionIdentifier) -> RpcError:
    """NOT_FOUND, in the recorded words."""
    shown = WorkflowExecutionIdentifier(project=identifier.project, domain=identifier.domain, name=identifier.name)
    return missing_entity("execution", prototext(shown))


def missing_node(identifier: NodeExecutionIdentifier) -> RpcError:
    """NOT_FOUND, in the recorded words."""
    return missing_entity("node execution", prototext(identifier))


def missing_task(identifier: TaskExecutionIdentifier) -> RpcError:
    """NOT_FOUND."""
    return missing_entity("task execution", prototext(identifier))


def cut_error(error: ExecutionError) -> None:
    """Shortens the message to its first bytes, at a character."""
    data = error.message.encode()
    if len(data) > LISTED_ERROR_BYTES:
        error.message = data[:LISTED_ERROR_BYTES].decode(errors="ignore")
