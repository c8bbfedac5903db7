"""ListNamedEntities, GetNamedEntity, UpdateNamedEntity (admin-contract §1.9, §5.2)."""

from flyteidl.admin import common_pb2
from flyteidl.core import identifier_pb2

from flightlog_rpc import CallContext
from flightlog_types import validation
from services.registry import domain, subjects
from services.registry import store as stores
from services.registry.api import requests
from services.registry.projection.queries import NAMED_ENTITY, without_system_names
from services.registry.refusals import invalid, missing, not_found
from services.registry.store import Store


async def list_named_entities(
    store: Store, request: common_pb2.NamedEntityListRequest, _: CallContext
) -> common_pb2.NamedEntityList:
    """Names with description and state; without filters those that the server made are left out."""
    _require_kind(request.resource_type)
    validation.require_text(request.project, "project")
    validation.require_text(request.domain, "domain")
    listing = requests.listing(
        NAMED_ENTITY,
        (
            ("resource_type", str(request.resource_type)),
            ("project", request.project),
            ("domain", request.domain),
        ),
        request.filters,
        request.sort_by if request.HasField("sort_by") else None,
        request.limit,
        request.token,
        "ListNamedEntities",
    )
    if not request.filters:
        listing = without_system_names(listing)
    found = await (await store.caught_up()).named_entities(listing)
    return common_pb2.NamedEntityList(entities=found, token=listing.page.next_token(len(found)))


async def get_named_entity(
    store: Store, request: common_pb2.NamedEntityGetRequest, _: CallContext
) -> common_pb2.NamedEntity:
    """One name that has a version."""
    _require_kind(request.resource_type)
    name = validation.require_named_entity(request.id if request.HasField("id") else None)
    return await _existing(store, request.resource_type, name)


async def update_named_entity(
    store: Store, request: common_pb2.NamedEntityUpdateRequest, call: CallContext
) -> common_pb2.NamedEntityUpdateResponse:
    """Description and state of a name that has a version."""
    _require_kind(request.resource_type)
    name = validation.require_named_entity(request.id if request.HasField("id") else None)
    if not request.HasField("metadata"):
        raise missing("metadata")
    if request.metadata.state not in common_pb2.NamedEntityState.values():
        raise invalid("invalid value for state")
    await _existing(store, request.resource_type, name)
    await store.change_named_entity(
        request.resource_type,
        name,
        lambda metadata: domain.update_named_entity(metadata, request, stores.now()),
        call.cause(),
    )
    return common_pb2.NamedEntityUpdateResponse()


async def _existing(
    store: Store, resource_type: identifier_pb2.ResourceType, name: common_pb2.NamedEntityIdentifier
) -> common_pb2.NamedEntity:
    subjects.named_entity(resource_type, name)  # refuses what could never have been registered
    found = await (await store.caught_up()).named_entity(resource_type, name)
    if found is None:
        raise not_found("entry not found")
    return found


def _require_kind(resource_type: int) -> None:
    validation.require_resource_type(resource_type)
    if resource_type not in domain.NAMED_RESOURCE_TYPES:
        raise invalid("invalid value for resource_type")
