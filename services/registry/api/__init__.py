"""The registry's RPCs: one function each, from request to response."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from flightlog_rpc import CallContext, as_of
from services.registry.api import (
    attributes,
    descriptions,
    keys,
    launch_plans,
    named_entities,
    projects,
    tasks,
    uploads,
    workflows,
)
from services.registry.store import Store

_ADMIN = "/flyteidl.service.AdminService/"
_DATA = "/flyteidl.service.DataProxyService/"
_HISTORY = "/flightlog.history.v1.HistoryService/"

_FUNCTIONS: Mapping[str, Callable[[Store, Any, CallContext], Awaitable[Any]]] = {
    f"{_ADMIN}CreateTask": tasks.create_task,
    f"{_ADMIN}GetTask": tasks.get_task,
    f"{_ADMIN}ListTaskIds": tasks.list_task_ids,
    f"{_ADMIN}ListTasks": tasks.list_tasks,
    f"{_ADMIN}CreateWorkflow": workflows.create_workflow,
    f"{_ADMIN}GetWorkflow": workflows.get_workflow,
    f"{_ADMIN}ListWorkflowIds": workflows.list_workflow_ids,
    f"{_ADMIN}ListWorkflows": workflows.list_workflows,
    f"{_ADMIN}CreateLaunchPlan": launch_plans.create_launch_plan,
    f"{_ADMIN}GetLaunchPlan": launch_plans.get_launch_plan,
    f"{_ADMIN}GetActiveLaunchPlan": launch_plans.get_active_launch_plan,
    f"{_ADMIN}ListActiveLaunchPlans": launch_plans.list_active_launch_plans,
    f"{_ADMIN}ListLaunchPlanIds": launch_plans.list_launch_plan_ids,
    f"{_ADMIN}ListLaunchPlans": launch_plans.list_launch_plans,
    f"{_ADMIN}UpdateLaunchPlan": launch_plans.update_launch_plan,
    f"{_ADMIN}RegisterProject": projects.register_project,
    f"{_ADMIN}UpdateProject": projects.update_project,
    f"{_ADMIN}GetProject": projects.get_project,
    f"{_ADMIN}ListProjects": projects.list_projects,
    f"{_ADMIN}GetDomains": projects.get_domains,
    f"{_ADMIN}ListNamedEntities": named_entities.list_named_entities,
    f"{_ADMIN}GetNamedEntity": named_entities.get_named_entity,
    f"{_ADMIN}UpdateNamedEntity": named_entities.update_named_entity,
    f"{_ADMIN}GetDescriptionEntity": descriptions.get_description_entity,
    f"{_ADMIN}ListDescriptionEntities": descriptions.list_description_entities,
    f"{_ADMIN}UpdateProjectAttributes": attributes.update_project_attributes,
    f"{_ADMIN}GetProjectAttributes": attributes.get_project_attributes,
    f"{_ADMIN}DeleteProjectAttributes": attributes.delete_project_attributes,
    f"{_ADMIN}UpdateProjectDomainAttributes": attributes.update_project_domain_attributes,
    f"{_ADMIN}GetProjectDomainAttributes": attributes.get_project_domain_attributes,
    f"{_ADMIN}DeleteProjectDomainAttributes": attributes.delete_project_domain_attributes,
    f"{_ADMIN}UpdateWorkflowAttributes": attributes.update_workflow_attributes,
    f"{_ADMIN}GetWorkflowAttributes": attributes.get_workflow_attributes,
    f"{_ADMIN}DeleteWorkflowAttributes": attributes.delete_workflow_attributes,
    f"{_ADMIN}ListMatchableAttributes": attributes.list_matchable_attributes,
    f"{_DATA}CreateUploadLocation": uploads.create_upload_location,
    f"{_HISTORY}DestroyKeys": keys.destroy_keys,
}


def methods(store: Store) -> Mapping[str, Callable[[Any, CallContext], Awaitable[Any]]]:
    """Every method this service answers, by full name, as the RPC server takes them."""
    return {
        name: partial(_as_asked, store, function) if name in as_of.ANSWERED else partial(function, store)
        for name, function in _FUNCTIONS.items()
    }


async def _as_asked(
    store: Store, function: Callable[[Store, Any, CallContext], Awaitable[Any]], request: Any, call: CallContext
) -> Any:
    """What a function answers as of now, or of the moment that its call asks about."""
    return await function(store if call.as_of is None else await store.as_of(call.as_of), request, call)
