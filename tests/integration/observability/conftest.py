"""A stack whose services send their spans to a collector of ours, and a client that has a trace of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from flyteidl.admin import execution_pb2, task_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.service import admin_pb2_grpc

from flightlog_cli.stack_process import StackProcess
from tests.integration.observability.collector import Collector, collecting

_LOOK_SECONDS = 0.02
PROJECT, DOMAIN = "flytesnacks", "development"
TERMINAL = {WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED}


@dataclass
class Client:
    """Calls the public port within one trace."""

    admin: Any
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))

    def call(self, method: str, request: Any) -> Any:
        metadata = (("traceparent", f"00-{self.trace_id}-{self.span_id}-01"),)
        return getattr(self.admin, method)(request, metadata=metadata)

    def create(self, *command: str) -> WorkflowExecutionIdentifier:
        """Register a task and start it: an echo task without a command, else a process."""
        task_id = identifier_pb2.Identifier(
            resource_type=identifier_pb2.TASK,
            project=PROJECT,
            domain=DOMAIN,
            name="traced",
            version=secrets.token_hex(4),
        )
        template = tasks_pb2.TaskTemplate(id=task_id, type="container" if command else "echo")
        template.interface.SetInParent()
        template.metadata.runtime.version = "1"
        if command:
            template.container.image = "scratch"
            template.container.command.extend(command)
        self.call("CreateTask", task_pb2.TaskCreateRequest(id=task_id, spec=task_pb2.TaskSpec(template=template)))
        created = self.call(
            "CreateExecution",
            execution_pb2.ExecutionCreateRequest(
                project=PROJECT, domain=DOMAIN, spec=execution_pb2.ExecutionSpec(launch_plan=task_id)
            ),
        )
        return created.id

    def run(self, *command: str) -> execution_pb2.Execution:
        """The same, to its end."""
        request = execution_pb2.WorkflowExecutionGetRequest(id=self.create(*command))
        while True:
            execution = self.admin.GetExecution(request)
            if execution.closure.phase in TERMINAL:
                return execution
            if command:  # an echo task is over at once, and is asked for at the very moment
                time.sleep(_LOOK_SECONDS)


@pytest.fixture(scope="package")
def collector() -> Iterator[tuple[str, Collector]]:
    with collecting() as started:
        yield started


@pytest.fixture(scope="package")
def traced_stack(collector: tuple[str, Collector], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    environment = {
        "FLIGHTLOG_PROCESS__PRELOAD": "[]",
        "FLIGHTLOG_TELEMETRY__OTLP_ENDPOINT": collector[0],
        "FLIGHTLOG_TELEMETRY__LOG_FORMAT": "console",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with StackProcess(tmp_path_factory.mktemp("traced"), environment=environment) as running:
        yield running


@pytest.fixture
def client(traced_stack: StackProcess) -> Iterator[Client]:
    with grpc.insecure_channel(traced_stack.grpc) as channel:
        yield Client(admin_pb2_grpc.AdminServiceStub(channel))
