"""The whole stack on a real cluster; the tests play the kubelet, and write what tasks would write."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import grpc.aio
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2, task_pb2
from flyteidl.core import errors_pb2, identifier_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from google.protobuf.wrappers_pb2 import BoolValue

from flightlog_blobs import BlobStore
from flightlog_cli.access import Access
from flightlog_cli.stack_process import StackProcess
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import POD, Object
from tests.kubernetes.asking import until
from tests.unit.kubernetes.pod_statuses import container

PROJECT, DOMAIN = "flytesnacks", "development"
_OVER = frozenset({WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED})


class Stack:
    """A stack whose tasks run on a cluster."""

    def __init__(self, process: StackProcess, api: Api, namespace: str) -> None:
        self.process = process
        self.api = api
        self.namespace = namespace
        self._channel = grpc.aio.insecure_channel(process.grpc)
        self.admin = AdminServiceStub(self._channel)
        self.blobs = BlobStore.open(Access.of(process.data).blobs)

    async def close(self) -> None:
        await self._channel.close(None)
        await self.blobs.close()

    async def run(self, *, retries: int = 0, outputs: bool = False, interruptible: bool = False) -> Run:
        """Create an execution of a task of its own."""
        identifier = identifier_pb2.Identifier(
            resource_type=identifier_pb2.TASK, project=PROJECT, domain=DOMAIN, name=f"t{uuid4().hex[:8]}", version="v1"
        )
        template = tasks_pb2.TaskTemplate(id=identifier, type="python-task")
        template.metadata.retries.retries = retries
        template.metadata.runtime.version = "1"
        template.container.image = "nowhere/nothing:1"
        template.container.args.append("{{.outputPrefix}}")
        template.interface.outputs.SetInParent()
        if outputs:
            template.interface.outputs.variables["o0"].type.simple = types_pb2.INTEGER
        await self.admin.CreateTask(
            task_pb2.TaskCreateRequest(id=identifier, spec=task_pb2.TaskSpec(template=template))
        )
        spec = execution_pb2.ExecutionSpec(launch_plan=identifier, metadata=execution_pb2.ExecutionMetadata())
        if interruptible:
            spec.interruptible.CopyFrom(BoolValue(value=True))
        request = execution_pb2.ExecutionCreateRequest(project=PROJECT, domain=DOMAIN, spec=spec)
        return Run(self, (await self.admin.CreateExecution(request)).id)


class Run:
    """One execution of one task."""

    def __init__(self, stack: Stack, identifier: identifier_pb2.WorkflowExecutionIdentifier) -> None:
        self.stack = stack
        self.id = identifier

    async def pods(self) -> dict[int, Object]:
        """The pods that are there, by attempt."""
        selector = f"execution-id={self.id.name}"
        listed = await self.stack.api.list(POD, self.stack.namespace, label_selector=selector)
        return {int(pod["metadata"]["annotations"]["flightlog.dev/attempt"]): pod for pod in listed.items}

    async def pod(self, attempt: int) -> Object:
        """An attempt's pod, as soon as it is there."""

        async def found() -> Object | None:
            return (await self.pods()).get(attempt)

        pod = await until(found)
        assert pod is not None
        return pod

    async def play(self, attempt: int, phase: str, state: Object | None = None, **status: Any) -> None:
        """Be the kubelet: write the pod's status. `state` is that of the task's container."""
        pod = await self.pod(attempt)
        name = pod["spec"]["containers"][0]["name"]
        states = [container(name, state)] if state is not None else []
        body = {"status": {"phase": phase, "containerStatuses": states, **status}}
        await self.stack.api.patch(POD, self.stack.namespace, pod["metadata"]["name"], body, subresource="status")

    async def gone(self, attempt: int) -> None:
        """Wait until an attempt's pod is not there any more."""

        async def is_gone() -> bool:
            return attempt not in await self.pods()

        await until(is_gone)

    async def writes(self, attempt: int, name: str, message: Any) -> None:
        """Be the task: write into its output folder."""
        (prefix,) = (await self.pod(attempt))["spec"]["containers"][0]["args"]
        await self.stack.blobs.put(f"{prefix}/{name}", message.SerializeToString())

    async def end(self) -> execution_pb2.Execution:
        """The execution, as soon as it is over."""

        async def over() -> execution_pb2.Execution | None:
            request = execution_pb2.WorkflowExecutionGetRequest(id=self.id)
            execution = await self.stack.admin.GetExecution(request)
            return execution if execution.closure.phase in _OVER else None

        execution = await until(over)
        assert execution is not None
        return execution

    async def attempts(self) -> list[task_execution_pb2.TaskExecution]:
        """The task executions, first attempt first."""
        nodes = await self.stack.admin.ListNodeExecutions(
            node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=self.id, limit=10)
        )
        (node,) = [one for one in nodes.node_executions if one.id.node_id not in ("start-node", "end-node")]
        listed = await self.stack.admin.ListTaskExecutions(
            task_execution_pb2.TaskExecutionListRequest(node_execution_id=node.id, limit=10)
        )
        return sorted(listed.task_executions, key=lambda task: task.id.retry_attempt)


def outputs(value: int = 1) -> literals_pb2.LiteralMap:
    made = literals_pb2.LiteralMap()
    made.literals["o0"].scalar.primitive.integer = value
    return made


def error(code: str, *, recoverable: bool) -> errors_pb2.ErrorDocument:
    """What flytekit writes of an exception in a task."""
    kind = errors_pb2.ContainerError.RECOVERABLE if recoverable else errors_pb2.ContainerError.NON_RECOVERABLE
    told = errors_pb2.ContainerError(code=code, message="by the task", kind=kind)
    told.origin = 1
    return errors_pb2.ErrorDocument(error=told)
