"""Executions as of random moments of their lives: what is answered is what was answered then, field by field."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin import execution_pb2, signal_pb2
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import SignalIdentifier
from flyteidl.core.literals_pb2 import Literal
from flyteidl.service import admin_pb2_grpc, signal_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.stack_process import StackProcess
from flightlog_protos.history.v1.state_pb2 import GetStateAtRequest
from flightlog_rpc import METHODS
from tests.integration.history.recorded import Answered, Execution, Recorder, Times, opened, subject_of

_ENDED = {WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED}
_CHECKED = 200
_LOOK_SECONDS = 0.1
Recording = tuple[list[Execution], list[Answered]]


@pytest.fixture(scope="module")
def recording(
    stack: StackProcess, remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]
) -> Recording:
    """Executions of all kinds, and what was answered about them while they ran."""
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        ("explained", "waiting", {"x": 7}),
        ("basics", "chain", {"x": 2}),
        ("basics", "failing", {}),
        ("basics", "retried", {}),
        ("maps", "doubling", {"xs": [1, 2, 3]}),
        ("dynamics", "counting", {"n": 2}),
    ]
    entities = [register(getattr(workflow_module(module), name)) for module, name, _ in wanted]
    begun = [
        remote.execute(entity, inputs=inputs).id.to_flyte_idl()
        for entity, (_, _, inputs) in zip(entities, wanted, strict=True)
    ]
    return begun, asyncio.run(_record(stack, begun))


async def _record(stack: StackProcess, executions: list[Execution]) -> list[Answered]:
    """Records until all have ended; the first one by a signal and an abort, and is archived then."""
    async with opened(stack.grpc, stack.data) as (api, log):
        recorder = Recorder(api, log, executions, Random(5))
        waiting, *others = executions
        with grpc.insecure_channel(stack.grpc) as channel:
            admin = admin_pb2_grpc.AdminServiceStub(channel)
            deadline = time.monotonic() + 120
            while not all(recorder.phases.get(one.name) in _ENDED for one in others) or not _asks(recorder):
                await recorder.once()
                assert time.monotonic() < deadline, recorder.phases
                await asyncio.sleep(_LOOK_SECONDS)  # what is asked takes its time from what is to run
            signal_pb2_grpc.SignalServiceStub(channel).SetSignal(
                signal_pb2.SignalSetRequest(
                    id=SignalIdentifier(signal_id="go", execution_id=waiting),
                    value=Literal(scalar={"primitive": {"integer": 5}}),
                )
            )
            await recorder.once()
            admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=waiting, cause="enough"))
            while recorder.phases.get(waiting.name) not in _ENDED:
                await recorder.once()
                assert time.monotonic() < deadline, recorder.phases
            archived = execution_pb2.EXECUTION_ARCHIVED
            admin.UpdateExecution(execution_pb2.ExecutionUpdateRequest(id=waiting, state=archived))
        await recorder.once()
        return recorder.answered


def _asks(recorder: Recorder) -> bool:
    """Whether a gate of the first execution waits for its signal."""
    return any(one.name == "ListSignals" and one.answer.signals for one in recorder.answered)


async def test_reads_as_of_random_moments_answer_what_was_answered_then(
    stack: StackProcess, recording: Recording
) -> None:
    _, answered = recording
    random = Random(6)
    async with opened(stack.grpc, stack.data) as (api, log):
        times = await Times.of(log, "EXECUTION")
        by_time = 0
        for one in random.sample(answered, min(_CHECKED, len(answered))):
            sequence, moment = times.moments(one, random)
            assert await api.answer(one.name, one.request, str(sequence)) == one.answer, (one.name, sequence)
            if moment is not None:
                assert await api.answer(one.name, one.request, moment) == one.answer, (one.name, moment)
                by_time += 1
    assert by_time > _CHECKED / 4


def test_all_kinds_of_reads_were_recorded_in_all_phases(recording: Recording) -> None:
    """Else nothing is said of what the past is compared with."""
    executions, answered = recording
    assert len(answered) > _CHECKED / 2
    counts = Counter(one.name for one in answered)
    assert set(counts) == {
        *("GetExecution", "GetExecutionData", "ListExecutions", "ListNodeExecutions", "GetNodeExecution"),
        *("GetNodeExecutionData", "GetDynamicNodeWorkflow", "ListTaskExecutions", "GetTaskExecution"),
        *("GetTaskExecutionData", "ListSignals", "ListNodeExecutionsForTask", "GetData"),
    }
    phases = {one.answer.closure.phase for one in answered if one.name == "GetExecution"}
    assert phases >= {WorkflowExecution.RUNNING, *_ENDED}
    moments = {one.sequence for one in answered}
    # More than how each of them ended; how many more depends on what else the machine has to do.
    assert len(moments) > len(executions)


async def test_before_it_was_created_there_is_no_execution(stack: StackProcess, recording: Recording) -> None:
    (execution, *_), _ = recording
    request = execution_pb2.WorkflowExecutionGetRequest(id=execution)
    async with opened(stack.grpc, stack.data) as (api, log):
        created, second = (await log.load(subject_of(execution)))[:2]
        extent = await log.extent("EXECUTION")
        if created.sequence > extent.first:
            code, _ = await api.answer("GetExecution", request, str(created.sequence - 1))
            assert code is grpc.StatusCode.NOT_FOUND
        for sequence in (created.sequence, second.sequence - 1):
            found = await api.answer("GetExecution", request, str(sequence))
            assert found.closure.phase == WorkflowExecution.UNDEFINED
        for moment, words in (
            (str(extent.first - 1), f"begins at {extent.first}"),
            ("2001-01-01T00:00:00Z", f"begins at {extent.began.ToJsonString()}"),
            (str(10**18), "ends at"),
            (f"{time.gmtime().tm_year + 2}-01-01T00:00:00Z", "is yet to come"),
        ):
            code, sentence = await api.answer("GetExecution", request, moment)
            assert code is grpc.StatusCode.OUT_OF_RANGE, moment
            assert words in sentence
        changing = execution_pb2.ExecutionTerminateRequest(id=execution)
        code, _ = await api.answer("TerminateExecution", changing, str(created.sequence))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        code, _ = await api.answer("GetExecution", request, "yesterday")
        assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unmodified_flyte_remote_reads_the_past(stack: StackProcess, remote: Any, recording: Recording) -> None:
    """With the lines of docs/history-api.md."""
    from flytekit.remote import FlyteRemote

    (_, chain, *_), _ = recording
    namespace: dict[str, Any] = {}
    page = (Path(__file__).parents[3] / "docs" / "history-api.md").read_text()
    section = page.partition("## How it was")[2].partition("\n## ")[0]
    exec(section.partition("```python\n")[2].partition("```")[0], namespace)

    now = remote.fetch_execution(name=chain.name)
    nodes = remote.sync_execution(now, sync_nodes=True).node_executions
    middle = nodes["n1"].closure.started_at
    assert middle is not None
    moment = f"{middle.isoformat(timespec='microseconds').removesuffix('+00:00')}Z"
    past = FlyteRemote(remote.config, default_project=chain.project, default_domain=chain.domain)
    namespace["as_of"](past, moment)
    then = past.sync_execution(past.fetch_execution(name=chain.name), sync_nodes=True)
    assert now.closure.phase == WorkflowExecution.SUCCEEDED
    assert then.closure.phase == WorkflowExecution.RUNNING
    assert set(then.node_executions) < set(nodes)
    assert then.node_executions["n0"].closure.phase == NodeExecution.RUNNING, "its end and this start are one decision"
    assert then.node_executions["n0"].closure.updated_at <= middle
    assert not then.is_done
    assert then.inputs is not None
    assert then.inputs["x"] == 2


async def test_state_at_is_what_the_reads_answer(stack: StackProcess, recording: Recording) -> None:
    executions, answered = recording
    random = Random(9)
    full = "/flightlog.history.v1.HistoryService/GetStateAt"
    async with opened(stack.grpc, stack.data) as (api, log), grpc.aio.insecure_channel(stack.grpc) as channel:
        get = channel.unary_unary(
            full,
            request_serializer=GetStateAtRequest.SerializeToString,
            response_deserializer=METHODS[full].response.FromString,
        )
        whole = [one for one in answered if one.name in ("GetExecution", "ListTaskExecutions", "GetNodeExecution")]
        for one in random.sample(whole, 40):
            execution = next(item for item in executions if subject_of(item) in one.of)
            state = await get(GetStateAtRequest(id=execution, sequence=one.sequence))
            records = await log.load(subject_of(execution), until=one.sequence)
            assert state.sequence == one.sequence == records[-1].sequence
            assert state == await get(GetStateAtRequest(id=execution, position=state.position))
            assert state == await get(GetStateAtRequest(id=execution, time=records[-1].envelope.recorded_at))
            match one.name:
                case "GetExecution":
                    assert state.execution == one.answer
                case "GetNodeExecution":
                    (node,) = [item.node for item in state.nodes if item.node.id == one.answer.id]
                    assert node == one.answer
                case _ if not one.request.filters:
                    found = [item for item in state.nodes if item.node.id == one.request.node_execution_id]
                    assert [task for item in found for task in item.attempts] == list(one.answer.task_executions)
                case _:
                    pass
        records = await log.load(subject_of(executions[1]))
        first, later = records[0], records[3]
        request = GetStateAtRequest(id=executions[1])
        request.elapsed.FromNanoseconds(
            later.envelope.occurred_at.ToNanoseconds() - first.envelope.occurred_at.ToNanoseconds()
        )
        assert (await get(request)).position >= 4
        assert (await get(GetStateAtRequest(id=executions[1]))).position == records[-1].envelope.position
        for wrong in (
            GetStateAtRequest(id=executions[1], position=0),
            GetStateAtRequest(id=executions[1], position=len(records) + 1),
            GetStateAtRequest(id=executions[1], sequence=10**18),
            GetStateAtRequest(id=executions[1], time=Timestamp(seconds=1)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await get(wrong)
            assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await get(GetStateAtRequest(id=Execution(project="p", domain="d", name="nobody")))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert api is not None


def test_the_command_draws_it(stack: StackProcess, recording: Recording) -> None:
    (_, chain, *_), _ = recording
    end = stack.cli("at", chain.name, "+100000")
    assert end.returncode == 0, end.stderr
    lines = end.stdout.splitlines()
    assert lines[0].startswith(f"execution flytesnacks/development/{chain.name} SUCCEEDED in ")
    (sub,) = [number for number, line in enumerate(lines) if line.startswith("├─ n1 SUCCEEDED")]
    assert lines[sub + 1].startswith("│  ├─ n1-0-"), "the nodes of the sub-workflow"
    begin = stack.cli_json("at", chain.name, "#1")
    assert begin["position"] == "1"
    assert "nodes" not in begin
    refused = stack.cli("at", chain.name, "2001-01-01T00:00:00Z")
    assert refused.returncode == 1
    assert "OUT_OF_RANGE" in refused.stderr
