"""A registry in this process, on the test servers, and a real channel to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc.aio
import pytest
import pytest_asyncio
from flyteidl.admin import launch_plan_pb2, project_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2

from flightlog_log import Log
from flightlog_rpc import METHODS, RpcSettings

if TYPE_CHECKING:
    from flightlog_blobs import BlobSettings
    from flightlog_log import LogSettings
    from flightlog_read import DatabaseSettings

Call = Callable[..., Awaitable[Any]]
PREFIXES = ("/flyteidl.service.AdminService/", "/flyteidl.service.DataProxyService/")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def registry_port(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> AsyncIterator[int]:
    """The gRPC port of a registry that runs for the whole session."""
    from services.registry.main import run
    from services.registry.settings import Settings

    settings = Settings(
        log=log_settings, blobs=blob_settings, database=database_settings, rpc=RpcSettings(port=0), ready_file=None
    )
    ready: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        service = group.create_task(run(settings, ready.set_result))
        yield await asyncio.wait_for(ready, 60)
        service.cancel()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def channel(registry_port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the registry."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{registry_port}") as channel:
        yield channel


@pytest.fixture(scope="session")
def call(channel: grpc.aio.Channel) -> Call:
    """`await call("GetTask", request)`: the response, or grpc.aio.AioRpcError."""

    async def invoke(name: str, request: Any) -> Any:
        full = next(prefix + name for prefix in PREFIXES if prefix + name in METHODS)
        method = METHODS[full]
        stub = channel.unary_unary(
            full,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=method.response.FromString,
        )
        return await stub(request, timeout=30)

    return invoke


@pytest_asyncio.fixture(loop_scope="session")
async def project(call: Call) -> str:
    """A project of this test alone."""
    identifier = f"p{uuid4().hex[:12]}"
    await call(
        "RegisterProject",
        project_pb2.ProjectRegisterRequest(project=project_pb2.Project(id=identifier, name=identifier)),
    )
    return identifier


class Entities:
    """Requests that register small entities of one project."""

    def __init__(self, project: str) -> None:
        self.project = project

    def id(self, kind: identifier_pb2.ResourceType, name: str, version: str = "v1") -> identifier_pb2.Identifier:
        return identifier_pb2.Identifier(
            resource_type=kind, project=self.project, domain="development", name=name, version=version
        )

    def task(self, name: str, version: str = "v1", **container: Any) -> task_pb2.TaskCreateRequest:
        """A task with an INTEGER input `a` and an INTEGER output `o0`."""
        template = tasks_pb2.TaskTemplate(
            type="python-task",
            metadata=tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata(version="1.16.0")),
            interface=self.interface(),
            container=tasks_pb2.Container(**{"image": "img:1", "args": ["x"], **container}),
        )
        return task_pb2.TaskCreateRequest(
            id=self.id(identifier_pb2.TASK, name, version), spec=task_pb2.TaskSpec(template=template)
        )

    def workflow(self, name: str, task: str, version: str = "v1") -> workflow_pb2.WorkflowCreateRequest:
        """A workflow of one node, which runs version v1 of the task."""
        node = core_workflow_pb2.Node(
            id="n0",
            metadata=core_workflow_pb2.NodeMetadata(name="n0"),
            inputs=[promise("a", "", "a")],
            task_node=core_workflow_pb2.TaskNode(reference_id=self.id(identifier_pb2.TASK, task)),
        )
        template = core_workflow_pb2.WorkflowTemplate(
            metadata=core_workflow_pb2.WorkflowMetadata(),
            metadata_defaults=core_workflow_pb2.WorkflowMetadataDefaults(),
            interface=self.interface(),
            nodes=[node],
            outputs=[promise("o0", "n0", "o0")],
        )
        return workflow_pb2.WorkflowCreateRequest(
            id=self.id(identifier_pb2.WORKFLOW, name, version), spec=workflow_pb2.WorkflowSpec(template=template)
        )

    def launch_plan(self, name: str, workflow: str, version: str = "v1") -> launch_plan_pb2.LaunchPlanCreateRequest:
        """A launch plan of version v1 of the workflow."""
        workflow_id = self.id(identifier_pb2.WORKFLOW, workflow)
        return launch_plan_pb2.LaunchPlanCreateRequest(
            id=self.id(identifier_pb2.LAUNCH_PLAN, name, version),
            spec=launch_plan_pb2.LaunchPlanSpec(
                workflow_id=workflow_id, entity_metadata=launch_plan_pb2.LaunchPlanMetadata()
            ),
        )

    def interface(self) -> interface_pb2.TypedInterface:
        integer = interface_pb2.Variable(type=types_pb2.LiteralType(simple=types_pb2.INTEGER))
        return interface_pb2.TypedInterface(
            inputs=interface_pb2.VariableMap(variables={"a": integer}),
            outputs=interface_pb2.VariableMap(variables={"o0": integer}),
        )


def promise(variable: str, node: str, output: str) -> literals_pb2.Binding:
    reference = types_pb2.OutputReference(node_id=node, var=output)
    return literals_pb2.Binding(var=variable, binding=literals_pb2.BindingData(promise=reference))


@pytest.fixture
def entities(project: str) -> Entities:
    """Requests for this test's own project."""
    return Entities(project)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def registry_log(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Log]:
    """The log that the registry writes, read by somebody else."""
    from flightlog_blobs import BlobStore

    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="registry-tests")
    yield log
    await log.close()
    await blobs.close()
