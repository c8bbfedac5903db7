"""The endpoint under test, over Flyte's public API alone: the same against this backend and against Flyte.

`Backend` is the endpoint with its stubs and FlyteRemote, `Start` what a test wants run. Nothing here knows how any
backend works inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import (
    common_pb2,
    execution_pb2,
    launch_plan_pb2,
    task_pb2,
    version_pb2,
    workflow_pb2,
)
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service import admin_pb2_grpc, dataproxy_pb2_grpc, signal_pb2_grpc

from tests.conformance.runs import DOMAIN, PROJECT, Run
from tests.conformance.values import literal

TOKEN = "<token>"
"""As an input: text that no other session uses. What is to be found in a cache is found by this session alone."""


@dataclass(frozen=True)
class Start:
    """An execution to be started: of the launch plan `name` (a workflow's default one has its name).

    `labels`, `annotations` and `max_parallelism` go into flytekit's Options, `arguments` to
    `FlyteRemote.execute` as they are. With `tells_name` its tasks find its name as FIRST_EXECUTION, also when they run
    again for an execution that recovers it.
    """

    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    max_parallelism: int | None = None
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
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
        from flytekit.models.common import Annotations, Labels

        options = Options(
            labels=Labels(dict(start.labels)) if start.labels else None,
            annotations=Annotations(dict(start.annotations)) if start.annotations else None,
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


def refused(call: Callable[[], Any]) -> grpc.StatusCode:
    """The status with which a call is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()  # type: ignore[attr-defined]
