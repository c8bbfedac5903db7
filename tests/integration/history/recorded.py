"""What the API answered while executions ran, each answer with the events that it is made from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import grpc
import grpc.aio
from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2, signal_pb2, task_execution_pb2
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.service import dataproxy_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.access import Access, open_log
from flightlog_log import Log, Recorded, Subject
from flightlog_rpc import METHODS, as_of
from flightlog_types.urls import node_urls

_SERVICES = tuple(f"/flyteidl.service.{name}/" for name in ("AdminService", "SignalService", "DataProxyService"))
_NEWEST = common_pb2.Sort(key="updated_at", direction=common_pb2.Sort.DESCENDING)

Execution = WorkflowExecutionIdentifier


@dataclass(frozen=True)
class Answered:
    """A call, what was answered, and the sequence of the last event of these executions when it was."""

    name: str
    request: Any
    of: tuple[str, ...]
    sequence: int
    answer: Any


class Api:
    """The public port, asked as of now or of a moment."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def answer(self, name: str, request: Any, moment: str = "") -> Any:
        """The response, or the status and sentence of a refusal."""
        full = next(service + name for service in _SERVICES if service + name in METHODS)
        stub = self._channel.unary_unary(
            full,
            request_serializer=METHODS[full].request.SerializeToString,
            response_deserializer=METHODS[full].response.FromString,
        )
        try:
            return await stub(request, metadata=((as_of.METADATA, moment),) if moment else ())
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details()


@asynccontextmanager
async def opened(endpoint: str, folder: Path) -> AsyncGenerator[tuple[Api, Log]]:
    """The public port of a stack, and its log."""
    async with grpc.aio.insecure_channel(endpoint) as channel, open_log(Access.of(folder)) as log:
        yield Api(channel), log


def subject_of(identifier: Execution) -> str:
    return str(Subject.of("EXECUTION", identifier.project, identifier.domain, identifier.name))


@dataclass
class Recorder:
    """Asks about executions again and again, and keeps what was answered."""

    api: Api
    log: Log
    executions: Sequence[Execution]
    random: Random
    answered: list[Answered] = field(default_factory=list[Answered])
    nodes: dict[str, dict[str, node_execution_pb2.NodeExecution]] = field(
        default_factory=dict[str, dict[str, node_execution_pb2.NodeExecution]]
    )
    phases: dict[str, int] = field(default_factory=dict[str, int])
    _last: dict[str, int] = field(default_factory=dict[str, int])
    """The last sequence of each execution that was asked about."""

    async def once(self) -> None:
        """Everything there is to ask about the executions as a whole, and part of what there is about their nodes."""
        for request in self._lists():
            await self._ask("ListExecutions", request, self.executions)
        for execution in self.executions:
            for name, request in self._about(execution):
                answer = await self._ask(name, request, [execution])
                if isinstance(answer, node_execution_pb2.NodeExecutionList):
                    known = self.nodes.setdefault(execution.name, {})
                    known.update((node.id.node_id, node) for node in answer.node_executions)
                if isinstance(answer, execution_pb2.Execution):
                    self.phases[execution.name] = answer.closure.phase

    def _lists(self) -> Iterator[common_pb2.ResourceListRequest]:
        place = self.executions[0]
        names = f"value_in(name,{';'.join(one.name for one in self.executions)})"
        identifier = common_pb2.NamedEntityIdentifier(project=place.project, domain=place.domain)
        for filters in (names, f"{names}+value_in(phase,RUNNING;FAILED)", f"{names}+eq(state,1)"):
            yield common_pb2.ResourceListRequest(id=identifier, filters=filters, limit=100)
        yield common_pb2.ResourceListRequest(id=identifier, filters=names, limit=3, sort_by=_NEWEST)

    def _about(self, execution: Execution) -> Iterator[tuple[str, Any]]:
        yield "GetExecution", execution_pb2.WorkflowExecutionGetRequest(id=execution)
        yield "GetExecutionData", execution_pb2.WorkflowExecutionGetDataRequest(id=execution)
        yield "ListSignals", signal_pb2.SignalListRequest(workflow_execution_id=execution, limit=10)
        nodes = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=execution, limit=100)
        yield "ListNodeExecutions", nodes
        filtered = "value_in(phase,RUNNING;DYNAMIC_RUNNING;SUCCEEDED)+ne(execution.phase,SUCCEEDED)"
        yield (
            "ListNodeExecutions",
            node_execution_pb2.NodeExecutionListRequest(
                workflow_execution_id=execution, limit=2, filters=filtered, sort_by=_NEWEST
            ),
        )
        known = self.nodes.get(execution.name, {})
        for node_id in self.random.sample(sorted(known), min(3, len(known))):
            yield from self._about_node(NodeExecutionIdentifier(execution_id=execution, node_id=node_id))
        for node in [node for node in known.values() if node.metadata.is_parent_node]:
            below = node_execution_pb2.NodeExecutionListRequest(
                workflow_execution_id=execution, limit=100, unique_parent_id=node.id.node_id
            )
            yield "ListNodeExecutions", below

    def _about_node(self, identifier: NodeExecutionIdentifier) -> Iterator[tuple[str, Any]]:
        yield "GetNodeExecution", node_execution_pb2.NodeExecutionGetRequest(id=identifier)
        yield "GetNodeExecutionData", node_execution_pb2.NodeExecutionGetDataRequest(id=identifier)
        yield "GetData", dataproxy_pb2.GetDataRequest(flyte_url=node_urls(identifier, deck=False).outputs)
        yield "GetDynamicNodeWorkflow", node_execution_pb2.GetDynamicNodeWorkflowRequest(id=identifier)
        attempts = task_execution_pb2.TaskExecutionListRequest(node_execution_id=identifier, limit=10)
        yield "ListTaskExecutions", attempts
        attempts = task_execution_pb2.TaskExecutionListRequest(
            node_execution_id=identifier, limit=10, filters="ne(phase,FAILED)+eq(node_execution.phase,RUNNING)"
        )
        yield "ListTaskExecutions", attempts
        for answered in reversed(self.answered):
            if answered.name == "ListTaskExecutions" and answered.request.node_execution_id == identifier:
                for task in answered.answer.task_executions:
                    yield "GetTaskExecution", task_execution_pb2.TaskExecutionGetRequest(id=task.id)
                    yield "GetTaskExecutionData", task_execution_pb2.TaskExecutionGetDataRequest(id=task.id)
                    below = node_execution_pb2.NodeExecutionForTaskListRequest(task_execution_id=task.id, limit=1)
                    yield "ListNodeExecutionsForTask", below
                break

    async def _ask(self, name: str, request: Any, about: Sequence[Execution]) -> Any:
        """Keeps the answer if nothing happened meanwhile to what it is about: else who knows what it is made from.

        What was last seen on the log before is known from the answer before this one, unless something happened since.
        """
        of = tuple(subject_of(one) for one in about)
        answer: Any = None
        for _ in range(2):
            before = [self._last.get(subject) for subject in of]
            answer = await self.api.answer(name, request)
            after = [await self.log.last_sequence(subject) for subject in of]
            self._last.update(zip(of, after, strict=True))
            if before == after:
                self.answered.append(Answered(name, request, of, max(after), answer))
                break
        return answer


class Times:
    """When events of a stream were recorded."""

    def __init__(self, records: Sequence[Recorded]) -> None:
        self._records = records
        self._sequences = [record.sequence for record in records]
        times = [record.envelope.recorded_at.ToNanoseconds() for record in records]
        # The latest of all up to a place, and the earliest from there on: clocks are read before envelopes are stored.
        self._latest = list(accumulate(times, max))
        self._earliest = list(accumulate(reversed(times), min))[::-1]

    @staticmethod
    async def of(log: Log, stream: str) -> Times:
        return Times(
            [
                record
                async for batch in log.follow(stream, after=0, live=False)
                for record in batch
                if isinstance(record, Recorded)
            ]
        )

    def moments(self, answered: Answered, random: Random) -> tuple[int, str | None]:
        """A sequence and a time at which everything was as it was for this answer.

        None where no time tells its events from the next one.
        """
        first = bisect_right(self._sequences, answered.sequence)
        following = next(
            (place for place in range(first, len(self._records)) if self._records[place].subject in answered.of), None
        )
        last = self._records[-1].sequence if following is None else self._sequences[following] - 1
        sequence = random.randint(answered.sequence, last)
        begin = self._latest[first - 1]
        end = self._latest[-1] if following is None else self._earliest[following] - 1
        if end < begin:
            return sequence, None
        moment = Timestamp()
        moment.FromNanoseconds(random.randint(begin, end))
        return sequence, moment.ToJsonString()
