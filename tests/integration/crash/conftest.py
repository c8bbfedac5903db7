"""What the crash tests run: workflows whose tasks leave a trace on disk, telling whether any ran twice at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, interface_pb2, tasks_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from flyteidl.service import admin_pb2_grpc

from flightlog_cli.stack_process import StackProcess

PROJECT, DOMAIN = "flytesnacks", "development"

# `$1` is the attempt's output prefix. Making the directory fails when another attempt of the node is alive.
TRACE = """
attempt=$(printf %s "$1" | tr / _)
node=${attempt%_*}
echo "$attempt" >> "$TRACES/started"
mkdir "$TRACES/$node" || { echo "$attempt" >> "$TRACES/doubled"; exit 3; }
sleep 0.1
rmdir "$TRACES/$node"
echo "$attempt" >> "$TRACES/finished"
"""

Phase = core_execution_pb2.WorkflowExecution
# What a client may see while a part is gone. Anything else (NOT_FOUND of an acknowledged execution, say) is a defect.
AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
TERMINAL = {Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT}


@dataclass
class Client:
    """A client that tries again while the backend is away, always under the same execution name.

    What it registers and runs is its own, by its label: the tests share a stack.
    """

    endpoint: str
    traces: Path
    label: str = field(default_factory=lambda: f"c{uuid4().hex[:8]}")
    acknowledged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.traces.mkdir()
        (self.traces / "started").touch()
        self._channel = grpc.insecure_channel(
            self.endpoint,
            options=[("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)],
        )
        self.stub = admin_pb2_grpc.AdminServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    @staticmethod
    def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """The condition's first true answer. A backend that is being killed cannot notify, so a client polls."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.05)
        pytest.fail(f"never reached: {what}")

    def _id(self, kind: identifier_pb2.ResourceType, name: str) -> identifier_pb2.Identifier:
        return identifier_pb2.Identifier(
            resource_type=kind, project=PROJECT, domain=DOMAIN, name=name, version=self.label
        )

    def register(self) -> None:
        task = self._id(identifier_pb2.TASK, "crash.trace")
        runtime = tasks_pb2.RuntimeMetadata(type=tasks_pb2.RuntimeMetadata.FLYTE_SDK, version="1.16.0", flavor="python")
        container = tasks_pb2.Container(
            image="localhost/shell:1",
            command=["sh", "-c", TRACE, "trace"],
            args=["{{.outputPrefix}}"],
            env=[{"key": "TRACES", "value": str(self.traces)}],
            resources={"requests": [{"name": tasks_pb2.Resources.CPU, "value": "50m"}]},
        )
        template = tasks_pb2.TaskTemplate(
            id=task,
            type="raw-container",
            metadata=tasks_pb2.TaskMetadata(runtime=runtime),
            interface=interface_pb2.TypedInterface(inputs={}, outputs={}),
            container=container,
        )
        self.stub.CreateTask(task_pb2.TaskCreateRequest(id=task, spec={"template": template}))
        nodes = [
            core_workflow_pb2.Node(
                id=f"n{number}",
                metadata={"name": "trace"},
                upstream_node_ids=[f"n{number - 1}"] if number else [],
                task_node={"reference_id": task},
            )
            for number in range(3)
        ]
        three = self._register_workflow("crash.three", nodes)
        children = [
            core_workflow_pb2.Node(id=f"n{number}", metadata={"name": "three"}, workflow_node={"launchplan_ref": three})
            for number in range(2)
        ]
        self._register_workflow("crash.nested", children)

    def _register_workflow(self, name: str, nodes: list[core_workflow_pb2.Node]) -> identifier_pb2.Identifier:
        """Registers a workflow and its launch plan; returns the launch plan's id."""
        workflow = self._id(identifier_pb2.WORKFLOW, name)
        spec = core_workflow_pb2.WorkflowTemplate(
            id=workflow, metadata={}, metadata_defaults={}, interface={"inputs": {}, "outputs": {}}, nodes=nodes
        )
        self.stub.CreateWorkflow(workflow_pb2.WorkflowCreateRequest(id=workflow, spec={"template": spec}))
        plan = self._id(identifier_pb2.LAUNCH_PLAN, name)
        self.stub.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=plan, spec={"workflow_id": workflow}))
        return plan

    def create(self, name: str, plan: str = "crash.three") -> None:
        """Ask until it is acknowledged; ALREADY_EXISTS acknowledges an earlier try whose answer was lost."""
        name = f"{self.label}-{name}"
        request = execution_pb2.ExecutionCreateRequest(
            project=PROJECT,
            domain=DOMAIN,
            name=name,
            spec={"launch_plan": self._id(identifier_pb2.LAUNCH_PLAN, plan), "metadata": {}},
            inputs={},
        )

        def acknowledged() -> bool:
            try:
                self.stub.CreateExecution(request, timeout=10)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.ALREADY_EXISTS:
                    return True
                if error.code() not in AWAY:
                    raise
                return False
            return True

        self.wait_until(acknowledged, 120, f"{name} is acknowledged")
        self.acknowledged.append(name)

    def phase(self, name: str) -> int | None:
        """The execution's phase; None while the backend is away."""
        request = execution_pb2.WorkflowExecutionGetRequest(id={"project": PROJECT, "domain": DOMAIN, "name": name})
        try:
            return self.stub.GetExecution(request, timeout=10).closure.phase
        except grpc.RpcError as error:
            if error.code() not in AWAY:
                raise
            return None

    def finish_all(self, seconds: float = 240) -> dict[str, int]:
        """Phases of all acknowledged executions, once every one has ended."""
        phases: dict[str, int] = {}

        def ended() -> bool:
            for name in self.acknowledged:
                if name not in phases:
                    phase = self.phase(name)
                    if phase is None or phase not in TERMINAL:
                        return False
                    phases[name] = phase
            return True

        self.wait_until(ended, seconds, "every acknowledged execution has ended")
        return phases

    def started(self) -> list[str]:
        return (self.traces / "started").read_text().splitlines()

    def assert_nothing_ran_twice_at_once(self) -> None:
        assert not (self.traces / "doubled").exists(), (self.traces / "doubled").read_text()
        started = self.started()
        assert len(started) == len(set(started)), "an attempt was started twice"


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack whose parts the tests kill; each leaves it running."""
    environment = {"FLIGHTLOG_PROCESS__PRELOAD": "[]"}
    with StackProcess(tmp_path_factory.mktemp("crashing"), environment=environment) as running:
        yield running


@pytest.fixture
def client(crashing: StackProcess, tmp_path: Path) -> Iterator[Client]:
    """A client of that stack, with traced workflows of its own registered."""
    client = Client(crashing.grpc, tmp_path / "traces")
    client.register()
    yield client
    client.close()
