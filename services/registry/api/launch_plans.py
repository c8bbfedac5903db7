"""CreateLaunchPlan, its Gets, Lists and UpdateLaunchPlan (admin-contract §1.3)."""

import structlog
from flyteidl.admin import common_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2, interface_pb2

from flightlog_protos.registry.v1 import facts_pb2
from flightlog_read import SqlWhere
from flightlog_rpc import CallContext
from flightlog_types import digest, validation
from services.registry import domain, single_task, subjects
from services.registry import store as stores
from services.registry.api import requests
from services.registry.checks import launch_plans as checks
from services.registry.projection.queries import LAUNCH_PLAN
from services.registry.refusals import invalid, missing, not_found
from services.registry.store import Store

logger = structlog.get_logger(__name__)


async def create_launch_plan(
    store: Store, request: launch_plan_pb2.LaunchPlanCreateRequest, call: CallContext
) -> launch_plan_pb2.LaunchPlanCreateResponse:
    """Check against the workflow, complete the inputs, and append the version once, inactive."""
    identifier = validation.require_identifier(
        request.id if request.HasField("id") else None, identifier_pb2.LAUNCH_PLAN
    )
    subject = subjects.version(identifier)
    await store.require_project_and_domain(identifier.project, identifier.domain)
    if not request.HasField("spec"):
        raise missing("spec")
    checks.check_spec(request.spec)
    workflow = await _workflow(store, request.spec.workflow_id)
    fact = _decided(identifier, request.spec, workflow)
    existing = await store.launch_plan(identifier)
    if existing is None:
        if await store.register(subject, fact, call.cause()):
            logger.info(
                "launch_plan.registered", project=identifier.project, name=identifier.name, version=identifier.version
            )
            return launch_plan_pb2.LaunchPlanCreateResponse()
        existing = await store.launch_plan(identifier)
    if existing is not None and existing.digest != fact.digest:
        raise requests.different(identifier, _content(existing), _content(fact))
    raise requests.identical(identifier_pb2.LAUNCH_PLAN)


async def _workflow(store: Store, identifier: identifier_pb2.Identifier) -> facts_pb2.WorkflowRegistered:
    """The referenced workflow, a generated one included.

    Raises:
        Refusal: NOT_FOUND.
    """
    fact = await store.workflow(identifier)
    if fact is not None:
        return fact
    task_id = single_task.task_id_of(identifier)
    task = await store.task(task_id) if task_id is not None else None
    if task is None:
        raise requests.missing_entity(identifier)
    return facts_pb2.WorkflowRegistered(
        id=identifier, closure=task.generated_closure, interface=task.compiled_task.template.interface
    )


def _decided(
    identifier: identifier_pb2.Identifier,
    given: launch_plan_pb2.LaunchPlanSpec,
    workflow: facts_pb2.WorkflowRegistered,
) -> facts_pb2.LaunchPlanRegistered:
    """The launch plan as it is to be registered: default inputs completed, digest over all but the times."""
    expected = checks.expected_inputs(given, workflow.interface)
    checks.check_metadata(given.entity_metadata, expected)
    fact = facts_pb2.LaunchPlanRegistered(
        id=identifier,
        spec=given,
        expected_inputs=expected,
        expected_outputs=interface_pb2.VariableMap(variables=workflow.interface.outputs.variables),
        closure=workflow.closure,
        created_at=stores.now(),
    )
    fact.spec.default_inputs.CopyFrom(expected)
    fact.digest = digest(_content(fact))
    return fact


def _content(fact: facts_pb2.LaunchPlanRegistered) -> launch_plan_pb2.LaunchPlan:
    """What two registrations of one version are compared by (admin-contract §3.8)."""
    return launch_plan_pb2.LaunchPlan(
        id=fact.id,
        spec=fact.spec,
        closure=launch_plan_pb2.LaunchPlanClosure(
            expected_inputs=fact.expected_inputs, expected_outputs=fact.expected_outputs
        ),
    )


async def get_launch_plan(
    store: Store, request: common_pb2.ObjectGetRequest, _: CallContext
) -> launch_plan_pb2.LaunchPlan:
    """One version with its present state, straight from the log; a generated name is answered from its task."""
    identifier = requests.requested_id(request, identifier_pb2.LAUNCH_PLAN)
    fact = await store.launch_plan(identifier)
    if fact is not None:
        return domain.launch_plan_message(fact, await store.activation(identifier))
    task_id = single_task.task_id_of(identifier)
    task = await store.task(task_id) if task_id is not None else None
    if task is None:
        raise requests.missing_entity(identifier)
    return single_task.launch_plan_of(task)


async def get_active_launch_plan(
    store: Store, request: launch_plan_pb2.ActiveLaunchPlanRequest, _: CallContext
) -> launch_plan_pb2.LaunchPlan:
    """The active version of a name; flytekit takes NOT_FOUND as "none"."""
    name = validation.require_named_entity(request.id if request.HasField("id") else None)
    activation = await store.activation(name)
    fact = None
    if activation.active is not None:
        fact = await store.launch_plan(
            identifier_pb2.Identifier(
                resource_type=identifier_pb2.LAUNCH_PLAN,
                project=name.project,
                domain=name.domain,
                name=name.name,
                version=activation.active,
            )
        )
    if fact is None:
        raise not_found(f"No active launch plan could be found: {name.project}:{name.domain}:{name.name}")
    return domain.launch_plan_message(fact, activation)


async def update_launch_plan(
    store: Store, request: launch_plan_pb2.LaunchPlanUpdateRequest, call: CallContext
) -> launch_plan_pb2.LaunchPlanUpdateResponse:
    """Activate or deactivate a version; at most one of a name is active."""
    identifier = requests.requested_id(request, identifier_pb2.LAUNCH_PLAN)
    if await store.launch_plan(identifier) is None:
        raise requests.missing_entity(identifier)
    if request.state not in (launch_plan_pb2.ACTIVE, launch_plan_pb2.INACTIVE):
        raise invalid(f"Unrecognized launch plan state {request.state} for launch plan {identifier.name}")
    await store.change_activation(
        identifier,
        lambda activation: domain.change_activation(activation, identifier, request.state, stores.now()),
        call.cause(),
    )
    return launch_plan_pb2.LaunchPlanUpdateResponse()


async def list_launch_plans(
    store: Store, request: common_pb2.ResourceListRequest, _: CallContext
) -> launch_plan_pb2.LaunchPlanList:
    """Full launch plans of a project and domain, or of one name."""
    listing = requests.resource_listing(request, LAUNCH_PLAN, "ListLaunchPlans")
    found = await (await store.caught_up()).launch_plans(listing)
    return launch_plan_pb2.LaunchPlanList(launch_plans=found, token=listing.page.next_token(len(found)))


async def list_active_launch_plans(
    store: Store, request: launch_plan_pb2.ActiveLaunchPlanListRequest, _: CallContext
) -> launch_plan_pb2.LaunchPlanList:
    """The active version of each name of a project and domain."""
    validation.require_text(request.project, "project")
    validation.require_text(request.domain, "domain")
    listing = requests.listing(
        LAUNCH_PLAN,
        (("project", request.project), ("domain", request.domain)),
        "",
        request.sort_by if request.HasField("sort_by") else None,
        request.limit,
        request.token,
        "ListActiveLaunchPlans",
    ).and_(SqlWhere(f"r.state = {launch_plan_pb2.ACTIVE}"))
    found = await (await store.caught_up()).launch_plans(listing)
    return launch_plan_pb2.LaunchPlanList(launch_plans=found, token=listing.page.next_token(len(found)))


async def list_launch_plan_ids(
    store: Store, request: common_pb2.NamedEntityIdentifierListRequest, _: CallContext
) -> common_pb2.NamedEntityIdentifierList:
    """Distinct names."""
    listing = requests.identifier_listing(request, LAUNCH_PLAN, "ListLaunchPlanIds")
    found = await (await store.caught_up()).identifiers("launch_plans", listing)
    return common_pb2.NamedEntityIdentifierList(entities=found, token=listing.page.next_token(len(found)))
