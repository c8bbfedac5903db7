"""What `flightlog why` makes of what the services answer, over a real connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin.execution_pb2 import Execution, ExecutionClosure, WorkflowExecutionGetRequest
from flyteidl.admin.node_execution_pb2 import NodeExecution, NodeExecutionList
from flyteidl.admin.task_execution_pb2 import TaskExecution, TaskExecutionList, TaskExecutionListRequest
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.execution_pb2 import TaskExecution as TaskPhases
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message

from flightlog_cli.admin import ENDPOINT_VARIABLE, open_admin, open_service
from flightlog_cli.why import Explanations, Finding
from flightlog_protos.execution.v1.queue_service_pb2 import ListWaitsResponse, Wait
from flightlog_rpc import METHODS

_ADMIN = "/flyteidl.service.AdminService/"
_WAITS = "/flightlog.execution.v1.QueueService/ListWaits"
_SERVICES = ("flyteidl.service.AdminService", "flightlog.execution.v1.QueueService")
_LARGEST = 64 * 1024 * 1024

NAMED = WorkflowExecutionIdentifier(project="p", domain="d", name="run")


class _Answers(grpc.GenericRpcHandler):
    """Each method's answer; what is no execution of these is not found."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = METHODS[handler_call_details.method]

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if isinstance(request, WorkflowExecutionGetRequest) and request.id.name != NAMED.name:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"no execution {request.id.name}")
            said = self._answers.get(method.full_name)
            return said(request) if callable(said) else said or method.response()

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )


async def _why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: Mapping[str, Message | Any]) -> Finding:
    server = grpc.aio.server(options=[("grpc.max_send_message_length", _LARGEST)])
    server.add_generic_rpc_handlers((_Answers(answers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    monkeypatch.setenv(ENDPOINT_VARIABLE, f"127.0.0.1:{port}")
    try:
        async with open_admin(tmp_path) as admin, open_service(tmp_path, _SERVICES[1]) as queues:
            return await Explanations(admin, queues).of(NAMED)
    finally:
        await server.stop(None)


def _running() -> Execution:
    closure = ExecutionClosure(phase=WorkflowExecution.RUNNING)
    closure.started_at.GetCurrentTime()
    return Execution(id=NAMED, closure=closure)


def _failed(message: str) -> Execution:
    error = ExecutionError(code="Boom", message=message, kind=ExecutionError.USER)
    return Execution(id=NAMED, closure=ExecutionClosure(phase=WorkflowExecution.FAILED, error=error))


def _lines(finding: Finding) -> Sequence[str]:
    return list(finding.lines(datetime.now(UTC)))


async def test_child_that_is_not_made_yet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wait = Wait(node_id="n0", kind=Wait.CHILD_EXECUTION, name="child")
    answers = {f"{_ADMIN}GetExecution": _running(), _WAITS: ListWaitsResponse(waits=[wait])}
    finding = await _why(monkeypatch, tmp_path, answers)
    (node,) = finding.behind
    assert node.why == "waits for the execution child"
    (child,) = node.behind
    assert (child.what, child.name, child.why) == ("execution", "p/d/child", "there is none of this name yet")


async def test_failed_node_whose_child_never_came_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    node = NodeExecution()
    node.id.node_id = "n0"
    node.closure.error.code = "ChildRefused"
    node.closure.workflow_node_metadata.executionId.CopyFrom(
        WorkflowExecutionIdentifier(project="p", domain="d", name="child")
    )
    answers = {
        f"{_ADMIN}GetExecution": _failed("child refused"),
        f"{_ADMIN}ListNodeExecutions": NodeExecutionList(node_executions=[node]),
    }
    finding = await _why(monkeypatch, tmp_path, answers)
    (failed,) = finding.behind
    assert [(child.name, child.why) for child in failed.behind] == [("p/d/child", "there is none of this name yet")]


async def test_many_nodes_that_wait_with_long_reasons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waits = [
        Wait(node_id=f"n{number}", kind=Wait.ATTEMPT, phase=TaskPhases.QUEUED, reason=f"{number} " + "x" * 1000)
        for number in range(8000)
    ]
    answer = ListWaitsResponse(waits=waits)
    assert answer.ByteSize() > 4 * 1024 * 1024, "more than gRPC takes unless it is told to"
    finding = await _why(monkeypatch, tmp_path, {f"{_ADMIN}GetExecution": _running(), _WAITS: answer})
    assert len(finding.behind) == 21
    assert finding.behind[-1].why == "and 7980 more nodes that wait"


async def test_elements_whose_children_are_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waits = [
        Wait(node_id=f"n0-0-{n}", parent_node_id="n0", element=n, kind=Wait.CHILD_EXECUTION, name=f"child{n}")
        for n in range(30)
    ]
    answers = {f"{_ADMIN}GetExecution": _running(), _WAITS: ListWaitsResponse(waits=waits)}
    finding = await _why(monkeypatch, tmp_path, answers)
    (elements,) = finding.behind
    assert elements.name == "0-29 of node n0"
    assert elements.why == "wait for executions of their own"
    assert len(elements.behind) == 21
    assert elements.behind[-1].why == "and 10 more executions"


async def test_last_attempt_of_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def attempts(request: TaskExecutionListRequest) -> TaskExecutionList:
        first = int(request.token or 0)
        last = min(first + request.limit, 150)
        page = TaskExecutionList(token=str(last) if last < 150 else "")
        for number in range(first, last):
            task = TaskExecution()
            task.id.retry_attempt = number
            task.closure.phase = TaskPhases.RUNNING if number == 149 else TaskPhases.FAILED
            page.task_executions.append(task)
        return page

    answers = {
        f"{_ADMIN}GetExecution": _running(),
        f"{_ADMIN}ListTaskExecutions": attempts,
        _WAITS: ListWaitsResponse(waits=[Wait(node_id="n0", kind=Wait.ATTEMPT, attempt=149)]),
    }
    finding = await _why(monkeypatch, tmp_path, answers)
    (node,) = finding.behind
    assert (node.behind[-1].name, node.behind[-1].phase) == ("149", "RUNNING")


async def test_messages_cannot_command_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message = "\r\nred: \x1b[31mno\x1b[0m\x07 \x00 end\x9b2J"
    finding = await _why(monkeypatch, tmp_path, {f"{_ADMIN}GetExecution": _failed(message)})
    assert message in finding.why, "programs get what was said"
    (line,) = _lines(finding)
    assert line.isprintable()
    assert "red: " in line
    assert " end" in line
