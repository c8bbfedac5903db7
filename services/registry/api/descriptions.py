"""GetDescriptionEntity, ListDescriptionEntities (admin-contract §5.4)."""

from flyteidl.admin import common_pb2, description_entity_pb2
from flyteidl.core import identifier_pb2

from flightlog_rpc import CallContext
from flightlog_types import prototext, validation
from services.registry import domain
from services.registry.api import requests
from services.registry.projection.apply import description_message
from services.registry.projection.queries import DESCRIPTION_ENTITY
from services.registry.refusals import invalid, not_found
from services.registry.store import Store


async def get_description_entity(
    store: Store, request: common_pb2.ObjectGetRequest, _: CallContext
) -> description_entity_pb2.DescriptionEntity:
    """What was described at registration; an identifier without a type is a task's. Launch plans have none."""
    resource_type = request.id.resource_type
    if resource_type not in domain.NAMED_RESOURCE_TYPES:
        resource_type = identifier_pb2.TASK
    identifier = requests.requested_id(request, resource_type)
    fact = None
    if resource_type == identifier_pb2.TASK:
        fact = await store.task(identifier)
    elif resource_type == identifier_pb2.WORKFLOW:
        fact = await store.workflow(identifier)
    if fact is None or not fact.HasField("description"):
        raise not_found(f"missing entity of type description entity with identifier {prototext(identifier)}")
    return description_message(fact)


async def list_description_entities(
    store: Store, request: description_entity_pb2.DescriptionEntityListRequest, _: CallContext
) -> description_entity_pb2.DescriptionEntityList:
    """The descriptions of all versions of a name."""
    if request.resource_type not in domain.NAMED_RESOURCE_TYPES:
        raise invalid("invalid value for resource_type")
    name = validation.require_named_entity(request.id if request.HasField("id") else None)
    listing = requests.listing(
        DESCRIPTION_ENTITY,
        (
            ("resource_type", str(request.resource_type)),
            ("project", name.project),
            ("domain", name.domain),
            ("name", name.name),
        ),
        request.filters,
        request.sort_by if request.HasField("sort_by") else None,
        request.limit,
        request.token,
        "ListDescriptionEntities",
    )
    found = await (await store.caught_up()).descriptions(listing)
    return description_entity_pb2.DescriptionEntityList(
        descriptionEntities=found, token=listing.page.next_token(len(found))
    )
