"""What a client sees of executions, over Flyte's public API alone: the same against this backend and against Flyte.

`Backend` is the endpoint with its stubs and FlyteRemote, `Start` what a test wants run, `Run` one execution. Messages
are flyteidl's; `plain` makes Python values of literals. Nothing here knows how any backend works inside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

import grpc
import msgpack
import pytest
from flyteidl.admin import (
    common_pb2,
    execution_pb2,
    launch_plan_pb2,
    node_execution_pb2,
    task_execution_pb2,
    task_pb2,
    version_pb2,
    workflow_pb2,
)
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service import admin_pb2_grpc, dataproxy_pb2_grpc, signal_pb2_grpc
from google.protobuf.json_format import MessageToDict

PROJECT = "flytesnacks"
DOMAIN = "development"

TOKEN = "<token>"
"""As an input: text that no other session uses. What is to be found in a cache is found by this session alone."""

_ExecutionPhase = core_execution_pb2.WorkflowExecution.Phase
_NodePhase = core_execution_pb2.NodeExecution.Phase
_TaskPhase = core_execution_pb2.TaskExecution.Phase
_FINAL = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"}


@dataclass(frozen=True)
class Start:
    """An execution to be started: of the launch plan `name` (a workflow's default one has its name).

    `labels`, `annotations`, `raw_output` and `max_parallelism` go into flytekit's Options, `arguments` to
    `FlyteRemote.execute` as they are. With `tells_name` its tasks find its name as FIRST_EXECUTION, also when they run
    again for an execution that recovers it.
    """

    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    max_parallelism: int | None = None
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    raw_output: str | None = None
    tells_name: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def key(self) -> str:
        """Equal for equal starts: tests that want the same share one execution."""
        return repr(self)


class Backend:
    """The endpoint under test.

    Args:
        remote: an unmodified FlyteRemote for it.
        version: under which everything has been registered.
    """

    def __init__(self, endpoint: str, remote: Any, version: str) -> None:
        self.endpoint = endpoint
        self.remote = remote
        self.version = version
        self.channel = grpc.insecure_channel(endpoint)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.data = dataproxy_pb2_grpc.DataProxyServiceStub(self.channel)
        self.signals = signal_pb2_grpc.SignalServiceStub(self.channel)
        self._runs: dict[str, Run | Exception] = {}
        self._plans: dict[str, Any] = {}

    @cached_property
    def is_flyte(self) -> bool:
        """Whether it is Flyte itself: then what is known to differ may."""
        answer = self.admin.GetVersion(version_pb2.GetVersionRequest())
        return answer.control_plane_version.Build != "flightlog"

    @property
    def patience(self) -> float:
        """Seconds that one execution may take."""
        return 600 if self.is_flyte else 90

    def try_to_launch(self, start: Start) -> None:
        """Starts it, unless it has been; does not wait. Whoever launches it later is told what went wrong."""
        if start.key not in self._runs:
            try:
                self._runs[start.key] = self.begin(start)
            except Exception as error:  # noqa: BLE001  # told to the test that wants it, not to all others
                self._runs[start.key] = error

    def launch(self, start: Start) -> Run:
        """The execution, started if it has not been; does not wait. Raises what flytekit raised."""
        self.try_to_launch(start)
        found = self._runs[start.key]
        if isinstance(found, Exception):
            raise found
        return found

    @property
    def runs(self) -> list[Run]:
        """All that have been launched."""
        return [run for run in self._runs.values() if isinstance(run, Run)]

    def begin(self, start: Start) -> Run:
        """Starts another execution of it."""
        from flytekit.core.options import Options
        from flytekit.models.common import Annotations, Labels, RawOutputDataConfig

        options = Options(
            labels=Labels(dict(start.labels)) if start.labels else None,
            annotations=Annotations(dict(start.annotations)) if start.annotations else None,
            raw_output_data_config=RawOutputDataConfig(start.raw_output) if start.raw_output else None,
            max_parallelism=start.max_parallelism,
        )
        inputs = {name: self.version if value == TOKEN else value for name, value in start.inputs.items()}
        plan = self._plans.get(start.name)
        if plan is None:
            plan = self._plans[start.name] = self.remote.fetch_launch_plan(name=start.name, version=self.version)
        arguments = dict(start.arguments)
        if start.tells_name:
            name = f"c{uuid4().hex[:18]}"
            arguments |= {"execution_name": name, "envs": {"FIRST_EXECUTION": name}}
        execution = self.remote.execute(plan, inputs=inputs, options=options, **arguments)
        return Run(self, execution.id.name)

    def create(self, name: str, inputs: Mapping[str, Any], execution: str = "") -> Run:
        """CreateExecution as a bare call: inputs are literals, nobody checks them before. Raises grpc.RpcError."""
        literals = {key: literal(value) for key, value in inputs.items()}
        request = execution_pb2.ExecutionCreateRequest(
            project=PROJECT,
            domain=DOMAIN,
            name=execution,
            spec=execution_pb2.ExecutionSpec(launch_plan=self.identifier(identifier_pb2.LAUNCH_PLAN, name)),
            inputs=literals_pb2.LiteralMap(literals=literals),
        )
        return Run(self, self.admin.CreateExecution(request).id.name)

    def identifier(self, kind: int, name: str) -> identifier_pb2.Identifier:
        return identifier_pb2.Identifier(
            resource_type=kind, project=PROJECT, domain=DOMAIN, name=name, version=self.version
        )

    def run(self, name: str) -> Run:
        """An execution by name, whoever started it."""
        return Run(self, name)

    def workflow(self, name: str) -> Any:
        """A registered workflow, as `admin.Workflow`."""
        identifier = self.identifier(identifier_pb2.WORKFLOW, name)
        return self.admin.GetWorkflow(common_pb2.ObjectGetRequest(id=identifier))

    def register_version(self, name: str) -> str:
        """Registers a task once more as it is, in another version; returns that."""
        identifier = self.identifier(identifier_pb2.TASK, name)
        found = self.admin.GetTask(common_pb2.ObjectGetRequest(id=identifier))
        spec = task_pb2.TaskSpec(template=found.closure.compiled_task.template)
        identifier.version = spec.template.id.version = f"{self.version}-again"
        self.admin.CreateTask(task_pb2.TaskCreateRequest(id=identifier, spec=spec))
        return identifier.version

    def register_changed(self, name: str, changed: str, change: Callable[[Any], None]) -> str:
        """Registers a workflow of flytekit's once more under another name, with its template changed.

        For what flytekit refuses to write, and a backend has to answer nevertheless.
        """
        closure = self.workflow(name).closure.compiled_workflow
        template = closure.primary.template
        template.id.name = changed
        nodes = [node for node in template.nodes if node.id not in ("start-node", "end-node")]
        outputs = next((node.inputs for node in template.nodes if node.id == "end-node"), ())
        for node in nodes:
            # Edges that the compiler found by itself are not for the one who registers to say.
            node.ClearField("upstream_node_ids")
        spec = workflow_pb2.WorkflowSpec()
        spec.template.CopyFrom(template)
        del spec.template.nodes[:], spec.template.outputs[:]
        spec.template.nodes.extend(nodes)
        spec.template.outputs.extend(outputs)
        spec.sub_workflows.extend(sub.template for sub in closure.sub_workflows)
        change(spec.template)
        workflow_id = self.identifier(identifier_pb2.WORKFLOW, changed)
        self.admin.CreateWorkflow(workflow_pb2.WorkflowCreateRequest(id=workflow_id, spec=spec))
        plan_id = self.identifier(identifier_pb2.LAUNCH_PLAN, changed)
        plan = self.admin.GetLaunchPlan(
            common_pb2.ObjectGetRequest(id=self.identifier(identifier_pb2.LAUNCH_PLAN, name))
        ).spec
        plan.workflow_id.CopyFrom(workflow_id)
        self.admin.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=plan_id, spec=plan))
        return changed


class Run:
    """One execution. What has been read is kept once the execution is over, and read anew before."""

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.name = name
        self.id = identifier_pb2.WorkflowExecutionIdentifier(project=PROJECT, domain=DOMAIN, name=name)
        self._execution: Any = None
        self._nodes: dict[str, Node] | None = None

    # -- the execution

    def read(self) -> Any:
        """`admin.Execution`, as it is now."""
        if self._execution is None or _ExecutionPhase.Name(self._execution.closure.phase) not in _FINAL:
            self._execution = self.backend.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=self.id))
        return self._execution

    @property
    def phase(self) -> str:
        return _ExecutionPhase.Name(self.read().closure.phase)

    @property
    def closure(self) -> Any:
        return self.read().closure

    @property
    def spec(self) -> Any:
        return self.read().spec

    @property
    def error(self) -> Any:
        """`core.ExecutionError`; empty when there is none."""
        return self.closure.error

    def finish(self) -> Run:
        """Waits until it is over."""
        self.until(lambda: self.phase in _FINAL, "it ends")
        return self

    def succeed(self) -> Run:
        """Waits until it is over; it must have succeeded."""
        self.finish()
        assert self.phase == "SUCCEEDED", f"{self.phase}: {self.error.code} {self.error.message}\n{self.story()}"
        return self

    def fail(self) -> Run:
        """Waits until it is over; it must have failed."""
        self.finish()
        assert self.phase == "FAILED", f"{self.phase}\n{self.story()}"
        return self

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """The condition's first true answer: clients of Flyte's API can only ask again and again."""
        deadline = time.monotonic() + self.backend.patience
        pause = 0.02
        while not (found := condition()):
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name}: in vain waited until {what}\n{self.story()}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        return found

    @cached_property
    def _data(self) -> Any:
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=self.id)
        return self.backend.admin.GetExecutionData(request)

    @property
    def data(self) -> Any:
        """`admin.WorkflowExecutionGetDataResponse`."""
        return self._data

    @property
    def inputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_inputs)

    @property
    def outputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_outputs)

    @property
    def output(self) -> Any:
        """The value of the only output."""
        (value,) = self.outputs.values()
        return value

    # -- its nodes

    @property
    def nodes(self) -> dict[str, Node]:
        """All node executions by id: those at the top, then those below each that has some, as clients walk."""
        if self._nodes is None:
            over = self.phase in _FINAL
            found = {node.id: node for node in self._walk("")}
            if not over:
                return found
            self._nodes = found
        return self._nodes

    def node(self, node_id: str) -> Node:
        found = self.nodes.get(node_id)
        assert found is not None, f"no node {node_id}\n{self.story()}"
        return found

    def children(self, parent: str) -> dict[str, Node]:
        """Node executions with this parent, by id, in order of creation; `""`: those at the top."""
        order = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.ASCENDING)
        request = node_execution_pb2.NodeExecutionListRequest(
            workflow_execution_id=self.id, limit=1000, unique_parent_id=parent, sort_by=order
        )
        rows = self.backend.admin.ListNodeExecutions(request).node_executions
        return {row.id.node_id: Node(self, row) for row in rows}

    def _walk(self, parent: str) -> Iterator[Node]:
        for node in self.children(parent).values():
            yield node
            if node.row.metadata.is_parent_node:
                yield from self._walk(node.id)

    def phases(self) -> dict[str, str]:
        """Phase by node id, without start and end nodes."""
        return {key: node.phase for key, node in self.nodes.items() if node.spec_id not in ("start-node", "end-node")}

    def running(self, node_id: str = "n0") -> Task:
        """Waits until the node's task runs."""

        def found() -> Task | None:
            node = self.children("").get(node_id)
            tasks = node.tasks if node is not None else []
            return tasks[-1] if tasks and tasks[-1].phase == "RUNNING" else None

        return self.until(found, f"the task of {node_id} runs")

    def synced(self) -> Any:
        """FlyteRemote's view, with all nodes."""
        execution = self.backend.remote.fetch_execution(name=self.name)
        return self.backend.remote.sync_execution(execution, sync_nodes=True)

    def terminate(self, cause: str = "enough") -> None:
        self.backend.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=self.id, cause=cause))

    def recover(self) -> Run:
        """RecoverExecution."""
        answer = self.backend.admin.RecoverExecution(execution_pb2.ExecutionRecoverRequest(id=self.id))
        return Run(self.backend, answer.id.name)

    def relaunch(self, **arguments: Any) -> Run:
        """RelaunchExecution."""
        request = execution_pb2.ExecutionRelaunchRequest(id=self.id, **arguments)
        return Run(self.backend, self.backend.admin.RelaunchExecution(request).id.name)

    def story(self) -> str:
        """What there is to see of it, for failing tests."""
        lines = [f"{self.name} {self.phase} {_told(self.error)}"]
        for node in self._walk(""):
            lines.append(f"  {node.id} {node.phase} {_told(node.error)}")
            lines += [
                f"    attempt {task.attempt} {task.phase} {_told(task.error)} {task.closure.reason}"
                for task in node.tasks
            ]
        return "\n".join(lines)


class Node:
    """One node execution."""

    def __init__(self, run: Run, row: Any) -> None:
        self.run = run
        self.row = row
        self.id: str = row.id.node_id
        self.spec_id: str = row.metadata.spec_node_id
        self.phase = _NodePhase.Name(row.closure.phase)

    @property
    def closure(self) -> Any:
        return self.row.closure

    @property
    def metadata(self) -> Any:
        return self.row.metadata

    @property
    def error(self) -> Any:
        return self.row.closure.error

    @cached_property
    def whole(self) -> Any:
        """The row by itself: lists cut long messages."""
        return self.run.backend.admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=self.row.id))

    @cached_property
    def data(self) -> Any:
        request = node_execution_pb2.NodeExecutionGetDataRequest(id=self.row.id)
        return self.run.backend.admin.GetNodeExecutionData(request)

    @property
    def inputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_inputs)

    @property
    def outputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_outputs)

    @property
    def cache(self) -> str:
        """The cache status."""
        return cache_status(self.row.closure.task_node_metadata.cache_status)

    @cached_property
    def tasks(self) -> list[Task]:
        """Task executions in order of attempts."""
        request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=self.row.id, limit=1000)
        rows = self.run.backend.admin.ListTaskExecutions(request).task_executions
        return sorted((Task(self, row) for row in rows), key=lambda task: task.attempt)

    @property
    def task(self) -> Task:
        """The only task execution."""
        (task,) = self.tasks
        return task


class Task:
    """One task execution."""

    def __init__(self, node: Node, row: Any) -> None:
        self.node = node
        self.row = row
        self.attempt: int = row.id.retry_attempt
        self.phase = _TaskPhase.Name(row.closure.phase)

    @property
    def closure(self) -> Any:
        return self.row.closure

    @property
    def error(self) -> Any:
        return self.row.closure.error

    @property
    def resources(self) -> list[Any]:
        """External resources: the elements of a map task, by index and attempt."""
        return sorted(self.closure.metadata.external_resources, key=lambda one: (one.index, one.retry_attempt))

    @cached_property
    def data(self) -> Any:
        request = task_execution_pb2.TaskExecutionGetDataRequest(id=self.row.id)
        return self.node.run.backend.admin.GetTaskExecutionData(request)


def cache_status(status: int) -> str:
    from flyteidl.core.catalog_pb2 import CatalogCacheStatus

    return CatalogCacheStatus.Name(status)


def task_phase(phase: int) -> str:
    return _TaskPhase.Name(phase)


def moment(stamp: Any) -> float:
    """A timestamp in seconds."""
    return stamp.ToNanoseconds() / 1e9


def ended(closure: Any) -> float:
    """When a node or task ended, in seconds."""
    return moment(closure.started_at) + closure.duration.ToNanoseconds() / 1e9


def plain_map(literals: Any) -> dict[str, Any]:
    return {name: plain(value) for name, value in literals.literals.items()}


def plain(value: Any) -> Any:
    """A literal as a Python value: blobs and data sets as their uri, errors as (message, failed node)."""
    match value.WhichOneof("value"):
        case "collection":
            return [plain(item) for item in value.collection.literals]
        case "map":
            return plain_map(value.map)
        case "scalar":
            return _plain_scalar(value.scalar)
        case other:
            return other


def _plain_scalar(scalar: Any) -> Any:
    match scalar.WhichOneof("value"):
        case "primitive":
            return _plain_primitive(scalar.primitive)
        case "none_type":
            return None
        case "union":
            return plain(scalar.union.value)
        case "binary":
            return msgpack.unpackb(scalar.binary.value)
        case "generic":
            return MessageToDict(scalar.generic)
        case "error":
            return scalar.error.message, scalar.error.failed_node_id
        case kind:
            return getattr(scalar, kind).uri


def _plain_primitive(primitive: Any) -> Any:
    kind = primitive.WhichOneof("value")
    value = getattr(primitive, kind)
    if kind == "datetime":
        return moment(value)
    return value.ToNanoseconds() / 1e9 if kind == "duration" else value


def literal(value: Any) -> literals_pb2.Literal:
    """A primitive as a literal."""
    kinds = {bool: "boolean", int: "integer", float: "float_value", str: "string_value"}
    primitive = literals_pb2.Primitive(**{kinds[type(value)]: value})
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=primitive))


def _told(error: Any) -> str:
    kind = core_execution_pb2.ExecutionError.ErrorKind.Name(error.kind)
    return f"{kind} {error.code}: {error.message[-300:]}" if error.code or error.message else ""


def refused(call: Callable[[], Any]) -> grpc.StatusCode:
    """The status with which a call is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()  # type: ignore[attr-defined]
