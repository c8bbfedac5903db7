"""Matchable attributes through the registry's RPCs: levels, codes and words, reading one's writes, rebuilding."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin import matchable_resource_pb2 as resources
from flyteidl.admin import project_attributes_pb2 as of_project
from flyteidl.admin import project_domain_attributes_pb2 as of_domain
from flyteidl.admin import project_pb2
from flyteidl.admin import workflow_attributes_pb2 as of_workflow
from flyteidl.core import execution_pb2, tasks_pb2
from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.configuration import PlatformConfig
from flytekit.models import matchable_resource as models

from flightlog_log import Log
from flightlog_read import Database, DatabaseSettings, rebuild
from services.registry.projection.apply import RegistryProjection

Call = Callable[..., Awaitable[Any]]
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def limits(**amounts: str) -> resources.MatchingAttributes:
    spec = resources.TaskResourceSpec(**amounts)
    return resources.MatchingAttributes(task_resource_attributes=resources.TaskResourceAttributes(limits=spec))


class Attributes:
    """Sets, gets and deletes attributes of one project, on the level that `domain` and `workflow` give."""

    def __init__(self, call: Call, project: str) -> None:
        self.call = call
        self.project = project

    async def set(self, given: resources.MatchingAttributes, domain: str = "", workflow: str = "") -> None:
        if workflow:
            workflow_attributes = of_workflow.WorkflowAttributes(
                project=self.project, domain=domain, workflow=workflow, matching_attributes=given
            )
            request: Any = of_workflow.WorkflowAttributesUpdateRequest(attributes=workflow_attributes)
            await self.call("UpdateWorkflowAttributes", request)
        elif domain:
            domain_attributes = of_domain.ProjectDomainAttributes(
                project=self.project, domain=domain, matching_attributes=given
            )
            request = of_domain.ProjectDomainAttributesUpdateRequest(attributes=domain_attributes)
            await self.call("UpdateProjectDomainAttributes", request)
        else:
            attributes = of_project.ProjectAttributes(project=self.project, matching_attributes=given)
            request = of_project.ProjectAttributesUpdateRequest(attributes=attributes)
            await self.call("UpdateProjectAttributes", request)

    async def get(self, kind: Any = resources.TASK_RESOURCE, domain: str = "", workflow: str = "") -> Any:
        return (await self._ask("Get", kind, domain, workflow)).attributes

    async def delete(self, kind: Any = resources.TASK_RESOURCE, domain: str = "", workflow: str = "") -> None:
        await self._ask("Delete", kind, domain, workflow)

    async def _ask(self, verb: str, kind: Any, domain: str, workflow: str) -> Any:
        if workflow:
            level, fields = "Workflow", {"domain": domain, "workflow": workflow}
            module: Any = of_workflow
        elif domain:
            level, fields, module = "ProjectDomain", {"domain": domain}, of_domain
        else:
            level, fields, module = "Project", {}, of_project
        request = getattr(module, f"{level}Attributes{verb}Request")(project=self.project, resource_type=kind, **fields)
        return await self.call(f"{verb}{level}Attributes", request)

    async def listed(self, kind: Any = resources.TASK_RESOURCE) -> list[Any]:
        request = resources.ListMatchableAttributesRequest(resource_type=kind)
        found = (await self.call("ListMatchableAttributes", request)).configurations
        return [row for row in found if row.project == self.project]


@pytest.fixture
def attributes(call: Call, project: str) -> Attributes:
    return Attributes(call, project)


async def refused(answer: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return caught.value.code(), caught.value.details() or ""


async def test_the_most_specific_level_answers_and_says_which_it_is(attributes: Attributes) -> None:
    await attributes.set(limits(cpu="1"))
    found = await attributes.get(domain="development", workflow="w")
    assert (found.domain, found.workflow, found.matching_attributes) == ("", "", limits(cpu="1"))
    await attributes.set(limits(cpu="2"), "development")
    found = await attributes.get(domain="development", workflow="w")
    assert (found.domain, found.workflow, found.matching_attributes) == ("development", "", limits(cpu="2"))
    await attributes.set(limits(cpu="3"), "development", "w")
    found = await attributes.get(domain="development", workflow="w")
    assert (found.domain, found.workflow, found.matching_attributes) == ("development", "w", limits(cpu="3"))
    assert (await attributes.get(domain="development")).matching_attributes == limits(cpu="2")
    assert (await attributes.get()).matching_attributes == limits(cpu="1")
    assert (await attributes.get(domain="staging")).matching_attributes == limits(cpu="1")


async def test_what_is_not_set_is_not_found_in_the_recorded_words(attributes: Attributes) -> None:
    code, words = await refused(attributes.get(domain="development", workflow="w"))
    assert code == NOT_FOUND
    assert words == (
        f"Resource [{{Project:{attributes.project} Domain:development Workflow:w LaunchPlan: "
        "ResourceType:TASK_RESOURCE}] not found"
    )
    assert (await refused(attributes.get()))[0] == NOT_FOUND


async def test_deleting_takes_one_level_alone_and_twice_is_no_error(attributes: Attributes) -> None:
    for domain, workflow in (("", ""), ("development", ""), ("development", "w")):
        await attributes.set(limits(cpu="1"), domain, workflow)
    await attributes.delete()
    await attributes.delete()
    assert (await attributes.get(domain="development", workflow="w")).workflow == "w"
    await attributes.delete(domain="development", workflow="w")
    assert (await attributes.get(domain="development", workflow="w")).workflow == ""
    await attributes.delete(domain="development")
    assert (await refused(attributes.get(domain="development", workflow="w")))[0] == NOT_FOUND


async def test_every_kind_of_attributes_is_kept(attributes: Attributes) -> None:
    given = [
        limits(cpu="1"),
        resources.MatchingAttributes(
            cluster_resource_attributes=resources.ClusterResourceAttributes(attributes={"projectQuotaCpu": "8"})
        ),
        resources.MatchingAttributes(execution_queue_attributes=resources.ExecutionQueueAttributes(tags=["a"])),
        resources.MatchingAttributes(execution_cluster_label=resources.ExecutionClusterLabel(value="l")),
        resources.MatchingAttributes(
            quality_of_service=execution_pb2.QualityOfService(tier=execution_pb2.QualityOfService.HIGH)
        ),
        resources.MatchingAttributes(
            plugin_overrides=resources.PluginOverrides(overrides=[resources.PluginOverride(task_type="spark")])
        ),
        resources.MatchingAttributes(
            workflow_execution_config=resources.WorkflowExecutionConfig(max_parallelism=3, overwrite_cache=True)
        ),
        resources.MatchingAttributes(cluster_assignment={"cluster_pool_name": "pool"}),  # type: ignore[arg-type]
    ]
    for kind, one in enumerate(given):
        await attributes.set(one, "development")
        assert (await attributes.get(kind, "development")).matching_attributes == one
        assert [row.attributes for row in await attributes.listed(kind)] == [one]


async def test_plugin_overrides_are_merged_by_task_type_on_every_level(attributes: Attributes) -> None:
    def overrides(**plugins: str) -> resources.MatchingAttributes:
        listed = [resources.PluginOverride(task_type=kind, plugin_id=[plugin]) for kind, plugin in plugins.items()]
        return resources.MatchingAttributes(plugin_overrides=resources.PluginOverrides(overrides=listed))

    for level in ({}, {"domain": "development"}, {"domain": "development", "workflow": "w"}):
        await attributes.set(overrides(spark="one", ray="two"), **level)
        await attributes.set(overrides(ray="three"), **level)
        found = await attributes.get(resources.PLUGIN_OVERRIDE, **level)
        assert found.matching_attributes == overrides(spark="one", ray="three")


async def test_execution_config_of_a_project_is_always_there(attributes: Attributes) -> None:
    kind = resources.WORKFLOW_EXECUTION_CONFIG
    shown = (await attributes.get(kind)).matching_attributes.workflow_execution_config
    assert shown == resources.WorkflowExecutionConfig(max_parallelism=25)
    given = resources.WorkflowExecutionConfig(interruptible={"value": True})  # type: ignore[arg-type]
    await attributes.set(resources.MatchingAttributes(workflow_execution_config=given))
    shown = (await attributes.get(kind)).matching_attributes.workflow_execution_config
    assert (shown.max_parallelism, shown.interruptible.value) == (25, True)
    assert (await attributes.get(kind, "development")).matching_attributes.workflow_execution_config == given


async def test_lists_are_in_order_of_priority_then_age(attributes: Attributes) -> None:
    for domain, workflow in (("", ""), ("staging", ""), ("development", ""), ("development", "w")):
        await attributes.set(limits(cpu="1"), domain, workflow)
    await attributes.set(limits(cpu="2"), "staging")
    rows = [(row.domain, row.workflow) for row in await attributes.listed()]
    assert rows == [("development", "w"), ("staging", ""), ("development", ""), ("", "")]
    await attributes.delete(domain="staging")
    rows = [(row.domain, row.workflow) for row in await attributes.listed()]
    assert rows == [("development", "w"), ("development", ""), ("", "")]


async def test_what_is_missing_or_unknown_is_refused(call: Call, attributes: Attributes) -> None:
    project = attributes.project
    update = of_domain.ProjectDomainAttributesUpdateRequest
    assert await refused(call("UpdateProjectDomainAttributes", update())) == (INVALID, "missing attributes")
    empty = of_domain.ProjectDomainAttributes(project=project, domain="development")
    answer = await refused(call("UpdateProjectDomainAttributes", update(attributes=empty)))
    assert answer == (INVALID, "missing matching_attributes")
    answer = await refused(attributes.set(resources.MatchingAttributes(), "development"))
    assert answer == (INVALID, f"Unrecognized matching attributes type for request {project}-development")
    answer = await refused(attributes.set(limits(cpu="1"), "nowhere"))
    assert answer == (INVALID, "domain [nowhere] is unrecognized by system")
    code, words = await refused(attributes.set(limits(cpu="many"), "development"))
    assert code == INVALID
    assert "many" in words
    nameless = of_workflow.WorkflowAttributesGetRequest(project=project, domain="development")
    assert await refused(call("GetWorkflowAttributes", nameless)) == (INVALID, "missing name")
    assert (await refused(attributes.set(limits(cpu="1"), "development", "w\0")))[0] == INVALID
    unknown = resources.ListMatchableAttributesRequest()
    unknown.resource_type = 77  # type: ignore[assignment]
    assert await refused(call("ListMatchableAttributes", unknown)) == (INVALID, "invalid value for resource_type")


async def test_unknown_and_archived_projects_are_refused(call: Call, attributes: Attributes) -> None:
    nobody = Attributes(call, "nobody")
    for answer in (nobody.set(limits(cpu="1")), nobody.delete()):
        assert await refused(answer) == (
            INVALID,
            "failed to validate that project [nobody] is registered, err: [project [nobody] not found]",
        )
    assert (await refused(nobody.get()))[1].startswith("failed to validate that project [nobody] exists")
    assert (await refused(nobody.get(domain="development")))[1].startswith(
        "failed to validate that project [nobody] and domain [development] are registered"
    )
    await attributes.set(limits(cpu="1"))
    archived = project_pb2.Project(id=attributes.project, state=project_pb2.Project.ARCHIVED)
    await call("UpdateProject", archived)
    inactive = (INVALID, f"project [{attributes.project}] is not active")
    for answer in (attributes.set(limits(cpu="2")), attributes.delete(), attributes.get(domain="development")):
        assert await refused(answer) == inactive
    assert (await attributes.get()).matching_attributes == limits(cpu="1"), "those of the project itself are shown"


async def test_limits_of_a_domain_take_the_place_of_the_platforms(
    call: Call, attributes: Attributes, entities: Any
) -> None:
    def asking(name: str, cpu: str) -> Any:
        entry = tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.CPU, value=cpu)
        return entities.task(name, resources=tasks_pb2.Resources(requests=[entry]))

    await call("CreateTask", asking("before", "64"))
    await attributes.set(limits(cpu="2", gpu="0"), "development")
    code, words = await refused(call("CreateTask", asking("above", "3")))
    assert code == INVALID
    assert words.startswith("Requested CPU default [3] is greater than current limit set in the platform configuration")
    await call("CreateTask", asking("within", "2"))
    await attributes.set(limits(memory="1Gi"), "development")
    await call("CreateTask", asking("unlimited", "3"))


async def test_updates_at_once_lose_none(attributes: Attributes) -> None:
    await asyncio.gather(*(attributes.set(limits(cpu=str(n)), "development", f"w{n}") for n in range(1, 9)))
    found = {row.workflow: row.attributes for row in await attributes.listed()}
    assert found == {f"w{n}": limits(cpu=str(n)) for n in range(1, 9)}


async def test_flytekits_client_sets_and_reads_them(registry_port: int, attributes: Attributes) -> None:
    def both() -> None:
        client = SynchronousFlyteClient(PlatformConfig(endpoint=f"127.0.0.1:{registry_port}", insecure=True))
        queue = models.MatchingAttributes(execution_queue_attributes=models.ExecutionQueueAttributes(["gpu"]))
        client.update_project_domain_attributes(attributes.project, "development", queue)
        found = client.get_project_domain_attributes(
            attributes.project, "development", models.MatchableResource.EXECUTION_QUEUE
        )
        assert list(found.attributes.matching_attributes.execution_queue_attributes.tags) == ["gpu"]
        client.update_workflow_attributes(attributes.project, "development", "w", queue)
        of_one = client.get_workflow_attributes(
            attributes.project, "development", "w", models.MatchableResource.EXECUTION_QUEUE
        )
        assert of_one.attributes.workflow == "w"
        listed = client.list_matchable_attributes(models.MatchableResource.EXECUTION_QUEUE)
        assert [row.workflow for row in listed.configurations if row.project == attributes.project] == ["w", ""]

    await asyncio.to_thread(both)


async def test_rebuilt_tables_are_identical(
    attributes: Attributes, registry_log: Log, database_settings: DatabaseSettings
) -> None:
    for domain in ("development", "staging"):
        await attributes.set(limits(cpu="1"), domain)
        await attributes.set(limits(cpu="2"), domain)
    await attributes.delete(domain="staging")
    before = await attributes.listed()
    database = await Database.connect(database_settings)
    try:
        result = await rebuild(database, registry_log, RegistryProjection())
    finally:
        await database.close()
    assert result.identical, result
    assert await attributes.listed() == before
