"""SignalService, call by call, against workflows that consist of gate nodes alone (admin-contract §1.11)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2, node_execution_pb2, signal_pb2, workflow_pb2
from flyteidl.admin.common_pb2 import Sort
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from flyteidl.service import admin_pb2_grpc, signal_pb2_grpc

Code = grpc.StatusCode
Phase = core_execution_pb2.WorkflowExecution
NodePhase = core_execution_pb2.NodeExecution
PLACE = {"project": "flytesnacks", "domain": "development"}
VERSION = "signals-1"
INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)


@pytest.fixture(scope="module")
def channel(stack: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def admin(channel: grpc.Channel) -> Any:
    return admin_pb2_grpc.AdminServiceStub(channel)


@pytest.fixture(scope="module")
def signals(channel: grpc.Channel) -> Any:
    return signal_pb2_grpc.SignalServiceStub(channel)


def gate(node_id: str, signal_id: str, *, after: str = "") -> core_workflow_pb2.Node:
    signal = core_workflow_pb2.SignalCondition(signal_id=signal_id, type=INTEGER, output_variable_name="o0")
    node = core_workflow_pb2.Node(id=node_id, gate_node=core_workflow_pb2.GateNode(signal=signal))
    if after:
        node.upstream_node_ids.append(after)
    return node


@pytest.fixture(scope="module")
def start(admin: Any) -> Callable[..., Any]:
    """Registers a workflow of these nodes, and starts it."""

    def started(*nodes: core_workflow_pb2.Node) -> identifier_pb2.WorkflowExecutionIdentifier:
        name = f"contract.gates.{uuid4().hex[:12]}"
        kinds = identifier_pb2.ResourceType
        ids = {
            kind: identifier_pb2.Identifier(resource_type=kinds.Value(kind), name=name, version=VERSION, **PLACE)
            for kind in ("WORKFLOW", "LAUNCH_PLAN")
        }
        template = core_workflow_pb2.WorkflowTemplate(id=ids["WORKFLOW"], nodes=nodes)
        template.interface.SetInParent()
        spec = workflow_pb2.WorkflowSpec(template=template)
        admin.CreateWorkflow(workflow_pb2.WorkflowCreateRequest(id=ids["WORKFLOW"], spec=spec))
        plan = launch_plan_pb2.LaunchPlanSpec(workflow_id=ids["WORKFLOW"])
        admin.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=ids["LAUNCH_PLAN"], spec=plan))
        request = execution_pb2.ExecutionCreateRequest(spec={"launch_plan": ids["LAUNCH_PLAN"]}, **PLACE)
        return admin.CreateExecution(request).id

    return started


def refused(call: Any, request: Any) -> tuple[Code, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value.code(), caught.value.details()  # type: ignore[attr-defined]


def until(found: Callable[[], Any]) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    pytest.fail("it never came to be")


def listed(signals: Any, execution: Any, **request: Any) -> signal_pb2.SignalList:
    return signals.ListSignals(
        signal_pb2.SignalListRequest(workflow_execution_id=execution, **({"limit": 100} | request))
    )


def ids(answer: signal_pb2.SignalList) -> list[str]:
    return [signal.id.signal_id for signal in answer.signals]


def of(execution: Any, signal_id: str) -> identifier_pb2.SignalIdentifier:
    return identifier_pb2.SignalIdentifier(signal_id=signal_id, execution_id=execution)


def integer(value: int) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar={"primitive": {"integer": value}})  # type: ignore[arg-type]


def give(signals: Any, execution: Any, signal_id: str, value: literals_pb2.Literal) -> None:
    signals.SetSignal(signal_pb2.SignalSetRequest(id=of(execution, signal_id), value=value))


def ended(admin: Any, execution: Any) -> Any:
    request = execution_pb2.WorkflowExecutionGetRequest(id=execution)
    final = (Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED)
    return until(lambda: (found := admin.GetExecution(request)).closure.phase in final and found)


def test_a_signal_is_listed_while_its_gate_waits_and_after(signals: Any, admin: Any, start: Callable[..., Any]) -> None:
    execution = start(gate("n0", "first"), gate("n1", "second", after="n0"))
    (signal,) = until(lambda: listed(signals, execution).signals)
    assert signal == signal_pb2.Signal(id=of(execution, "first"), type=INTEGER)
    give(signals, execution, "first", integer(41))
    second = until(lambda: [one for one in listed(signals, execution).signals if one.id.signal_id == "second"])
    assert not second[0].HasField("value")
    give(signals, execution, "second", integer(2))
    assert ended(admin, execution).closure.phase == Phase.SUCCEEDED
    assert {one.id.signal_id: one.value for one in listed(signals, execution).signals} == {
        "first": integer(41),
        "second": integer(2),
    }
    node = core_node(execution, "n0")
    data = admin.GetNodeExecutionData(node_execution_pb2.NodeExecutionGetDataRequest(id=node))
    assert data.full_outputs.literals == {"o0": integer(41)}


def core_node(execution: Any, node_id: str) -> identifier_pb2.NodeExecutionIdentifier:
    return identifier_pb2.NodeExecutionIdentifier(node_id=node_id, execution_id=execution)


def test_a_page_of_signals_at_a_time(signals: Any, start: Callable[..., Any]) -> None:
    execution = start(*(gate(f"n{i}", f"s{i}") for i in range(5)))
    until(lambda: len(listed(signals, execution).signals) == 5)
    found, token = [], ""
    for count in (2, 2, 1):
        answer = listed(signals, execution, limit=2, token=token)
        assert len(answer.signals) == count
        found += ids(answer)
        token = answer.token
    assert (found, token) == ([f"s{i}" for i in range(5)], "")
    ordered = listed(signals, execution, sort_by=Sort(key="signal_id", direction=Sort.DESCENDING))
    assert ids(ordered) == [f"s{i}" for i in reversed(range(5))]
    assert ids(listed(signals, execution, filters="eq(signal_id,s3)")) == ["s3"]
    assert ids(listed(signals, execution, filters="value_in(signal.signal_id,s1;s4)")) == ["s1", "s4"]
    assert ids(listed(signals, execution, filters="eq(execution_name,other)")) == []
    for filters in ("eq(value,1)", "eq(e.phase,RUNNING)"):
        request = signal_pb2.SignalListRequest(workflow_execution_id=execution, limit=1, filters=filters)
        assert refused(signals.ListSignals, request)[0] == Code.INVALID_ARGUMENT


def test_a_value_must_be_of_the_signals_type(signals: Any, start: Callable[..., Any]) -> None:
    execution = start(gate("n0", "s"))
    until(lambda: listed(signals, execution).signals)
    text = literals_pb2.Literal(scalar={"primitive": {"string_value": "x"}})  # type: ignore[arg-type]
    for value in (text, literals_pb2.Literal(), literals_pb2.Literal(scalar={"none_type": {}})):  # type: ignore[arg-type]
        code, message = refused(signals.SetSignal, signal_pb2.SignalSetRequest(id=of(execution, "s"), value=value))
        assert code == Code.INVALID_ARGUMENT
        assert "signal [s], which is of type [simple:INTEGER]" in message
    assert not listed(signals, execution).signals[0].HasField("value")


def test_a_signal_that_no_gate_asked_for_is_an_invalid_argument(signals: Any, start: Callable[..., Any]) -> None:
    execution = start(gate("n0", "s"), gate("n1", "later", after="n0"))
    until(lambda: listed(signals, execution).signals)
    for signal_id in ("later", "other"):
        request = signal_pb2.SignalSetRequest(id=of(execution, signal_id), value=integer(1))
        code, message = refused(signals.SetSignal, request)
        assert code == Code.INVALID_ARGUMENT
        assert message == (
            f"failed to validate that signal [{{{{flytesnacks development {execution.name}}} {signal_id}}}] exists, "
            "err: [signal does not exist]"
        )


def test_a_signal_may_be_created_before_its_gate_asks_for_it(
    signals: Any, admin: Any, start: Callable[..., Any]
) -> None:
    execution = start(gate("n0", "s"), gate("n1", "later", after="n0"))
    request = signal_pb2.SignalGetOrCreateRequest(id=of(execution, "later"), type=INTEGER)
    created = signals.GetOrCreateSignal(request)
    assert created == signal_pb2.Signal(id=of(execution, "later"), type=INTEGER)
    assert signals.GetOrCreateSignal(request) == created
    text = types_pb2.LiteralType(simple=types_pb2.STRING)
    other = signal_pb2.SignalGetOrCreateRequest(id=of(execution, "later"), type=text)
    assert refused(signals.GetOrCreateSignal, other)[0] == Code.ALREADY_EXISTS
    give(signals, execution, "later", integer(5))
    assert signals.GetOrCreateSignal(request).value == integer(5)
    until(lambda: "s" in ids(listed(signals, execution)))
    give(signals, execution, "s", integer(6))
    assert ended(admin, execution).closure.phase == Phase.SUCCEEDED


def test_a_signal_of_what_has_ended_can_still_be_set(signals: Any, admin: Any, start: Callable[..., Any]) -> None:
    execution = start(gate("n0", "s"))
    until(lambda: listed(signals, execution).signals)
    admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=execution, cause="enough"))
    assert ended(admin, execution).closure.phase == Phase.ABORTED
    give(signals, execution, "s", integer(5))
    assert listed(signals, execution).signals[0].value == integer(5)
    node = admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=core_node(execution, "n0")))
    assert node.closure.phase == NodePhase.ABORTED


def test_a_large_value_arrives_whole(signals: Any, admin: Any, start: Callable[..., Any]) -> None:
    """Beyond what the log keeps in a message."""
    node = gate("n0", "s")
    node.gate_node.signal.type.simple = types_pb2.STRING
    execution = start(node)
    until(lambda: listed(signals, execution).signals)
    large = literals_pb2.Literal(scalar={"primitive": {"string_value": "x" * 1_500_000}})  # type: ignore[arg-type]
    give(signals, execution, "s", large)
    assert ended(admin, execution).closure.phase == Phase.SUCCEEDED
    assert listed(signals, execution).signals[0].value == large


NOWHERE = identifier_pb2.WorkflowExecutionIdentifier(name="nowhere", **PLACE)
CREATE, SET = signal_pb2.SignalGetOrCreateRequest, signal_pb2.SignalSetRequest


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (CREATE(), Code.INVALID_ARGUMENT, "missing id"),
        (CREATE(id=of(None, "s"), type=INTEGER), Code.INVALID_ARGUMENT, "missing execution_id"),
        (CREATE(id=of(NOWHERE, ""), type=INTEGER), Code.INVALID_ARGUMENT, "missing signal_id"),
        (CREATE(id=of(NOWHERE, "s")), Code.INVALID_ARGUMENT, "missing type"),
        (CREATE(id=of(NOWHERE, "a\0b"), type=INTEGER), Code.INVALID_ARGUMENT, "invalid value for signal_id"),
        (CREATE(id=of(NOWHERE, "s"), type=INTEGER), Code.NOT_FOUND, "missing entity of type execution"),
        (SET(), Code.INVALID_ARGUMENT, "missing id"),
        (SET(id=of(None, "s")), Code.INVALID_ARGUMENT, "missing execution_id"),
        (SET(id=of(NOWHERE, "")), Code.INVALID_ARGUMENT, "missing signal_id"),
        (SET(id=of(NOWHERE, "s")), Code.INVALID_ARGUMENT, "missing value"),
        (SET(id=of(NOWHERE, "s"), value=integer(1)), Code.INVALID_ARGUMENT, "signal does not exist"),
    ],
)
def test_what_is_refused(request_: Any, code: Code, message: str, signals: Any) -> None:
    call = signals.SetSignal if isinstance(request_, SET) else signals.GetOrCreateSignal
    found, said = refused(call, request_)
    assert found == code
    assert message in said
