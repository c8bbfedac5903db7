"""A stack whose launcher knows one connector server of flytekit's, and a client of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc

from flightlog_cli.stack_process import StackProcess
from tests.integration.connectors.serving import TASKS, ConnectorServer
from tests.warm_scripts import WarmPyflyte

PROJECT, DOMAIN, VERSION = "flytesnacks", "development", "v1"
_ENDED = frozenset(
    {
        core_execution_pb2.WorkflowExecution.SUCCEEDED,
        core_execution_pb2.WorkflowExecution.FAILED,
        core_execution_pb2.WorkflowExecution.ABORTED,
    }
)


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    """The first answer that holds."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds} s still {found!r}")
        time.sleep(0.03)
    return found


class Runs:
    """Executions of the workflows in `tasks`."""

    def __init__(self, stack: StackProcess, channel: grpc.Channel) -> None:
        self.stack = stack
        self._admin = admin_pb2_grpc.AdminServiceStub(channel)

    def start(self, workflow: str, script: str) -> identifier_pb2.WorkflowExecutionIdentifier:
        request = execution_pb2.ExecutionCreateRequest(project=PROJECT, domain=DOMAIN, name=f"c{uuid4().hex[:12]}")
        plan = request.spec.launch_plan
        plan.resource_type = identifier_pb2.LAUNCH_PLAN
        plan.project, plan.domain, plan.version, plan.name = PROJECT, DOMAIN, VERSION, f"connected.{workflow}"
        request.inputs.literals["script"].scalar.primitive.string_value = script
        return self._admin.CreateExecution(request).id

    def get(self, run: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution:
        return self._admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=run))

    def end(self, run: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.ExecutionClosure:
        """Wait for the end."""
        return until(lambda: closure if (closure := self.get(run).closure).phase in _ENDED else None)

    def abort(self, run: identifier_pb2.WorkflowExecutionIdentifier, cause: str) -> None:
        self._admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=run, cause=cause))

    def output(self, run: identifier_pb2.WorkflowExecutionIdentifier) -> str:
        data = self._admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=run))
        return data.full_outputs.literals["o0"].scalar.primitive.string_value

    def attempts(self, run: identifier_pb2.WorkflowExecutionIdentifier) -> list[task_execution_pb2.TaskExecution]:
        """Attempts of the run's only task."""
        node = identifier_pb2.NodeExecutionIdentifier(node_id="n0", execution_id=run)
        request = task_execution_pb2.TaskExecutionListRequest(
            node_execution_id=node,
            limit=10,
            sort_by=common_pb2.Sort(key="retry_attempt", direction=common_pb2.Sort.ASCENDING),
        )
        return list(self._admin.ListTaskExecutions(request).task_executions)

    def phase(self, run: identifier_pb2.WorkflowExecutionIdentifier) -> str:
        """Phase of the newest attempt."""
        attempts = self.attempts(run)
        return core_execution_pb2.TaskExecution.Phase.Name(attempts[-1].closure.phase) if attempts else ""

    def kill_launcher(self) -> None:
        """Kill it as nothing can be caught; the stack starts another."""
        pid = self.stack.pids["k8s_launcher"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.stack.pids["k8s_launcher"] not in (0, pid))


@pytest.fixture(scope="module")
def connector(tmp_path_factory: pytest.TempPathFactory, warm_pyflyte: WarmPyflyte) -> Iterator[ConnectorServer]:
    """It serves when there are `runs`."""
    with ConnectorServer(tmp_path_factory.mktemp("connector"), warm_pyflyte) as server:
        yield server


@pytest.fixture(scope="module")
def runs(
    connector: ConnectorServer, tmp_path_factory: pytest.TempPathFactory, warm_pyflyte: WarmPyflyte
) -> Iterator[Runs]:
    prefix = "FLIGHTLOG_LAUNCHER__CONNECTORS__"
    environment = {
        "FLIGHTLOG_PROCESS__PRELOAD": "[]",
        f"{prefix}ENDPOINTS__JOBS__ENDPOINT": connector.address,
        f"{prefix}LIST_INTERVAL_SECONDS": "0.5",
        f"{prefix}FIRST_POLL_SECONDS": "0.1",
        f"{prefix}POLL_INTERVAL_SECONDS": "0.4",
    }
    with StackProcess(tmp_path_factory.mktemp("connected"), environment=environment) as stack:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLYTE", "_F_"))}
        # One for all that flytekit does here: it is imported once for each environment.
        connector.environment = {
            **inherited,
            **stack.client_environment,
            "FLYTECTL_CONFIG": "/dev/null",
            "JOBS": str(connector.folder),
        }
        _register(warm_pyflyte, connector.environment)
        connector.start()
        connector.wait()
        until(lambda: 'flightlog_connector_up{connector="jobs"} 1.0' in _metrics(stack))
        with grpc.insecure_channel(stack.grpc) as channel:
            yield Runs(stack, channel)


def _metrics(stack: StackProcess) -> str:
    with urlopen(stack.endpoints["metrics"]["k8s_launcher"], timeout=10) as page:
        return page.read().decode()


def _register(pyflyte: WarmPyflyte, environment: Mapping[str, str]) -> None:
    options = ("--project", PROJECT, "--domain", DOMAIN, "--version", VERSION, "--image", "localhost/flytekit:1")
    done = pyflyte.run(("register", *options, "connected.py"), cwd=TASKS, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
