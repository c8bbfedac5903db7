"""What was registered, as of moments of the past: what is answered is what was answered then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from flyteidl.admin import (
    common_pb2,
    description_entity_pb2,
    launch_plan_pb2,
    matchable_resource_pb2,
    project_attributes_pb2,
    project_domain_attributes_pb2,
    project_pb2,
    workflow_attributes_pb2,
)
from flyteidl.core import identifier_pb2

from flightlog_log import Log, Recorded
from flightlog_read import Database, DatabaseSettings, Page, SqlWhere
from flightlog_rpc import METHODS, as_of
from services.registry.projection.past import PastQueries
from services.registry.projection.queries import Listing, Queries
from tests.integration.registry.conftest import PREFIXES, Entities

TASK, WORKFLOW, LAUNCH_PLAN = identifier_pb2.TASK, identifier_pb2.WORKFLOW, identifier_pb2.LAUNCH_PLAN
CONFIG = matchable_resource_pb2.WORKFLOW_EXECUTION_CONFIG
NAMES, VERSIONS = ("a", "b"), ("v1", "v2")
KINDS = (TASK, WORKFLOW, LAUNCH_PLAN)
STATES = (common_pb2.NAMED_ENTITY_ACTIVE, common_pb2.NAMED_ENTITY_ARCHIVED)
DOMAIN = "development"


def setting(number: int) -> matchable_resource_pb2.MatchingAttributes:
    config = matchable_resource_pb2.WorkflowExecutionConfig(max_parallelism=number)
    return matchable_resource_pb2.MatchingAttributes(workflow_execution_config=config)


def reads(entities: Entities) -> list[tuple[str, Any]]:
    """Every read of the registry about one project, with filters and orders that are about what changes."""
    project = entities.project
    place = common_pb2.NamedEntityIdentifier(project=project, domain=DOMAIN)
    newest = common_pb2.Sort(key="updated_at", direction=common_pb2.Sort.DESCENDING)
    in_project: dict[str, Any] = {"project": project, "domain": DOMAIN, "limit": 50}
    found: list[tuple[str, Any]] = [
        ("GetProject", project_pb2.ProjectGetRequest(id=project)),
        ("ListProjects", project_pb2.ProjectListRequest(filters=f"eq(identifier,{project})")),
        ("ListProjects", project_pb2.ProjectListRequest(filters=f"eq(identifier,{project})+eq(state,0)")),
        ("GetDomains", project_pb2.GetDomainRequest()),
        ("ListLaunchPlans", common_pb2.ResourceListRequest(id=place, limit=50, filters="eq(state,1)")),
        ("ListLaunchPlans", common_pb2.ResourceListRequest(id=place, limit=3, sort_by=newest)),
        ("ListActiveLaunchPlans", launch_plan_pb2.ActiveLaunchPlanListRequest(**in_project)),
        ("ListMatchableAttributes", matchable_resource_pb2.ListMatchableAttributesRequest(resource_type=CONFIG)),
        (
            "GetProjectAttributes",
            project_attributes_pb2.ProjectAttributesGetRequest(project=project, resource_type=CONFIG),
        ),
        (
            "GetProjectDomainAttributes",
            project_domain_attributes_pb2.ProjectDomainAttributesGetRequest(
                project=project, domain=DOMAIN, resource_type=CONFIG
            ),
        ),
        (
            "GetWorkflowAttributes",
            workflow_attributes_pb2.WorkflowAttributesGetRequest(
                project=project, domain=DOMAIN, workflow="a", resource_type=CONFIG
            ),
        ),
    ]
    for kind, name in zip(KINDS, ("Task", "Workflow", "LaunchPlan"), strict=True):
        found += [
            (f"List{name}s", common_pb2.ResourceListRequest(id=place, limit=50)),
            (f"List{name}Ids", common_pb2.NamedEntityIdentifierListRequest(**in_project)),
            ("ListNamedEntities", common_pb2.NamedEntityListRequest(resource_type=kind, **in_project)),
            (
                "ListNamedEntities",
                common_pb2.NamedEntityListRequest(resource_type=kind, filters="eq(state,1)", **in_project),
            ),
        ]
        for one in NAMES:
            identifier = common_pb2.NamedEntityIdentifier(project=project, domain=DOMAIN, name=one)
            found += [
                ("GetNamedEntity", common_pb2.NamedEntityGetRequest(resource_type=kind, id=identifier)),
                *(
                    (f"Get{name}", common_pb2.ObjectGetRequest(id=entities.id(kind, one, version)))
                    for version in VERSIONS
                ),
            ]
            if kind == LAUNCH_PLAN:
                found.append(("GetActiveLaunchPlan", launch_plan_pb2.ActiveLaunchPlanRequest(id=identifier)))
            else:
                listed = description_entity_pb2.DescriptionEntityListRequest(
                    resource_type=kind, id=identifier, limit=50
                )
                described = common_pb2.ObjectGetRequest(id=entities.id(kind, one))
                found += [("ListDescriptionEntities", listed), ("GetDescriptionEntity", described)]
    return found


def changes(entities: Entities, random: Random, count: int) -> list[tuple[str, Any]]:
    """Registrations in the order in which they need one another, and changes of all kinds between them."""
    project = entities.project
    steps: list[tuple[str, Any]] = []
    for version in VERSIONS:
        for name in NAMES:
            task = entities.task(name, version)
            task.spec.description.short_description = f"{name} {version}"
            steps += [
                ("CreateTask", task),
                ("CreateWorkflow", entities.workflow(name, "a", version)),
                ("CreateLaunchPlan", entities.launch_plan(name, name if version == "v1" else "a", version)),
            ]
    # Whatever changes before it is there is refused, and nothing is different then.
    for number in range(count):
        steps.insert(random.randrange(3, len(steps)), change(entities, random, number))
    archived = project_pb2.Project(id=project, state=project_pb2.Project.ARCHIVED)
    return [*steps, ("UpdateProject", archived), ("UpdateProject", project_pb2.Project(id=project))]


def change(entities: Entities, random: Random, number: int) -> tuple[str, Any]:
    project, name = entities.project, random.choice(NAMES)
    match random.randrange(6):
        case 0 | 1:
            return "UpdateLaunchPlan", launch_plan_pb2.LaunchPlanUpdateRequest(
                id=entities.id(LAUNCH_PLAN, name, random.choice(VERSIONS)),
                state=random.choice((launch_plan_pb2.ACTIVE, launch_plan_pb2.INACTIVE)),
            )
        case 2:
            return "UpdateNamedEntity", common_pb2.NamedEntityUpdateRequest(
                resource_type=random.choice(KINDS),
                id=common_pb2.NamedEntityIdentifier(project=project, domain=DOMAIN, name=name),
                metadata=common_pb2.NamedEntityMetadata(description=f"{number}", state=random.choice(STATES)),
            )
        case 3:
            return "UpdateProject", project_pb2.Project(id=project, name=f"name {number}", description=f"{number}")
        case 4:
            attributes = project_attributes_pb2.ProjectAttributes(
                project=project, matching_attributes=setting(number + 1)
            )
            return (
                "UpdateProjectAttributes",
                project_attributes_pb2.ProjectAttributesUpdateRequest(attributes=attributes),
            )
        case _:
            if random.random() < 0.5:
                return (
                    "DeleteWorkflowAttributes",
                    workflow_attributes_pb2.WorkflowAttributesDeleteRequest(
                        project=project, domain=DOMAIN, workflow="a", resource_type=CONFIG
                    ),
                )
            given = workflow_attributes_pb2.WorkflowAttributes(
                project=project, domain=DOMAIN, workflow="a", matching_attributes=setting(number + 1)
            )
            return (
                "UpdateWorkflowAttributes",
                workflow_attributes_pb2.WorkflowAttributesUpdateRequest(attributes=given),
            )


@dataclass
class Registry:
    """The registry's port, asked as of now or of a moment."""

    channel: grpc.aio.Channel
    calls: dict[str, Any] = field(default_factory=dict[str, Any])

    async def answer(self, name: str, request: Any, moment: str = "") -> Any:
        """The response, or the status and sentence of a refusal."""
        full = next(prefix + name for prefix in PREFIXES if prefix + name in METHODS)
        stub = self.channel.unary_unary(
            full,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=METHODS[full].response.FromString,
        )
        try:
            return await stub(request, metadata=((as_of.METADATA, moment),) if moment else ())
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details()


@pytest.fixture
def registry(channel: grpc.aio.Channel) -> Registry:
    return Registry(channel)


async def test_reads_as_of_a_moment_answer_what_was_answered_then(
    registry: Registry, entities: Entities, registry_log: Log
) -> None:
    random = Random(11)
    asked = reads(entities)
    seen: dict[int, Sequence[Any]] = {}
    for name, request in changes(entities, random, 30):
        await registry.answer(name, request)
        sequence = await registry_log.stream_sequence("REGISTRY")
        if sequence not in seen:
            seen[sequence] = [await registry.answer(*one) for one in asked]
        assert await registry_log.stream_sequence("REGISTRY") == sequence, "nobody else registers meanwhile"
    assert len(seen) > 25
    recorded = {
        record.sequence: record.envelope.recorded_at
        async for batch in registry_log.follow("REGISTRY", after=0, live=False)
        for record in batch
        if isinstance(record, Recorded)
    }
    for sequence in random.sample(sorted(seen), 8):
        at = recorded[sequence].ToJsonString()
        for (name, request), expected in zip(asked, seen[sequence], strict=True):
            assert await registry.answer(name, request, str(sequence)) == expected, (name, sequence)
            assert await registry.answer(name, request, at) == expected, (name, at)


async def test_no_connection_is_held_while_the_log_is_read(
    registry: Registry,
    entities: Entities,
    registry_log: Log,
    database_settings: DatabaseSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    then = await registry_log.stream_sequence("REGISTRY")
    await registry.answer("UpdateProject", project_pb2.Project(id=entities.project, name="another"))
    request = project_pb2.ProjectListRequest(filters=f"eq(identifier,{entities.project})")
    assert (await registry.answer("ListProjects", request)).projects[0].name == "another"
    narrow = await Database.connect(database_settings.model_copy(update={"pool_max": 1}))
    load = registry_log.load

    async def loading(*asked: Any, **options: Any) -> list[Recorded]:
        async with narrow.reading() as connection:
            await connection.fetchval("SELECT 1")
        return await load(*asked, **options)

    monkeypatch.setattr(registry_log, "load", loading)
    where = SqlWhere("r.identifier = $1", (entities.project,))
    async with asyncio.timeout(30):
        found = await PastQueries(Queries(narrow), registry_log, then).projects(
            Listing(where, "r.identifier", Page(None, 0), where)
        )
    assert [one.name != "another" for one in found] == [True]
    await narrow.close()


async def test_before_and_behind_the_log_is_out_of_range(registry: Registry, registry_log: Log) -> None:
    extent = await registry_log.extent("REGISTRY")
    request = project_pb2.ProjectListRequest()
    for moment, words in (
        (str(extent.first - 1), f"begins at {extent.first}"),
        ("2001-01-01T00:00:00Z", f"begins at {extent.began.ToJsonString()}"),
        (str(extent.last + 1000), f"ends at {extent.last}"),
        (f"{time.gmtime().tm_year + 2}-01-01T00:00:00Z", "is yet to come"),
    ):
        code, sentence = await registry.answer("ListProjects", request, moment)
        assert code is grpc.StatusCode.OUT_OF_RANGE, moment
        assert words in sentence
    assert len((await registry.answer("ListProjects", request, str(extent.first))).projects) == 1


@pytest.mark.parametrize("moment", ["1", "2026-01-31T12:00:00Z", "yesterday"])
async def test_what_changes_something_is_refused(registry: Registry, entities: Entities, moment: str) -> None:
    name = f"t{uuid4().hex}"
    code, sentence = await registry.answer("CreateTask", entities.task(name), moment)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "CreateTask" in sentence
    code, _ = await registry.answer("GetTask", common_pb2.ObjectGetRequest(id=entities.id(TASK, name)))
    assert code is grpc.StatusCode.NOT_FOUND
