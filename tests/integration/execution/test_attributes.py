"""Matchable attributes on the registry's subjects: the next execution has them, and so have its attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
import pytest_asyncio
from flyteidl.admin import matchable_resource_pb2 as resources
from flyteidl.admin.cluster_assignment_pb2 import ClusterAssignment
from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionSpec
from flyteidl.admin.project_pb2 import Project
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, WORKFLOW, Identifier, WorkflowExecutionIdentifier
from google.protobuf.message import Message

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled, ExecutionCreated
from flightlog_protos.registry.v1.facts_pb2 import (
    AttributesDeleted,
    AttributesUpdated,
    LaunchPlanRegistered,
    ProjectRegistered,
    ProjectUpdated,
)
from flightlog_types import InvalidArgument
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.queues import Queues
from services.execution.lookup import Lookup
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell
from services.execution.starting import Starter
from tests.unit.engine.story import Flow

CAUSE = Cause.service("test")
DOMAIN = "development"


async def nobody(_: ExecutionSpec) -> str:
    return ""


def cpu(amount: str) -> resources.MatchingAttributes:
    limits = resources.TaskResourceSpec(cpu=amount)
    return resources.MatchingAttributes(task_resource_attributes=resources.TaskResourceAttributes(limits=limits))


@dataclass
class Place:
    """A project on the log with one launch plan, and an execution service."""

    log: Log
    blobs: BlobStore
    project: str = field(default_factory=lambda: f"p{uuid4().hex}")
    plan: Identifier = field(default_factory=Identifier)

    def __post_init__(self) -> None:
        settings = ExecutionSettings()
        lookup = Lookup(self.log, settings.domains)
        self.shell = Shell(self.log, self.blobs, lookup, settings)
        self.starter = Starter(
            self.shell, lookup, Admission(self.log, self.shell, Queues(self.log)), self.blobs, settings
        )

    async def registers(self, workflow_project: str | None = None) -> None:
        await self.says(ProjectRegistered(project=Project(id=self.project)))
        closure = Flow().task("n0").closure()
        closure.primary.template.id.name = uuid4().hex
        self.plan = Identifier(resource_type=LAUNCH_PLAN, project=self.project, domain=DOMAIN, name="lp", version="1")
        fact = LaunchPlanRegistered(
            id=self.plan, closure=await self.blobs.put_content("tests", closure.SerializeToString())
        )
        fact.spec.workflow_id.CopyFrom(
            Identifier(
                resource_type=WORKFLOW, project=workflow_project or self.project, domain=DOMAIN, name="w", version="1"
            )
        )
        version = subjects.version(self.plan)
        assert version is not None
        await self.log.append(version, [fact], head=Head.EMPTY, cause=CAUSE)

    async def says(self, *facts: Message) -> None:
        """What the registry would append to the project."""
        subject = subjects.project(self.project)
        assert subject is not None
        await self.log.append(subject, facts, head=await self.log.head(subject), cause=CAUSE)

    async def sets(
        self, kind: resources.MatchableResource, given: resources.MatchingAttributes, workflow: str = ""
    ) -> None:
        fact = AttributesUpdated(
            project=self.project, domain=DOMAIN, workflow=workflow, resource_type=kind, attributes=given
        )
        await self.says(fact)

    async def runs(self, spec: ExecutionSpec | None = None) -> WorkflowExecutionIdentifier:
        request = ExecutionCreateRequest(project=self.project, domain=DOMAIN, spec=spec or ExecutionSpec())
        request.spec.launch_plan.CopyFrom(self.plan)
        identifier = await self.starter.create(request, nobody, CAUSE)
        await self.shell.start(subjects.key_of(identifier), CAUSE)
        return identifier

    async def facts(self, identifier: WorkflowExecutionIdentifier) -> tuple[ExecutionCreated, AttemptScheduled]:
        subject = subjects.execution(subjects.key_of(identifier))
        assert subject is not None
        history = [fact for recorded in await self.log.load(subject) for fact in recorded.facts]
        (created,) = [fact for fact in history if isinstance(fact, ExecutionCreated)]
        (scheduled,) = [fact for fact in history if isinstance(fact, AttemptScheduled)]
        return created, scheduled


@pytest_asyncio.fixture(loop_scope="session")
async def connected(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[tuple[Log, BlobStore]]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    yield log, blobs
    await log.close()
    await blobs.close()


@pytest_asyncio.fixture(loop_scope="session")
async def place(connected: tuple[Log, BlobStore]) -> Place:
    place = Place(*connected)
    await place.registers()
    return place


async def test_attempts_have_the_task_resources_that_were_set_when_the_execution_was_created(place: Place) -> None:
    created, scheduled = await place.facts(await place.runs())
    assert not created.config.HasField("task_resources")
    assert not scheduled.HasField("task_resources")
    await place.sets(resources.TASK_RESOURCE, cpu("2"))
    _, scheduled = await place.facts(await place.runs())
    assert scheduled.task_resources == cpu("2").task_resource_attributes
    await place.sets(resources.TASK_RESOURCE, cpu("3"), "w")
    _, scheduled = await place.facts(await place.runs())
    assert scheduled.task_resources == cpu("3").task_resource_attributes
    await place.says(
        AttributesDeleted(project=place.project, domain=DOMAIN, workflow="w", resource_type=resources.TASK_RESOURCE)
    )
    _, scheduled = await place.facts(await place.runs())
    assert scheduled.task_resources == cpu("2").task_resource_attributes


async def test_attributes_stay_when_the_project_changes(place: Place) -> None:
    await place.sets(resources.TASK_RESOURCE, cpu("2"))
    await place.says(ProjectUpdated(project=Project(id=place.project, labels={"values": {"team": "a"}})))  # type: ignore[arg-type]
    created, scheduled = await place.facts(await place.runs())
    assert scheduled.task_resources == cpu("2").task_resource_attributes
    assert created.config.labels["team"] == "a"


async def test_attempts_run_as_attributes_say(place: Place) -> None:
    config = resources.WorkflowExecutionConfig(max_parallelism=4)
    config.security_context.run_as.k8s_service_account = "trainer"
    config.labels.values["queue"] = "blue"
    config.envs.values.add(key="MODE", value="fast")
    config.interruptible.value = True
    config.raw_output_data_config.output_location_prefix = "s3://elsewhere/raw"
    attributes = resources.MatchingAttributes(workflow_execution_config=config)
    await place.sets(resources.WORKFLOW_EXECUTION_CONFIG, attributes)
    created, scheduled = await place.facts(await place.runs())
    assert created.spec.security_context.run_as.k8s_service_account == "trainer"
    assert created.spec.max_parallelism == created.config.max_parallelism == 4
    assert scheduled.security_context.run_as.k8s_service_account == "trainer"
    assert scheduled.labels["queue"] == "blue"
    assert scheduled.envs["MODE"] == "fast"
    assert scheduled.interruptible
    assert scheduled.raw_output_prefix.startswith("s3://elsewhere/raw/")


async def test_resources_are_those_of_the_project_where_the_workflow_is(
    connected: tuple[Log, BlobStore], place: Place
) -> None:
    running = Place(*connected)
    await running.registers(workflow_project=place.project)
    await running.sets(resources.TASK_RESOURCE, cpu("1"))
    await place.sets(resources.TASK_RESOURCE, cpu("9"))
    _, scheduled = await running.facts(await running.runs())
    assert scheduled.task_resources == cpu("9").task_resource_attributes


async def test_another_pool_of_clusters_than_the_domains_is_refused(place: Place) -> None:
    pool = resources.MatchingAttributes(cluster_assignment=ClusterAssignment(cluster_pool_name="blue"))
    await place.sets(resources.CLUSTER_ASSIGNMENT, pool)
    await place.runs(ExecutionSpec(cluster_assignment=ClusterAssignment(cluster_pool_name="blue")))
    with pytest.raises(InvalidArgument, match='cannot run on cluster pool "red"'):
        await place.runs(ExecutionSpec(cluster_assignment=ClusterAssignment(cluster_pool_name="red")))
