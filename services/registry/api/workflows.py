"""CreateWorkflow, GetWorkflow, ListWorkflows, ListWorkflowIds (admin-contract §1.2, §3)."""

import asyncio
from collections.abc import Sequence

import structlog
from flyteidl.admin import common_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2

from flightlog_compiler import (
    CompileErrors,
    EntityKey,
    LaunchPlanInterface,
    compile_workflow,
    requirements,
)
from flightlog_protos.registry.v1 import facts_pb2
from flightlog_rpc import CallContext
from flightlog_types import digest, prototext, validation
from services.registry import domain, single_task, subjects
from services.registry import store as stores
from services.registry.api import requests
from services.registry.projection.apply import workflow_message
from services.registry.projection.queries import WORKFLOW
from services.registry.refusals import Refusal, invalid, missing
from services.registry.store import Store

MAX_NAMED = 20
"""Nodes of a kind that cannot run which one answer names."""

logger = structlog.get_logger(__name__)


async def create_workflow(
    store: Store, request: workflow_pb2.WorkflowCreateRequest, call: CallContext
) -> workflow_pb2.WorkflowCreateResponse:
    """Check, fetch what is referenced, compile, append the version once; a second request is compared with it."""
    identifier = validation.require_identifier(request.id if request.HasField("id") else None, identifier_pb2.WORKFLOW)
    subject = subjects.version(identifier)
    await store.require_project_and_domain(identifier.project, identifier.domain)
    if not request.spec.HasField("template"):
        raise missing("spec")
    template = core_workflow_pb2.WorkflowTemplate()
    template.CopyFrom(request.spec.template)
    template.id.CopyFrom(identifier)
    _check_nodes(store, template)
    closure = await _compiled(store, template, request.spec.sub_workflows)
    content = _digest(closure)
    existing = await store.workflow(identifier)
    if existing is None:
        fact = facts_pb2.WorkflowRegistered(
            id=identifier,
            closure=await store.put_closure(closure),
            interface=closure.primary.template.interface,
            digest=content,
            created_at=stores.now(),
        )
        if request.spec.HasField("description"):
            fact.description.CopyFrom(request.spec.description)
        if await store.register(subject, fact, call.cause()):
            logger.info(
                "workflow.registered", project=identifier.project, name=identifier.name, version=identifier.version
            )
            return workflow_pb2.WorkflowCreateResponse()
        existing = await store.workflow(identifier)
    if existing is not None and existing.digest != content:
        raise requests.different(
            identifier, await store.closure(existing.closure), closure, _reason(identifier, same=False)
        )
    raise requests.identical(identifier_pb2.WORKFLOW, _reason(identifier, same=True))


def _digest(closure: compiler_pb2.CompiledWorkflowClosure) -> bytes:
    """What tells whether two registrations are the same one.

    Launch plans do not count: they follow from the nodes, and closures of earlier releases have none.
    """
    if not closure.launch_plans:
        return digest(closure)
    counted = compiler_pb2.CompiledWorkflowClosure()
    counted.CopyFrom(closure)
    counted.ClearField("launch_plans")
    return digest(counted)


def _check_nodes(store: Store, template: core_workflow_pb2.WorkflowTemplate) -> None:
    most = store.settings.max_workflow_nodes
    if most and len(template.nodes) > most:
        raise invalid(
            f"number of nodes in workflow [{prototext(template.id)}] exceeds limit ({len(template.nodes)} > {most})"
        )


async def _compiled(
    store: Store,
    template: core_workflow_pb2.WorkflowTemplate,
    sub_workflows: Sequence[core_workflow_pb2.WorkflowTemplate],
) -> compiler_pb2.CompiledWorkflowClosure:
    needed = requirements(template, sub_workflows)
    try:
        tasks = await _tasks(store, needed.task_ids)
        launch_plans = await _launch_plans(store, needed.launch_plan_ids)
        return compile_workflow(template, sub_workflows, tasks, launch_plans)
    except (CompileErrors, Refusal) as error:
        raise invalid(f"failed to compile workflow for [{prototext(template.id)}] with err: {error}") from None


async def _tasks(
    store: Store, identifiers: Sequence[identifier_pb2.Identifier]
) -> dict[EntityKey, compiler_pb2.CompiledTask]:
    found = await asyncio.gather(*(store.task(identifier) for identifier in identifiers))
    tasks: dict[EntityKey, compiler_pb2.CompiledTask] = {}
    for identifier, fact in zip(identifiers, found, strict=True):
        if fact is None:
            raise requests.missing_entity(domain.of_type(identifier, identifier_pb2.TASK))
        tasks[EntityKey.of(identifier)] = fact.compiled_task
    return tasks


async def _launch_plans(
    store: Store, identifiers: Sequence[identifier_pb2.Identifier]
) -> dict[EntityKey, LaunchPlanInterface]:
    found = await asyncio.gather(*(store.launch_plan(identifier) for identifier in identifiers))
    launch_plans: dict[EntityKey, LaunchPlanInterface] = {}
    for identifier, fact in zip(identifiers, found, strict=True):
        if fact is None:
            raise requests.missing_entity(domain.of_type(identifier, identifier_pb2.LAUNCH_PLAN))
        launch_plans[EntityKey.of(identifier)] = LaunchPlanInterface(
            fact.id, fact.expected_inputs, fact.expected_outputs, fact.spec.fixed_inputs
        )
    return launch_plans


def _reason(identifier: identifier_pb2.Identifier, *, same: bool) -> workflow_pb2.CreateWorkflowFailureReason:
    if same:
        return workflow_pb2.CreateWorkflowFailureReason(
            exists_identical_structure=workflow_pb2.WorkflowErrorExistsIdenticalStructure(id=identifier)
        )
    return workflow_pb2.CreateWorkflowFailureReason(
        exists_different_structure=workflow_pb2.WorkflowErrorExistsDifferentStructure(id=identifier)
    )


async def get_workflow(store: Store, request: common_pb2.ObjectGetRequest, _: CallContext) -> workflow_pb2.Workflow:
    """One version with its whole closure; a generated name is answered from its task."""
    identifier = requests.requested_id(request, identifier_pb2.WORKFLOW)
    fact = await store.workflow(identifier)
    if fact is not None:
        return workflow_message(fact, await store.closure(fact.closure))
    task_id = single_task.task_id_of(identifier)
    task = await store.task(task_id) if task_id is not None else None
    if task is None:
        raise requests.missing_entity(identifier)
    return single_task.workflow_of(task, await store.closure(task.generated_closure))


async def list_workflows(
    store: Store, request: common_pb2.ResourceListRequest, _: CallContext
) -> workflow_pb2.WorkflowList:
    """Workflows of a project and domain, or of one name, with the interface alone."""
    listing = requests.resource_listing(request, WORKFLOW, "ListWorkflows")
    found = await (await store.caught_up()).workflows(listing)
    return workflow_pb2.WorkflowList(workflows=found, token=listing.page.next_token(len(found)))


async def list_workflow_ids(
    store: Store, request: common_pb2.NamedEntityIdentifierListRequest, _: CallContext
) -> common_pb2.NamedEntityIdentifierList:
    """Distinct names."""
    listing = requests.identifier_listing(request, WORKFLOW, "ListWorkflowIds")
    found = await (await store.caught_up()).identifiers("workflows", listing)
    return common_pb2.NamedEntityIdentifierList(entities=found, token=listing.page.next_token(len(found)))
