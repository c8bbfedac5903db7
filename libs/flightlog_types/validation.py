"""Checks that every request goes through, in Flyte's order and words (admin-contract §0.1, §0.6).

Everything here raises InvalidArgument. A message field that is absent is passed as None: `present(request, "id")`.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

from flyteidl.admin import common_pb2
from flyteidl.core import execution_pb2, identifier_pb2, interface_pb2, literals_pb2, types_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_types.casting import castable
from flightlog_types.invalid import InvalidArgument, invalid_value, missing
from flightlog_types.literals import is_known, literal_type_of
from flightlog_types.prototext import prototext

MAX_EXECUTION_NAME = 63
"""Longest name of an execution, in characters."""

_EXECUTION_NAME = re.compile(r"[a-z][a-z\-0-9]*")
_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_NANOS = 1_000_000_000

_TERMINAL = frozenset(
    {
        execution_pb2.WorkflowExecution.SUCCEEDED,
        execution_pb2.WorkflowExecution.FAILED,
        execution_pb2.WorkflowExecution.ABORTED,
        execution_pb2.WorkflowExecution.TIMED_OUT,
    }
)

_Message = TypeVar("_Message", bound=Message)


def present(message: Message, field: str) -> Message | None:
    """The message in a field, or None when the field is absent."""
    return getattr(message, field) if message.HasField(field) else None


def require_text(value: str, field: str) -> None:
    """Refuse an empty text field."""
    if not value:
        raise missing(field)


def require_message(message: _Message | None, field: str) -> _Message:
    """The message itself; refuses None."""
    if message is None:
        raise missing(field)
    return message


def require_max_length(value: str, field: str, limit: int) -> None:
    """Refuse a text of more than `limit` bytes of UTF-8."""
    if len(value.encode("utf-8", "surrogatepass")) > limit:
        raise InvalidArgument(f"{field} cannot exceed {limit} characters")


def require_limit(limit: int) -> None:
    """Refuse a page of no rows (admin-contract §0.3)."""
    if limit == 0:
        raise invalid_value("limit")


def require_identifier(identifier: identifier_pb2.Identifier | None, resource_type: int) -> identifier_pb2.Identifier:
    """The identifier, checked for its type and all four of its parts."""
    if identifier is None:
        raise missing("id")
    if identifier.resource_type != resource_type:
        given, expected = (_kind(identifier.resource_type), _kind(resource_type))
        raise InvalidArgument(
            f"unexpected resource type {given} for identifier [{prototext(identifier)}], expected {expected} instead"
        )
    return require_identifier_parts(identifier)


def require_identifier_parts(identifier: identifier_pb2.Identifier | None) -> identifier_pb2.Identifier:
    """The identifier, checked for all four of its parts, whatever its type."""
    if identifier is None:
        raise missing("id")
    require_text(identifier.project, "project")
    require_text(identifier.domain, "domain")
    require_text(identifier.name, "name")
    require_text(identifier.version, "version")
    return identifier


def require_named_entity(
    identifier: common_pb2.NamedEntityIdentifier | None, *, name: bool = True
) -> common_pb2.NamedEntityIdentifier:
    """The identifier of all versions of an entity; with name=False one that names a project and domain only."""
    if identifier is None:
        raise missing("id")
    require_text(identifier.project, "project")
    require_text(identifier.domain, "domain")
    if name:
        require_text(identifier.name, "name")
    return identifier


def require_resource_type(resource_type: int) -> None:
    """Refuse UNSPECIFIED and numbers this release does not know."""
    if resource_type == identifier_pb2.UNSPECIFIED or resource_type not in identifier_pb2.ResourceType.values():
        raise invalid_value("resource_type")


def require_execution_id(
    identifier: identifier_pb2.WorkflowExecutionIdentifier | None, field: str = "id"
) -> identifier_pb2.WorkflowExecutionIdentifier:
    """The identifier of an execution, with all three of its parts."""
    if identifier is None:
        raise missing(field)
    require_text(identifier.project, "project")
    require_text(identifier.domain, "domain")
    require_text(identifier.name, "name")
    return identifier


def require_node_execution_id(
    identifier: identifier_pb2.NodeExecutionIdentifier | None, field: str = "id"
) -> identifier_pb2.NodeExecutionIdentifier:
    """The identifier of a node execution, with its node and its execution."""
    if identifier is None:
        raise missing(field)
    if not identifier.HasField("execution_id"):
        raise missing("execution_id")
    require_text(identifier.node_id, "node_id")
    require_execution_id(identifier.execution_id)
    return identifier


def require_task_execution_id(
    identifier: identifier_pb2.TaskExecutionIdentifier | None, field: str = "id"
) -> identifier_pb2.TaskExecutionIdentifier:
    """The identifier of a task execution, with its node execution and its task."""
    if identifier is None:
        raise missing(field)
    if not identifier.HasField("node_execution_id"):
        raise missing("node_execution_id")
    require_node_execution_id(identifier.node_execution_id)
    if not identifier.HasField("task_id"):
        raise missing("task_id")
    require_identifier(identifier.task_id, identifier_pb2.TASK)
    return identifier


def require_execution_name(name: str) -> None:
    """Refuse a name that Kubernetes objects could not carry; case is not compared (admin-contract §4.1)."""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_EXECUTION_NAME:
        raise InvalidArgument(f"size of name exceeded length {MAX_EXECUTION_NAME} : {name}")
    if not _EXECUTION_NAME.fullmatch(name.lower()):
        raise InvalidArgument(rf"invalid name format: {name}, does not match regex '^[a-z][a-z\-0-9]*$'")


def validate_literal_map(literals: literals_pb2.LiteralMap, field: str) -> None:
    """Refuse empty keys, empty literals and impossible dates in a map of given inputs."""
    for name in sorted(literals.literals):
        literal = literals.literals[name]
        if not name:
            raise InvalidArgument(f"missing key in {field}")
        if literal.WhichOneof("value") is None:
            raise InvalidArgument(f"missing valid literal in {field} {name}")
        validate_datetime(literal)


def validate_parameter_map(parameters: interface_pb2.ParameterMap, field: str) -> None:
    """Check declared inputs: each has a type, and a default of that type or `required` (admin-contract §1.3)."""
    for name in sorted(parameters.parameters):
        parameter = parameters.parameters[name]
        if not name:
            raise InvalidArgument(f"missing key in {field}")
        if parameter.WhichOneof("behavior") in ("artifact_query", "artifact_id"):
            raise InvalidArgument(f"artifact mode not enabled but query found {field} {name}")
        if not parameter.HasField("var") or not parameter.var.HasField("type"):
            raise InvalidArgument(
                f"The Variable component of the Parameter {name} in {field} either is missing, or has a missing Type"
            )
        if parameter.WhichOneof("behavior") == "default":
            _validate_default(name, parameter, field)
        elif not parameter.required:
            raise InvalidArgument(
                f"Invalid variable {name} in {field} - variable has neither default, nor is required. "
                "One must be specified"
            )


def validate_notifications(notifications: Iterable[common_pb2.Notification]) -> None:
    """Refuse a notification without recipients, or of a phase that ends no execution (admin-contract §5.5)."""
    for notification in notifications:
        kind = notification.WhichOneof("type")
        if kind is None:
            raise invalid_value("notification type")
        recipients: Iterable[str] = getattr(notification, kind).recipients_email
        if not recipients:
            raise missing("recipients")
        if not all(recipients):
            raise missing("recipient")
        if not _TERMINAL.issuperset(notification.phases):
            raise invalid_value("phase")


def validate_datetime(literal: literals_pb2.Literal) -> None:
    """Refuse a datetime outside the years 1 to 9999; other literals pass."""
    if literal.scalar.primitive.WhichOneof("value") == "datetime" and not _is_valid(literal.scalar.primitive.datetime):
        raise InvalidArgument(f"timestamp ({prototext(literal.scalar.primitive.datetime)}) out of range")


def _validate_default(name: str, parameter: interface_pb2.Parameter, field: str) -> None:
    given, declared = literal_type_of(parameter.default), parameter.var.type
    if not is_known(given):
        raise InvalidArgument(
            f"the type of the default value for Parameter '{name}' in '{field}' cannot be determined; registered type: "
            f"[{prototext(declared)}]. The value may need a newer release of this server"
        )
    if not castable(given, declared):
        raise InvalidArgument(
            f"Type mismatch for Parameter {name} in {field} has type {prototext(declared)}, expected {prototext(given)}"
        )
    if declared.WhichOneof("type") == "simple" and declared.simple == types_pb2.DATETIME:
        validate_datetime(parameter.default)


def _is_valid(timestamp: Timestamp) -> bool:
    return _FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND and 0 <= timestamp.nanos < _NANOS


def _kind(resource_type: int) -> str:
    known = identifier_pb2.ResourceType.DESCRIPTOR.values_by_number.get(resource_type)
    return known.name.lower() if known is not None else str(resource_type)
