"""Update, Get and Delete of project, domain and workflow attributes; ListMatchableAttributes (admin-contract §1.8).

What is set is read from the project's subject on the log, so a Get sees an update at once, on whichever replica.
"""

from typing import cast

from flyteidl.admin import matchable_resource_pb2 as resources
from flyteidl.admin import project_attributes_pb2 as of_project
from flyteidl.admin import project_domain_attributes_pb2 as of_domain
from flyteidl.admin import workflow_attributes_pb2 as of_workflow
from google.protobuf.message import Message

from flightlog_rpc import CallContext
from flightlog_types import validation
from flightlog_types.matchable import Found, Key, Place, most_specific
from services.registry import attributes, subjects
from services.registry import store as stores
from services.registry.checks.attributes import resource_type_of
from services.registry.refusals import invalid, missing
from services.registry.store import Store


async def update_project_attributes(
    store: Store, request: of_project.ProjectAttributesUpdateRequest, call: CallContext
) -> of_project.ProjectAttributesUpdateResponse:
    """Sets what holds for all domains of a project."""
    _require(request)
    project = request.attributes.project
    await _require_active(store, project)
    await _update(store, project, Place(), request.attributes, call)
    return of_project.ProjectAttributesUpdateResponse()


async def update_project_domain_attributes(
    store: Store, request: of_domain.ProjectDomainAttributesUpdateRequest, call: CallContext
) -> of_domain.ProjectDomainAttributesUpdateResponse:
    """Sets what holds for all workflows of a domain."""
    _require(request)
    given = request.attributes
    await store.require_project_and_domain(given.project, given.domain)
    await _update(store, given.project, Place(given.domain), given, call)
    return of_domain.ProjectDomainAttributesUpdateResponse()


async def update_workflow_attributes(
    store: Store, request: of_workflow.WorkflowAttributesUpdateRequest, call: CallContext
) -> of_workflow.WorkflowAttributesUpdateResponse:
    """Sets what holds for a workflow, whether it is there or not."""
    _require(request)
    given = request.attributes
    await _require_workflow(store, given.project, given.domain, given.workflow)
    await _update(store, given.project, Place(given.domain, given.workflow), given, call)
    return of_workflow.WorkflowAttributesUpdateResponse()


async def get_project_attributes(
    store: Store, request: of_project.ProjectAttributesGetRequest, _: CallContext
) -> of_project.ProjectAttributesGetResponse:
    """What is set for the project itself; of the execution config, the platform's values fill in what is not."""
    state = await store.project(request.project) if request.project else None
    if state is None:
        raise invalid(
            f"failed to validate that project [{request.project}] exists, err: [project [{request.project}] not found]"
        )
    found = state.attributes.get(Key(Place(), request.resource_type))
    if request.resource_type == resources.WORKFLOW_EXECUTION_CONFIG:
        config = resources.WorkflowExecutionConfig() if found is None else found.workflow_execution_config
        shown = attributes.with_defaults(config, store.settings.max_parallelism)
        found = resources.MatchingAttributes(workflow_execution_config=shown)
    if found is None:
        raise attributes.not_set(request.project, Place(), request.resource_type)
    answer = of_project.ProjectAttributes(project=request.project, matching_attributes=found)
    return of_project.ProjectAttributesGetResponse(attributes=answer)


async def get_project_domain_attributes(
    store: Store, request: of_domain.ProjectDomainAttributesGetRequest, _: CallContext
) -> of_domain.ProjectDomainAttributesGetResponse:
    """What holds for the domain: its own, or the project's, whose answer names no domain."""
    await store.require_project_and_domain(request.project, request.domain)
    found = await _found(store, request.project, Place(request.domain), request.resource_type)
    answer = of_domain.ProjectDomainAttributes(
        project=request.project, domain=found.place.domain, matching_attributes=found.attributes
    )
    return of_domain.ProjectDomainAttributesGetResponse(attributes=answer)


async def get_workflow_attributes(
    store: Store, request: of_workflow.WorkflowAttributesGetRequest, _: CallContext
) -> of_workflow.WorkflowAttributesGetResponse:
    """What holds for the workflow: its own, the domain's or the project's; the answer says whose."""
    await _require_workflow(store, request.project, request.domain, request.workflow)
    found = await _found(store, request.project, Place(request.domain, request.workflow), request.resource_type)
    answer = of_workflow.WorkflowAttributes(
        project=request.project,
        domain=found.place.domain,
        workflow=found.place.workflow,
        matching_attributes=found.attributes,
    )
    return of_workflow.WorkflowAttributesGetResponse(attributes=answer)


async def delete_project_attributes(
    store: Store, request: of_project.ProjectAttributesDeleteRequest, call: CallContext
) -> of_project.ProjectAttributesDeleteResponse:
    """Takes away what is set for the project itself; domains and workflows keep theirs."""
    await _require_active(store, request.project)
    await _delete(store, request.project, Place(), request.resource_type, call)
    return of_project.ProjectAttributesDeleteResponse()


async def delete_project_domain_attributes(
    store: Store, request: of_domain.ProjectDomainAttributesDeleteRequest, call: CallContext
) -> of_domain.ProjectDomainAttributesDeleteResponse:
    """Takes away what is set for the domain itself."""
    await store.require_project_and_domain(request.project, request.domain)
    await _delete(store, request.project, Place(request.domain), request.resource_type, call)
    return of_domain.ProjectDomainAttributesDeleteResponse()


async def delete_workflow_attributes(
    store: Store, request: of_workflow.WorkflowAttributesDeleteRequest, call: CallContext
) -> of_workflow.WorkflowAttributesDeleteResponse:
    """Takes away what is set for the workflow."""
    await _require_workflow(store, request.project, request.domain, request.workflow)
    await _delete(store, request.project, Place(request.domain, request.workflow), request.resource_type, call)
    return of_workflow.WorkflowAttributesDeleteResponse()


async def list_matchable_attributes(
    store: Store, request: resources.ListMatchableAttributesRequest, _: CallContext
) -> resources.ListMatchableAttributesResponse:
    """All that is set of a kind, in all projects: the most specific first, then by age."""
    if request.resource_type not in resources.MatchableResource.values():
        raise invalid("invalid value for resource_type")
    found = await (await store.caught_up()).attributes(request.resource_type)
    return resources.ListMatchableAttributesResponse(configurations=found)


def _require(request: Message) -> None:
    if not request.HasField("attributes"):
        raise missing("attributes")


async def _require_active(store: Store, project: str) -> None:
    """Registered and active, in the words for a whole project: an inactive one comes without details."""
    state = await store.project(project) if project else None
    if state is None:
        raise attributes.unknown_project(project, Place())
    if not state.is_active:
        raise invalid(f"project [{project}] is not active")


async def _require_workflow(store: Store, project: str, domain: str, workflow: str) -> None:
    await store.require_project_and_domain(project, domain)
    validation.require_text(workflow, "name")
    subjects.of("workflow", project, domain, workflow)  # refuses a name that no workflow could have


async def _update(
    store: Store,
    project: str,
    place: Place,
    given: of_project.ProjectAttributes | of_domain.ProjectDomainAttributes | of_workflow.WorkflowAttributes,
    call: CallContext,
) -> None:
    if not given.HasField("matching_attributes"):
        raise missing("matching_attributes")
    given_for = "-".join(part for part in (project, place.domain, place.workflow) if part)
    resource_type = resource_type_of(given.matching_attributes, given_for)
    await store.change_project(
        project,
        lambda state: attributes.update_attributes(
            state, project, place, resource_type, given.matching_attributes, stores.now()
        ),
        call.cause(),
    )


async def _delete(store: Store, project: str, place: Place, resource_type: int, call: CallContext) -> None:
    kind = cast(resources.MatchableResource, resource_type)
    await store.change_project(
        project, lambda state: attributes.delete_attributes(state, project, place, kind, stores.now()), call.cause()
    )


async def _found(store: Store, project: str, place: Place, resource_type: int) -> Found:
    state = await store.project(project)
    found = None if state is None else most_specific(state.attributes, resource_type, place)
    if found is None:
        raise attributes.not_set(project, place, resource_type)
    return found
