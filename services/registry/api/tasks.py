"""CreateTask, GetTask, ListTasks, ListTaskIds (admin-contract §1.1)."""

from collections.abc import Mapping

import structlog
from flyteidl.admin import common_pb2, task_pb2
from flyteidl.admin.matchable_resource_pb2 import TASK_RESOURCE
from flyteidl.core import compiler_pb2, identifier_pb2, tasks_pb2

from flightlog_compiler import CompileErrors, compile_task, generated_workflow
from flightlog_protos.registry.v1 import facts_pb2
from flightlog_rpc import CallContext
from flightlog_types import digest, matchable, prototext, validation
from services.registry import store as stores
from services.registry import subjects
from services.registry.api import requests
from services.registry.checks.attributes import limits_by_name
from services.registry.checks.tasks import check_template
from services.registry.projection.apply import task_message
from services.registry.projection.queries import TASK
from services.registry.refusals import invalid, missing
from services.registry.store import Store

logger = structlog.get_logger(__name__)


async def create_task(
    store: Store, request: task_pb2.TaskCreateRequest, call: CallContext
) -> task_pb2.TaskCreateResponse:
    """Check, compile, and append the version once; a second request is compared with the first."""
    identifier = validation.require_identifier(request.id if request.HasField("id") else None, identifier_pb2.TASK)
    subject = subjects.version(identifier)
    await store.require_project_and_domain(identifier.project, identifier.domain)
    if not request.spec.HasField("template"):
        raise missing("spec")
    check_template(identifier, request.spec.template, await _limits(store, identifier))
    compiled = _compiled(identifier, request.spec.template)
    content = digest(compiled)
    existing = await store.task(identifier)
    if existing is None:
        fact = facts_pb2.TaskRegistered(id=identifier, compiled_task=compiled, digest=content, created_at=stores.now())
        if request.spec.HasField("description"):
            fact.description.CopyFrom(request.spec.description)
        closure = generated_workflow(compiled)
        fact.generated_closure.CopyFrom(await store.put_closure(closure))
        if await store.register(subject, fact, call.cause()):
            logger.info("task.registered", project=identifier.project, name=identifier.name, version=identifier.version)
            return task_pb2.TaskCreateResponse()
        existing = await store.task(identifier)
    if existing is not None and existing.digest != content:
        raise requests.different(identifier, existing.compiled_task, compiled)
    raise requests.identical(identifier_pb2.TASK)


async def _limits(store: Store, identifier: identifier_pb2.Identifier) -> Mapping[int, str]:
    """The most a task may ask for: attributes of its domain or project take the place of the platform's as a whole."""
    state = await store.project(identifier.project)
    set_for = matchable.NONE if state is None else state.attributes
    found = matchable.most_specific(set_for, TASK_RESOURCE, matchable.Place(identifier.domain))
    if found is None:
        return store.settings.task_resource_limits.by_name()
    return limits_by_name(found.attributes.task_resource_attributes.limits)


def _compiled(identifier: identifier_pb2.Identifier, given: tasks_pb2.TaskTemplate) -> compiler_pb2.CompiledTask:
    template = tasks_pb2.TaskTemplate()
    template.CopyFrom(given)
    template.id.CopyFrom(identifier)
    try:
        return compile_task(template)
    except CompileErrors as error:
        raise invalid(f"failed to compile task for [{prototext(identifier)}] with err: {error}") from None


async def get_task(store: Store, request: common_pb2.ObjectGetRequest, _: CallContext) -> task_pb2.Task:
    """One version, straight from the log."""
    identifier = requests.requested_id(request, identifier_pb2.TASK)
    fact = await store.task(identifier)
    if fact is None:
        raise requests.missing_entity(identifier)
    return task_message(fact)


async def list_tasks(store: Store, request: common_pb2.ResourceListRequest, _: CallContext) -> task_pb2.TaskList:
    """Full tasks of a project and domain, or of one name."""
    listing = requests.resource_listing(request, TASK, "ListTasks")
    found = await (await store.caught_up()).tasks(listing)
    return task_pb2.TaskList(tasks=found, token=listing.page.next_token(len(found)))


async def list_task_ids(
    store: Store, request: common_pb2.NamedEntityIdentifierListRequest, _: CallContext
) -> common_pb2.NamedEntityIdentifierList:
    """Distinct names."""
    listing = requests.identifier_listing(request, TASK, "ListTaskIds")
    found = await (await store.caught_up()).identifiers("tasks", listing)
    return common_pb2.NamedEntityIdentifierList(entities=found, token=listing.page.next_token(len(found)))
