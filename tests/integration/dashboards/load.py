"""Something of everything that a dashboard shows: runs that succeed, fail, wait and are cached, ticks, refusals."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.admin.schedule_pb2 import CronSchedule, Schedule
from flyteidl.core import identifier_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service import admin_pb2_grpc

from flightlog_protos.history.v1.events_pb2 import WatchEventsRequest
from flightlog_rpc import METHODS

PROJECT, DOMAIN = "flytesnacks", "development"
SCHEDULED = "charted.every_second"
_LOOK_SECONDS = 0.05
_OVER = {WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED}
_WATCH = METHODS["/flightlog.history.v1.HistoryService/WatchEvents"]
_LIMITED = {"flightlog.concurrency/key": "charted", "flightlog.concurrency/key-max": "1"}


@dataclass
class Load:
    """What is asked of a stack's public port."""

    channel: grpc.Channel
    version: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def admin(self) -> Any:
        return admin_pb2_grpc.AdminServiceStub(self.channel)

    def register(self) -> None:
        """Tasks that succeed, fail and are cached; a workflow, and its launch plan, which runs every second."""
        self._task("works", "true")
        self._task("fails", "false")
        self._task("sleeps", "sleep", "600")
        self._task("cached")
        workflow = self._id(identifier_pb2.WORKFLOW, "charted")
        node = core_workflow_pb2.Node(id="n0", metadata=core_workflow_pb2.NodeMetadata(name="n0"))
        node.task_node.reference_id.CopyFrom(self._task("echo"))
        template = core_workflow_pb2.WorkflowTemplate(id=workflow, nodes=[node])
        template.interface.SetInParent()
        self.admin.CreateWorkflow(
            workflow_pb2.WorkflowCreateRequest(id=workflow, spec=workflow_pb2.WorkflowSpec(template=template))
        )
        plan = self._id(identifier_pb2.LAUNCH_PLAN, SCHEDULED)
        spec = launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow)
        spec.entity_metadata.schedule.CopyFrom(Schedule(cron_schedule=CronSchedule(schedule="@every 1s")))
        self.admin.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=plan, spec=spec))

    def round(self) -> None:
        """Some of everything; returns when all of it is over."""
        self._schedule(launch_plan_pb2.ACTIVE)
        begun = [self.begin("works"), self.begin("fails"), *(self.begin("cached", key=1) for _ in range(2))]
        begun += [self.begin("works", annotations=_LIMITED) for _ in range(2)]
        for name in begun:
            self.ended(name)
        self.ended(self.begin("cached", key=1))
        self._terminated(self.begin("sleeps"))
        self._refused("CreateExecution", execution_pb2.ExecutionCreateRequest(project=PROJECT, domain=DOMAIN, name="-"))
        unknown = execution_pb2.WorkflowExecutionGetRequest()
        unknown.id.project, unknown.id.domain, unknown.id.name = PROJECT, DOMAIN, "nobody"
        self._refused("GetExecution", unknown)
        self._watch()
        self._until_ticks()
        self._schedule(launch_plan_pb2.INACTIVE)

    def begin(self, task: str, *, key: int | None = None, annotations: dict[str, str] | None = None) -> str:
        spec = execution_pb2.ExecutionSpec(launch_plan=self._id(identifier_pb2.TASK, task))
        if annotations:
            spec.annotations.values.update(annotations)
        request = execution_pb2.ExecutionCreateRequest(project=PROJECT, domain=DOMAIN, spec=spec)
        if key is not None:
            request.inputs.literals["x"].CopyFrom(_integer(key))
        return self.admin.CreateExecution(request).id.name

    def ended(self, name: str) -> None:
        """Waits until an execution is over."""
        request = execution_pb2.WorkflowExecutionGetRequest()
        request.id.project, request.id.domain, request.id.name = PROJECT, DOMAIN, name
        deadline = time.monotonic() + 60
        while (execution := self.admin.GetExecution(request)).closure.phase not in _OVER:
            assert time.monotonic() < deadline, execution
            time.sleep(_LOOK_SECONDS)

    def _terminated(self, name: str) -> None:
        identifier = identifier_pb2.WorkflowExecutionIdentifier(project=PROJECT, domain=DOMAIN, name=name)
        self.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=identifier, cause="enough"))
        self.ended(name)

    def _task(self, name: str, *command: str) -> identifier_pb2.Identifier:
        task_id = self._id(identifier_pb2.TASK, name)
        template = tasks_pb2.TaskTemplate(id=task_id, type="container" if command else "echo")
        template.interface.SetInParent()
        template.metadata.runtime.version = "1"
        if command:
            template.container.image = "scratch"
            template.container.command.extend(command)
        if name == "cached":
            template.metadata.discoverable, template.metadata.discovery_version = True, self.version
            number = types_pb2.LiteralType(simple=types_pb2.INTEGER)
            template.interface.inputs.variables["x"].type.CopyFrom(number)
            template.interface.outputs.variables["x"].type.CopyFrom(number)
        self.admin.CreateTask(task_pb2.TaskCreateRequest(id=task_id, spec=task_pb2.TaskSpec(template=template)))
        return task_id

    def _id(self, kind: Any, name: str) -> identifier_pb2.Identifier:
        return identifier_pb2.Identifier(
            resource_type=kind, project=PROJECT, domain=DOMAIN, name=name, version=self.version
        )

    def _schedule(self, state: Any) -> None:
        plan = self._id(identifier_pb2.LAUNCH_PLAN, SCHEDULED)
        self.admin.UpdateLaunchPlan(launch_plan_pb2.LaunchPlanUpdateRequest(id=plan, state=state))

    def _refused(self, method: str, request: Any) -> None:
        try:
            getattr(self.admin, method)(request)
        except grpc.RpcError:
            return
        raise AssertionError(f"{method} was not refused")

    def _watch(self) -> None:
        """The first event of a stream that would go on."""
        call = self.channel.unary_stream(
            _WATCH.full_name,
            request_serializer=_WATCH.request.SerializeToString,
            response_deserializer=_WATCH.response.FromString,
        )(WatchEventsRequest())
        next(iter(call))
        call.cancel()

    def _until_ticks(self) -> None:
        """Waits for an execution that the schedule began."""
        request = common_pb2.ResourceListRequest(
            id=common_pb2.NamedEntityIdentifier(project=PROJECT, domain=DOMAIN),
            filters=f"eq(launch_plan.name,{SCHEDULED})",
            limit=1,
        )
        deadline = time.monotonic() + 60
        while not (found := self.admin.ListExecutions(request).executions):
            assert time.monotonic() < deadline
            time.sleep(_LOOK_SECONDS)
        self.ended(found[0].id.name)


def _integer(value: int) -> literals_pb2.Literal:
    literal = literals_pb2.Literal()
    literal.scalar.primitive.integer = value
    return literal
