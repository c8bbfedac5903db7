"""What the RPCs have in common: identifiers, list requests, the words for what is missing or there already."""

from collections.abc import Sequence

from flyteidl.admin import common_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2
from google.protobuf.message import Message

from flightlog_read import Entity, SqlWhere, equals, parse_filters, parse_page, parse_sort
from flightlog_types import prototext, validation
from services.registry import differences, domain
from services.registry.projection.queries import Listing
from services.registry.refusals import Refusal, already_exists, invalid, not_found

_KINDS = {
    identifier_pb2.TASK: ("TASK", "task"),
    identifier_pb2.WORKFLOW: ("WORKFLOW", "workflow"),
    identifier_pb2.LAUNCH_PLAN: ("LAUNCH_PLAN", "launch plan"),
}
"""Names of a kind, in messages about what is missing and in the others."""


def requested_id(
    request: common_pb2.ObjectGetRequest | launch_plan_pb2.LaunchPlanUpdateRequest,
    resource_type: identifier_pb2.ResourceType,
) -> identifier_pb2.Identifier:
    """The identifier in `request.id`; a type that was left out is the obvious one (admin-contract §0.2).

    Raises:
        InvalidArgument: it is absent or incomplete.
    """
    if not request.HasField("id"):
        return validation.require_identifier(None, resource_type)
    given = request.id
    if given.resource_type == identifier_pb2.UNSPECIFIED:
        given = domain.of_type(given, resource_type)
    return validation.require_identifier(given, resource_type)


def missing_entity(identifier: identifier_pb2.Identifier) -> Refusal:
    """NOT_FOUND for a version that was never registered."""
    return not_found(missing_entity_text(identifier))


def missing_entity_text(identifier: identifier_pb2.Identifier) -> str:
    """The recorded sentence for a version that was never registered; the type is named once."""
    untyped = domain.of_type(identifier, identifier_pb2.UNSPECIFIED)
    kind = _KINDS[identifier.resource_type][0]
    return f"missing entity of type {kind} with identifier {prototext(untyped)}"


def identical(resource_type: identifier_pb2.ResourceType, details: Message | None = None) -> Refusal:
    """ALREADY_EXISTS: the same version with the same content."""
    return already_exists(f"{_KINDS[resource_type][1]} with identical structure already exists", details)


def different(
    identifier: identifier_pb2.Identifier, before: Message, after: Message, details: Message | None = None
) -> Refusal:
    """INVALID_ARGUMENT: the same version with other content, which is never overwritten. Lists the differences."""
    kind = _KINDS[identifier.resource_type][1]
    return invalid(
        f"{identifier.name} {kind} with different structure already exists. "
        f"(Please register a new version of the {kind}):\n{differences.listed(before, after)}",
        details,
    )


def resource_listing(request: common_pb2.ResourceListRequest, entity: Entity, rpc: str) -> Listing:
    """The query of a ListX request whose id names a project, a domain and perhaps a name.

    Raises:
        InvalidArgument, InvalidQuery: something is missing or malformed.
    """
    identifier = request.id if request.HasField("id") else None
    named = validation.require_named_entity(identifier, name=False)
    return listing(
        entity,
        (("project", named.project), ("domain", named.domain), ("name", named.name)),
        request.filters,
        request.sort_by if request.HasField("sort_by") else None,
        request.limit,
        request.token,
        rpc,
    )


def identifier_listing(request: common_pb2.NamedEntityIdentifierListRequest, entity: Entity, rpc: str) -> Listing:
    """The query of a ListXIds request.

    Raises:
        InvalidArgument, InvalidQuery: something is missing or malformed.
    """
    validation.require_text(request.project, "project")
    validation.require_text(request.domain, "domain")
    return listing(
        entity,
        (("project", request.project), ("domain", request.domain)),
        request.filters,
        request.sort_by if request.HasField("sort_by") else None,
        request.limit,
        request.token,
        rpc,
    )


def listing(
    entity: Entity,
    implied: Sequence[tuple[str, str]],
    filters: str,
    sort_by: common_pb2.Sort | None,
    limit: int,
    token: str,
    rpc: str,
    *,
    unlimited: bool = False,
) -> Listing:
    """Filters, order and page of a list request; `implied` are equalities, of which the empty ones do not count.

    Raises:
        InvalidQuery: something is malformed.
    """
    page = parse_page(limit, token, rpc, unlimited=unlimited)
    place = SqlWhere()
    for name, value in implied:
        place = place & equals(entity, name, value)
    return Listing(place & parse_filters(filters, entity), parse_sort(sort_by, entity), page, place)
