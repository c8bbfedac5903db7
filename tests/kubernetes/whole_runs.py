"""The whole stack on a real cluster; the tests play the kubelet, and write what tasks would write."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final
from uuid import uuid4

import grpc.aio
from flyteidl.admin import (
    execution_pb2,
    launch_plan_pb2,
    node_execution_pb2,
    task_execution_pb2,
    task_pb2,
    workflow_pb2,
)
from flyteidl.core import errors_pb2, identifier_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from google.protobuf.wrappers_pb2 import BoolValue

from flightlog_blobs import BlobStore
from flightlog_cli.access import Access
from flightlog_cli.stack_process import StackProcess
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import POD, Object
from tests.kubernetes.accounts import has_account
from tests.kubernetes.asking import until
from tests.unit.kubernetes.pod_statuses import container

PROJECT, DOMAIN = "flytesnacks", "development"
PENDING_TIMEOUT_DAYS: Final = 3650
"""So long that only what waits since another decade is out of time."""
CONNECTED: Final = "connected"
"""Type of tasks that a connector runs."""
_OVER = frozenset({WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED})
_PREFIX_OPTION = "--output-prefix"


class Stack:
    """A stack whose tasks run on a cluster. `namespaces`: template of the namespaces' names."""

    def __init__(self, process: StackProcess, api: Api, namespaces: str) -> None:
        self.process = process
        self.api = api
        self._namespaces = namespaces
        self._channel = grpc.aio.insecure_channel(process.grpc)
        self.admin = AdminServiceStub(self._channel)
        self.blobs = BlobStore.open(Access.of(process.data).blobs)

    @property
    def namespace(self) -> str:
        """Of tasks, unless their execution is in another domain."""
        return self.namespace_of(DOMAIN)

    def namespace_of(self, domain: str) -> str:
        return self._namespaces.format(project=PROJECT, domain=domain)

    async def ready(self, domain: str) -> str:
        """A domain's namespace, as soon as pods can be made in it."""
        name = self.namespace_of(domain)
        await until(lambda: has_account(self.api, name))
        return name

    async def close(self) -> None:
        await self._channel.close(None)
        await self.blobs.close()

    async def run(
        self,
        template: tasks_pb2.TaskTemplate | None = None,
        *,
        retries: int = 0,
        outputs: bool = False,
        interruptible: bool = False,
        domain: str = DOMAIN,
    ) -> Run:
        """Create an execution of a task of its own: one that runs a command, unless it is given."""
        identifier = identifier_pb2.Identifier(
            resource_type=identifier_pb2.TASK, project=PROJECT, domain=domain, name=f"t{uuid4().hex[:8]}", version="v1"
        )
        made = tasks_pb2.TaskTemplate()
        made.CopyFrom(template or command())
        made.id.CopyFrom(identifier)
        made.metadata.retries.retries = retries
        made.metadata.runtime.version = "1"
        made.interface.outputs.SetInParent()
        if outputs:
            made.interface.outputs.variables["o0"].type.simple = types_pb2.INTEGER
        await self.admin.CreateTask(task_pb2.TaskCreateRequest(id=identifier, spec=task_pb2.TaskSpec(template=made)))
        return await self._start(identifier, interruptible=interruptible)

    async def run_workflow(self, workflow: Any) -> Run:
        """Register a workflow of flytekit's with its tasks, and create an execution of it."""
        from flytekit import LaunchPlan
        from flytekit.configuration import Image, ImageConfig, SerializationSettings
        from flytekit.tools.translator import get_serializable

        settings = SerializationSettings(
            image_config=ImageConfig(Image("default", "nowhere/nothing", "1")),
            project=PROJECT,
            domain=DOMAIN,
            version=uuid4().hex[:8],
        )
        plan: Any = LaunchPlan.get_or_create(workflow)
        entities: OrderedDict[Any, Any] = OrderedDict()
        get_serializable(entities, settings, plan)
        for entity in entities.values():
            made = entity.to_flyte_idl()
            if isinstance(made, task_pb2.TaskSpec):
                await self.admin.CreateTask(task_pb2.TaskCreateRequest(id=made.template.id, spec=made))
            elif isinstance(made, workflow_pb2.WorkflowSpec):
                await self.admin.CreateWorkflow(workflow_pb2.WorkflowCreateRequest(id=made.template.id, spec=made))
            elif isinstance(made, launch_plan_pb2.LaunchPlan):
                await self.admin.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=made.id, spec=made.spec))
        return await self._start(entities[plan].id.to_flyte_idl())

    async def _start(self, identifier: identifier_pb2.Identifier, *, interruptible: bool = False) -> Run:
        spec = execution_pb2.ExecutionSpec(launch_plan=identifier, metadata=execution_pb2.ExecutionMetadata())
        if interruptible:
            spec.interruptible.CopyFrom(BoolValue(value=True))
        request = execution_pb2.ExecutionCreateRequest(project=PROJECT, domain=identifier.domain, spec=spec)
        return Run(self, (await self.admin.CreateExecution(request)).id)


class Run:
    """One execution of one task, or of one map: `element` gives its parts."""

    def __init__(
        self, stack: Stack, identifier: identifier_pb2.WorkflowExecutionIdentifier, element: int | None = None
    ) -> None:
        self.stack = stack
        self.id = identifier
        self.namespace = stack.namespace_of(identifier.domain)
        self.selector = f"execution-id={identifier.name}" + (f",node-id=n{element}" if element is not None else "")

    def element(self, index: int) -> Run:
        """An element of a map: its pods and what it writes."""
        return Run(self.stack, self.id, index)

    async def pods(self) -> dict[int, Object]:
        """The pods that are there, by attempt."""
        listed = await self.stack.api.list(POD, self.namespace, label_selector=self.selector)
        return {int(pod["metadata"]["annotations"]["flightlog.dev/attempt"]): pod for pod in listed.items}

    async def pod(self, attempt: int) -> Object:
        """An attempt's pod, as soon as it is there."""

        async def found() -> Object | None:
            return (await self.pods()).get(attempt)

        pod = await until(found)
        assert pod is not None
        return pod

    async def play(self, attempt: int, phase: str, state: Object | None = None, **status: Any) -> None:
        """Be the kubelet: write the pod's status. `state` is that of the task's container, where it is the only one."""
        pod = await self.pod(attempt)
        name = pod["spec"]["containers"][0]["name"]
        states = [container(name, state)] if state is not None else []
        body = {"status": {"phase": phase, "containerStatuses": states, **status}}
        await self.stack.api.patch(POD, self.namespace, pod["metadata"]["name"], body, subresource="status")

    async def gone(self, attempt: int) -> None:
        """Wait until an attempt's pod is not there any more."""

        async def is_gone() -> bool:
            return attempt not in await self.pods()

        await until(is_gone)

    async def writes(self, attempt: int, name: str, message: Any) -> None:
        """Be the task: write into the output folder that its command names."""
        words: list[str] = (await self.pod(attempt))["spec"]["containers"][0]["args"]
        prefix = words[words.index(_PREFIX_OPTION) + 1]
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

    async def outputs(self) -> literals_pb2.LiteralMap:
        """Of the execution, which is over."""
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=self.id)
        return (await self.stack.admin.GetExecutionData(request)).full_outputs

    async def attempts(self) -> list[task_execution_pb2.TaskExecution]:
        """The task executions, first attempt first."""
        nodes = await self.stack.admin.ListNodeExecutions(
            node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=self.id, limit=10)
        )
        found = [one for one in nodes.node_executions if one.id.node_id not in ("start-node", "end-node")]
        if not found:
            return []
        (node,) = found
        listed = await self.stack.admin.ListTaskExecutions(
            task_execution_pb2.TaskExecutionListRequest(node_execution_id=node.id, limit=10)
        )
        return sorted(listed.task_executions, key=lambda task: task.id.retry_attempt)

    async def attempt_in(self, phase: TaskExecution.Phase, attempt: int = 0) -> task_execution_pb2.TaskExecution:
        """An attempt, as soon as its last event says this phase."""

        async def found() -> task_execution_pb2.TaskExecution | None:
            known = await self.attempts()
            return next((one for one in known[attempt : attempt + 1] if one.closure.phase == phase), None)

        task = await until(found)
        assert task is not None
        return task


def command(*words: str) -> tasks_pb2.TaskTemplate:
    """A task that runs a command, and is told where its outputs go."""
    template = tasks_pb2.TaskTemplate(type="python-task")
    template.container.image = "nowhere/nothing:1"
    template.container.args.extend([*words, _PREFIX_OPTION, "{{.outputPrefix}}"])
    return template


def outputs(value: int = 1) -> literals_pb2.LiteralMap:
    made = literals_pb2.LiteralMap()
    made.literals["o0"].scalar.primitive.integer = value
    return made


def error(code: str, *, recoverable: bool) -> errors_pb2.ErrorDocument:
    """What flytekit writes of an exception in a task."""
    kind = errors_pb2.ContainerError.RECOVERABLE if recoverable else errors_pb2.ContainerError.NON_RECOVERABLE
    told = errors_pb2.ContainerError(code=code, message="by the task", kind=kind)
    told.origin = ExecutionError.USER
    return errors_pb2.ErrorDocument(error=told)


def ended(attempt: task_execution_pb2.TaskExecution) -> tuple[str, str, int]:
    """Phase, code and kind of an attempt."""
    closure = attempt.closure
    return TaskExecution.Phase.Name(closure.phase), closure.error.code, closure.error.kind


async def failed(run: Run, code: str, kind: int = ExecutionError.USER) -> list[task_execution_pb2.TaskExecution]:
    """The attempts of a run that failed with this error."""
    execution = await run.end()
    assert execution.closure.phase == WorkflowExecution.FAILED
    assert (execution.closure.error.code, execution.closure.error.kind) == (code, kind)
    return await run.attempts()
