"""What the restore drill runs: programs that leave a trace, some that wait, and all that a client can read of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, node_execution_pb2, project_pb2
from flyteidl.admin import task_execution_pb2 as task_executions
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc
from flytekit import ContainerTask, CronSchedule, LaunchPlan, TaskMetadata, Workflow, kwtypes
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from flightlog_protos.history.v1.archive_pb2 import GetArchiveRequest
from flightlog_rpc import METHODS
from tests.integration.crash.conftest import Client as Waiting

PROJECT, DOMAIN = "flytesnacks", "development"
_HISTORY = "/flightlog.history.v1.HistoryService/"
_TRACE = 'echo "$1" >> "$TRACES/started"\n'


class Workflows:
    """Workflows whose programs write into a folder. Programs of `running` wait for a file there."""

    def __init__(self, traces: Path) -> None:
        image, environment = "localhost/shell:1", {"TRACES": str(traces)}
        prefix = "{{.outputPrefix}}"
        counted = ContainerTask(
            name="drill.counted",
            image=image,
            environment=environment,
            inputs=kwtypes(x=int),
            outputs=kwtypes(y=int),
            input_data_dir="/var/inputs",
            output_data_dir="/var/outputs",
            command=["sh", "-c", f"{_TRACE}cat /var/inputs/x > /var/outputs/y", "counted", prefix],
            metadata=TaskMetadata(cache=True, cache_version="1"),
        )
        blocked = ContainerTask(
            name="drill.blocked",
            image=image,
            environment=environment,
            command=["sh", "-c", f'{_TRACE}until [ -e "$TRACES/go" ]; do sleep 0.1; done', "blocked", prefix],
        )
        broken = ContainerTask(
            name="drill.broken",
            image=image,
            environment=environment,
            command=["sh", "-c", f"{_TRACE}exit 3", "broken", prefix],
        )

        self.finished = Workflow(name="drill.finished")
        found = self.finished.add_entity(counted, x=self.finished.add_workflow_input("x", int))
        self.finished.add_workflow_output("y", found.outputs["y"])

        self.failing = Workflow(name="drill.failing")
        self.failing.add_entity(broken)

        self.running = Workflow(name="drill.running")
        first = self.running.add_entity(blocked)
        last = self.running.add_entity(counted, x=self.running.add_workflow_input("x", int))
        first.runs_before(last)
        self.running.add_workflow_output("y", last.outputs["y"])

        self.scheduled = LaunchPlan.get_or_create(
            self.finished, "drill.scheduled", default_inputs={"x": 5}, schedule=CronSchedule(schedule="0 3 * * *")
        )


class Reads:
    """All that can be asked about a project through the public port."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.insecure_channel(endpoint)
        self.admin = admin_pb2_grpc.AdminServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def patiently(self, call: Callable[[], Any]) -> Any:
        """Answers of a backend that has just started: its tables are being made."""

        def answered() -> Any:
            try:
                return call()
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:  # pyright: ignore[reportAttributeAccessIssue]
                    raise
                return None

        return Waiting.wait_until(answered, 60, "the backend answers")

    def call(self, method: str, request: Message | None = None) -> Message:
        """Any unary method, by its full name."""
        found = METHODS[method]
        call = self._channel.unary_unary(
            found.full_name,
            request_serializer=found.request.SerializeToString,
            response_deserializer=found.response.FromString,
        )
        return call(request or found.request())

    def archived(self) -> bool:
        """Whether all that is on the log is archived."""
        found: Any = self.call(f"{_HISTORY}GetArchive", GetArchiveRequest())
        return all(one.sequence >= one.head for one in found.streams)

    def everything(self, names: list[str]) -> dict[str, Any]:
        """Answers by question, as JSON."""
        name = common_pb2.NamedEntityIdentifier(project=PROJECT, domain=DOMAIN)
        entities = common_pb2.ResourceListRequest(id=name, limit=100)
        active = launch_plan_pb2.ActiveLaunchPlanListRequest(project=PROJECT, domain=DOMAIN, limit=100)
        answers: dict[str, Message] = {
            "projects": self.admin.ListProjects(project_pb2.ProjectListRequest(limit=100)),
            "tasks": self.admin.ListTasks(entities),
            "workflows": self.admin.ListWorkflows(entities),
            "launch plans": self.admin.ListLaunchPlans(entities),
            "active launch plans": self.admin.ListActiveLaunchPlans(active),
            "schedules": self.call("/flightlog.scheduler.v1.ScheduleService/ListSchedules"),
            "cached": self.call("/flightlog.catalog.v1.CatalogService/ListCached"),
        }
        for one in names:
            answers |= self._execution(one)
        return {question: _plain(answer) for question, answer in answers.items()}

    def _execution(self, name: str) -> dict[str, Message]:
        identifier = identifier_pb2.WorkflowExecutionIdentifier(project=PROJECT, domain=DOMAIN, name=name)
        get = execution_pb2.WorkflowExecutionGetRequest(id=identifier)
        data = execution_pb2.WorkflowExecutionGetDataRequest(id=identifier)
        nodes = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=identifier, limit=100)
        found = self.admin.ListNodeExecutions(nodes)
        answers: dict[str, Message] = {
            f"{name}": self.admin.GetExecution(get),
            f"{name} data": self.admin.GetExecutionData(data),
            f"{name} nodes": found,
        }
        for node in found.node_executions:
            tasks = task_executions.TaskExecutionListRequest(node_execution_id=node.id, limit=100)
            of_node = node_execution_pb2.NodeExecutionGetDataRequest(id=node.id)
            answers[f"{name} {node.id.node_id} tasks"] = self.admin.ListTaskExecutions(tasks)
            answers[f"{name} {node.id.node_id} data"] = self.admin.GetNodeExecutionData(of_node)
        return answers


def _plain(answer: Message) -> Any:
    """Without addresses that are signed anew for each answer."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: without(one)
                for name, one in value.items()
                if "X-Amz-Signature" not in json.dumps(one)[:4000] or not isinstance(one, str)
            }
        return [without(one) for one in value] if isinstance(value, list) else value

    return without(MessageToDict(answer))
