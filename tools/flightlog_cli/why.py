"""Why an execution does not get on, or why it failed: asked of the public API, told as a tree.

The tree goes from what everybody sees to what is behind it: an execution, its nodes, their attempts, the last words of
those; a child execution is a tree of its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

import grpc
import grpc.aio
from flyteidl.admin.execution_pb2 import Execution, WorkflowExecutionGetRequest
from flyteidl.admin.node_execution_pb2 import NodeExecution, NodeExecutionListRequest
from flyteidl.admin.task_execution_pb2 import TaskExecution, TaskExecutionListRequest
from flyteidl.core.execution_pb2 import ExecutionError, TaskLog, WorkflowExecution
from flyteidl.core.execution_pb2 import NodeExecution as NodePhases
from flyteidl.core.execution_pb2 import TaskExecution as TaskPhases
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.admin import ServiceCalls
from flightlog_protos.execution.v1.queue_service_pb2 import ListWaitsRequest, Wait

# Nodes, and elements of arrays, that are told one by one; of the others their number.
_MOST_NODES: Final = 20
_LAST_REASONS: Final = 4
_DEEPEST: Final = 16
_PAGE: Final = 100

_WAITING: Final = "flightlog.waiting"
_OVER: Final = frozenset(
    {
        WorkflowExecution.SUCCEEDED,
        WorkflowExecution.FAILED,
        WorkflowExecution.ABORTED,
        WorkflowExecution.TIMED_OUT,
    }
)
_FAILED: Final = "value_in(phase,FAILED;TIMED_OUT)"


@dataclass(slots=True)
class Finding:
    """One thing that is known, and what is behind it."""

    what: str
    """`execution`, `node`, `elements`, `attempt`, `reason`, `log` or `more`."""
    name: str = ""
    """Of the execution or node; number of the attempt."""
    phase: str = ""
    why: str = ""
    since: datetime | None = None
    """When it came to be so."""
    until: datetime | None = None
    """When it will be over by itself."""
    behind: list[Finding] = field(default_factory=lambda: list[Finding]())

    def document(self) -> dict[str, Any]:
        """As JSON: what is empty is left out."""
        times = {"since": self.since, "until": self.until}
        told: Mapping[str, Any] = {
            "what": self.what,
            "name": self.name,
            "phase": self.phase,
            "why": self.why,
            **{name: at.isoformat() for name, at in times.items() if at is not None},
            "behind": [finding.document() for finding in self.behind],
        }
        return {name: value for name, value in told.items() if value}

    def lines(self, now: datetime) -> Iterator[str]:
        """As a tree of text."""
        yield self._line(now)
        for finding in self.behind:
            first, rest = ("└─ ", "   ") if finding is self.behind[-1] else ("├─ ", "│  ")
            for number, line in enumerate(finding.lines(now)):
                yield (rest if number else first) + line

    def _line(self, now: datetime) -> str:
        if self.what in ("reason", "log", "more"):
            at = f"{self.since.astimezone():%H:%M:%S} " if self.since is not None else ""
            return at + _one_line(self.why)
        subject = " ".join(part for part in (self.what, self.name, self.phase) if part)
        if self.since is not None:
            subject += f" for {_length(now, self.since)}"
        if self.until is not None and self.until > now:
            subject += f", {_length(self.until, now)} to go"
        return f"{subject}: {_one_line(self.why)}" if self.why else subject


class Explanations:
    """Asks the services."""

    def __init__(self, admin: AdminServiceStub, queues: ServiceCalls) -> None:
        self._admin = admin
        self._queues = queues

    async def of(self, identifier: WorkflowExecutionIdentifier, *, depth: int = 0) -> Finding:
        """What holds for an execution now. Children that run deeper than 16 levels down are only named."""
        execution: Execution = await self._admin.GetExecution(WorkflowExecutionGetRequest(id=identifier))
        closure = execution.closure
        finding = Finding("execution", _path(identifier))
        finding.phase = WorkflowExecution.Phase.Name(closure.phase)
        if closure.phase not in _OVER:
            finding.since = _time(closure.started_at if closure.HasField("started_at") else closure.created_at)
        if closure.HasField("abort_metadata"):
            aborted = closure.abort_metadata
            finding.why = f"{aborted.cause} ({aborted.principal})" if aborted.principal else aborted.cause
        elif closure.HasField("error"):
            finding.why = _error(closure.error)
        elif closure.phase == WorkflowExecution.QUEUED:
            finding.why = execution.spec.annotations.values.get(_WAITING, "")
        if depth >= _DEEPEST:
            return finding
        if closure.phase != WorkflowExecution.SUCCEEDED:
            finding.behind += await self._failed(identifier, "", depth)
        if closure.phase not in _OVER:
            finding.behind += await self._waits(identifier, depth)
        return finding

    async def _failed(self, identifier: WorkflowExecutionIdentifier, parent: str, depth: int) -> list[Finding]:
        """The nodes that failed, the first first; of an execution, or inside one of its nodes."""
        nodes = [node for node in await self._nodes(identifier, parent) if node.closure.HasField("error")]
        nodes.sort(key=lambda node: node.closure.updated_at.ToNanoseconds())
        return [await self._failed_node(node, depth) for node in nodes[:_MOST_NODES]] + _more(nodes, "failed nodes")

    async def _failed_node(self, node: NodeExecution, depth: int) -> Finding:
        closure = node.closure
        finding = Finding("node", _named(node), NodePhases.Phase.Name(closure.phase), _error(closure.error))
        execution = node.id.execution_id
        finding.behind += await self._attempts(execution, node.id.node_id)
        if closure.workflow_node_metadata.HasField("executionId"):
            finding.behind.append(await self._child(closure.workflow_node_metadata.executionId, depth))
        if node.metadata.is_parent_node:
            finding.behind += await self._failed(execution, node.id.node_id, depth)
        return finding

    async def _attempts(self, identifier: WorkflowExecutionIdentifier, node_id: str) -> list[Finding]:
        """The attempts of a node; of the last one its last words too."""
        tasks = await self._tasks(identifier, node_id)
        findings = [_attempt(task) for task in tasks]
        if tasks:
            findings[-1].behind += _last_words(tasks[-1])
        return findings

    async def _waits(self, identifier: WorkflowExecutionIdentifier, depth: int) -> list[Finding]:
        answer = await self._queues.ListWaits(ListWaitsRequest(id=identifier))
        waits: list[Wait] = list(answer.waits)
        plain = [wait for wait in waits if not wait.HasField("element")]
        findings = [await self._wait(identifier, wait, depth) for wait in plain[:_MOST_NODES]]
        findings += _more(plain, "nodes that wait")
        elements = [wait for wait in waits if wait.HasField("element")]
        elements.sort(key=_of_elements)
        for (parent, *_), group in groupby(elements, key=_of_elements):
            findings.append(await self._elements(identifier, parent, list(group), depth))
        return findings

    async def _wait(self, identifier: WorkflowExecutionIdentifier, wait: Wait, depth: int) -> Finding:
        finding = Finding("node", wait.node_id, why=_words(wait))
        if wait.HasField("due"):
            finding.until = _time(wait.due)
        if wait.stopping:
            finding.why = f"it is being stopped: {wait.stopping}"
        if wait.kind in (Wait.ATTEMPT, Wait.RETRY):
            finding.behind += await self._attempts(identifier, wait.node_id)
        elif wait.kind == Wait.CHILD_EXECUTION:
            finding.behind.append(await self._child(_beside(identifier, wait.name), depth))
        return finding

    async def _elements(
        self, identifier: WorkflowExecutionIdentifier, parent: str, waits: Sequence[Wait], depth: int
    ) -> Finding:
        """Elements of one array that wait for the same."""
        first = waits[0]
        named = f"{_ranges([wait.element for wait in waits])} of node {parent}"
        phase = TaskPhases.Phase.Name(first.phase) if first.kind == Wait.ATTEMPT else ""
        finding = Finding("elements", named, phase, first.reason if first.kind == Wait.ATTEMPT else _words(first))
        if first.kind == Wait.CHILD_EXECUTION:
            finding.why = "wait for executions of their own"
            finding.behind += [await self._child(_beside(identifier, wait.name), depth) for wait in waits[:_MOST_NODES]]
            finding.behind += _more(waits, "executions")
        return finding

    async def _child(self, identifier: WorkflowExecutionIdentifier, depth: int) -> Finding:
        """A child execution. It may have been asked for and not be made yet, or have been refused."""
        try:
            return await self.of(identifier, depth=depth + 1)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return Finding("execution", _path(identifier), why="there is none of this name yet")

    async def _nodes(self, identifier: WorkflowExecutionIdentifier, parent: str) -> list[NodeExecution]:
        request = NodeExecutionListRequest(workflow_execution_id=identifier, filters=_FAILED, limit=_PAGE)
        request.unique_parent_id = parent
        pages = _pages(self._admin.ListNodeExecutions, request)
        return [node async for page in pages for node in page.node_executions]

    async def _tasks(self, identifier: WorkflowExecutionIdentifier, node_id: str) -> list[TaskExecution]:
        node = NodeExecutionIdentifier(execution_id=identifier, node_id=node_id)
        pages = _pages(self._admin.ListTaskExecutions, TaskExecutionListRequest(node_execution_id=node, limit=_PAGE))
        found = [task async for page in pages for task in page.task_executions]
        return sorted(found, key=lambda task: task.id.retry_attempt)


async def _pages(call: Any, request: Any) -> AsyncGenerator[Any]:
    while True:
        page = await call(request)
        yield page
        if not page.token:
            return
        request.token = page.token


def _beside(identifier: WorkflowExecutionIdentifier, name: str) -> WorkflowExecutionIdentifier:
    """A child execution: they are where their parents are."""
    return WorkflowExecutionIdentifier(project=identifier.project, domain=identifier.domain, name=name)


def _path(identifier: WorkflowExecutionIdentifier) -> str:
    return "/".join((identifier.project, identifier.domain, identifier.name))


def _attempt(task: TaskExecution) -> Finding:
    closure = task.closure
    ended = closure.phase in (TaskPhases.SUCCEEDED, TaskPhases.FAILED, TaskPhases.ABORTED)
    return Finding(
        "attempt",
        str(task.id.retry_attempt),
        TaskPhases.Phase.Name(closure.phase),
        _error(closure.error) if closure.HasField("error") else "",
        since=None if ended else _time(closure.updated_at),
    )


def _last_words(task: TaskExecution) -> Iterator[Finding]:
    """The latest reasons, what became of elements, and where to read more."""
    closure = task.closure
    for reason in closure.reasons[-_LAST_REASONS:]:
        yield Finding("reason", why=reason.message, since=_time(reason.occurred_at))
    failed = sorted({found.index for found in closure.metadata.external_resources if found.phase == TaskPhases.FAILED})
    if failed:
        yield Finding("elements", _ranges(failed), "FAILED")
    for log in _readable(closure.logs):
        yield Finding("log", why=f"{log.name}: {log.uri}")


def _readable(logs: Sequence[TaskLog]) -> list[TaskLog]:
    return [log for log in logs if log.uri]


def _words(wait: Wait) -> str:
    """What somebody waits for."""
    match wait.kind:
        case Wait.CHILD_EXECUTION:
            return f"waits for the execution {wait.name}"
        case Wait.RETRY:
            return f"waits until attempt {wait.attempt} begins"
        case Wait.PLACE if wait.name:
            return f"waits for a place among the running nodes of {wait.name} and all below it (max_parallelism)"
        case Wait.PLACE:
            most = f", of at most {wait.limit} (max_parallelism)" if wait.limit else ""
            return f"waits for a place among the running nodes{most}; it is number {wait.position} in line"
        case Wait.CACHE:
            return "waits for the catalog"
        case Wait.RESERVATION:
            return f"waits for the result that another node is making (cache_serialize): {wait.name}"
        case Wait.SIGNAL:
            return f"waits for the signal {wait.name}"
        case Wait.SLEEP:
            return "sleeps"
        case _:
            return ""


def _of_elements(wait: Wait) -> tuple[str, int, int, str, str]:
    """Elements of which this is the same are told together."""
    kind = wait.kind
    same = kind == Wait.ATTEMPT
    return wait.parent_node_id, kind, wait.phase if same else 0, wait.reason if same else "", wait.stopping


def _more(found: Sequence[object], what: str) -> list[Finding]:
    left = len(found) - _MOST_NODES
    return [Finding("more", why=f"and {left} more {what}")] if left > 0 else []


def _named(node: NodeExecution) -> str:
    name = node.metadata.spec_node_id
    return f"{node.id.node_id} ({name})" if name and name != node.id.node_id else node.id.node_id


def _error(error: ExecutionError) -> str:
    kind = ExecutionError.ErrorKind.Name(error.kind)
    return f"{kind} {error.code}: {error.message}"


def _ranges(indexes: Sequence[int]) -> str:
    """`0-4, 7`."""
    ordered = sorted(indexes)
    runs = [list(run) for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0][1]}-{run[-1][1]}" if len(run) > 1 else str(run[0][1]) for run in runs)


def _one_line(text: str) -> str:
    """Messages have lines of their own, which would break the tree, and what commands a terminal."""
    shown = " ⏎ ".join(line for line in (part.strip() for part in text.splitlines()) if line)
    return "".join(character if character.isprintable() else "�" for character in shown)


def _time(at: Timestamp) -> datetime:
    return at.ToDatetime(UTC)


def _length(later: datetime, earlier: datetime) -> str:
    seconds = max(0, int((later - earlier).total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
