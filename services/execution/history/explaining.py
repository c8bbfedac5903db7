"""Why an execution does not get on, or why it failed: told as a tree.

The tree goes from what everybody sees to what is behind it: an execution, its nodes, their attempts, the last words of
those, and the events that they followed from; a child execution is a tree of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, Protocol

from flyteidl.admin.execution_pb2 import Execution
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.task_execution_pb2 import TaskExecution
from flyteidl.core.execution_pb2 import ExecutionError, TaskLog, WorkflowExecution
from flyteidl.core.execution_pb2 import NodeExecution as NodePhases
from flyteidl.core.execution_pb2 import TaskExecution as TaskPhases

from flightlog_protos.execution.v1.queue_service_pb2 import Wait
from flightlog_protos.history.v1.explanation_pb2 import Explanation
from services.execution import subjects
from services.execution.history.causes import Causes
from services.execution.subjects import ExecutionKey

# Nodes, and elements of arrays, that are told one by one; of the others their number.
_MOST_NODES: Final = 20
_LAST_REASONS: Final = 4
_DEEPEST: Final = 16
MOST_EXECUTIONS: Final = 100
"""Executions that are looked into for one answer: each is read from the log, and children may have many of theirs."""

_OVER: Final = frozenset(
    {
        WorkflowExecution.SUCCEEDED,
        WorkflowExecution.FAILED,
        WorkflowExecution.ABORTED,
        WorkflowExecution.TIMED_OUT,
    }
)


class Known(Protocol):
    """What is known of executions."""

    async def execution(self, key: ExecutionKey) -> Execution | None:
        """None when there is none of this name."""
        ...

    async def place(self, key: ExecutionKey) -> str:
        """At what place it waits, and for what; "" when it does not stand in line."""
        ...

    async def failed_nodes(self, key: ExecutionKey, parent: str) -> list[NodeExecution]:
        """Those that failed or timed out, at the top level or inside a node."""
        ...

    async def attempts(self, key: ExecutionKey, node_id: str) -> list[TaskExecution]:
        """A node's attempts, the first one first."""
        ...

    async def waits(self, key: ExecutionKey) -> list[Wait]:
        """What nodes wait for now."""
        ...

    async def causes(self, key: ExecutionKey) -> Causes:
        """The events that say what became of it."""
        ...


class Explanations:
    """Puts together what is known."""

    def __init__(self, known: Known) -> None:
        self._known = known

    async def of(self, key: ExecutionKey) -> Explanation | None:
        """What holds for an execution now; None when there is none of this name.

        Children that run deeper than 16 levels down are only named, and so are those behind the first 100.
        """
        return await _Explaining(self._known).of(key, 0)


class _Explaining:
    """One answer."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._looked_into = 0

    async def of(self, key: ExecutionKey, depth: int) -> Explanation | None:
        execution = await self._known.execution(key)
        if execution is None:
            return None
        closure = execution.closure
        found = Explanation(what="execution", name="/".join(key), phase=WorkflowExecution.Phase.Name(closure.phase))
        if closure.phase not in _OVER:
            found.since.CopyFrom(closure.started_at if closure.HasField("started_at") else closure.created_at)
        if closure.HasField("abort_metadata"):
            aborted = closure.abort_metadata
            found.why = f"{aborted.cause} ({aborted.principal})" if aborted.principal else aborted.cause
        elif closure.HasField("error"):
            found.why = _error(closure.error)
        elif closure.phase == WorkflowExecution.QUEUED:
            found.why = await self._known.place(key)
        if depth >= _DEEPEST or self._looked_into >= MOST_EXECUTIONS or closure.phase == WorkflowExecution.SUCCEEDED:
            return found
        self._looked_into += 1
        causes = await self._known.causes(key)
        found.event_id = causes.end()
        found.behind.extend(causes.of_abort())
        found.behind.extend(await self._failed(key, "", causes, depth))
        if closure.phase not in _OVER:
            found.behind.extend(await self._waits(key, causes, depth))
        return found

    async def _failed(self, key: ExecutionKey, parent: str, causes: Causes, depth: int) -> list[Explanation]:
        """The nodes that failed, the first first; of an execution, or inside one of its nodes."""
        nodes = [node for node in await self._known.failed_nodes(key, parent) if node.closure.HasField("error")]
        nodes.sort(key=lambda node: node.closure.updated_at.ToNanoseconds())
        told = [await self._failed_node(key, node, causes, depth) for node in nodes[:_MOST_NODES]]
        return told + _more(nodes, "failed nodes")

    async def _failed_node(self, key: ExecutionKey, node: NodeExecution, causes: Causes, depth: int) -> Explanation:
        closure = node.closure
        found = Explanation(
            what="node", name=_named(node), phase=NodePhases.Phase.Name(closure.phase), why=_error(closure.error)
        )
        node_id = node.id.node_id
        found.event_id = causes.node(node_id)
        found.behind.extend(await self._attempts(key, node_id, causes))
        if closure.workflow_node_metadata.HasField("executionId"):
            found.behind.append(await self._child(subjects.key_of(closure.workflow_node_metadata.executionId), depth))
        if node.metadata.is_parent_node:
            found.behind.extend(await self._failed(key, node_id, causes, depth))
        return found

    async def _attempts(self, key: ExecutionKey, node_id: str, causes: Causes) -> list[Explanation]:
        """The attempts of a node, each with what its end followed from; of the last one its last words too."""
        tasks = await self._known.attempts(key, node_id)
        found = [_attempt(task, causes) for task in tasks]
        if tasks:
            found[-1].behind.extend(_last_words(tasks[-1], node_id, causes))
        for task, one in zip(tasks, found, strict=True):
            if task.closure.phase in (TaskPhases.FAILED, TaskPhases.ABORTED):
                one.behind.extend(causes.of_attempt(node_id, task.id.retry_attempt))
        return found

    async def _waits(self, key: ExecutionKey, causes: Causes, depth: int) -> list[Explanation]:
        waits = await self._known.waits(key)
        plain = [wait for wait in waits if not wait.HasField("element")]
        found = [await self._wait(key, wait, causes, depth) for wait in plain[:_MOST_NODES]]
        found += _more(plain, "nodes that wait")
        elements = [wait for wait in waits if wait.HasField("element")]
        elements.sort(key=_of_elements)
        for (parent, *_), group in groupby(elements, key=_of_elements):
            found.append(await self._elements(key, parent, list(group), causes, depth))
        return found

    async def _wait(self, key: ExecutionKey, wait: Wait, causes: Causes, depth: int) -> Explanation:
        found = Explanation(what="node", name=wait.node_id, why=_words(wait))
        if wait.HasField("due"):
            found.until.CopyFrom(wait.due)
        if wait.stopping:
            found.why = f"it is being stopped: {wait.stopping}"
        if wait.kind in (Wait.ATTEMPT, Wait.RETRY):
            found.behind.extend(await self._attempts(key, wait.node_id, causes))
        elif wait.kind == Wait.CHILD_EXECUTION:
            found.behind.append(await self._child(_beside(key, wait.name), depth))
        return found

    async def _elements(
        self, key: ExecutionKey, parent: str, waits: Sequence[Wait], causes: Causes, depth: int
    ) -> Explanation:
        """Elements of one array that wait for the same."""
        first = waits[0]
        by_launcher = first.kind == Wait.ATTEMPT
        found = Explanation(
            what="elements",
            name=f"{_ranges([wait.element for wait in waits])} of node {parent}",
            phase=TaskPhases.Phase.Name(first.phase) if by_launcher else "",
            why=first.reason if by_launcher else _words(first),
        )
        if by_launcher:
            found.event_id = causes.reason(first.node_id, first.attempt, first.reason)
        if first.kind == Wait.CHILD_EXECUTION:
            found.why = "wait for executions of their own"
            for wait in waits[:_MOST_NODES]:
                found.behind.append(await self._child(_beside(key, wait.name), depth))
            found.behind.extend(_more(waits, "executions"))
        return found

    async def _child(self, key: ExecutionKey, depth: int) -> Explanation:
        """A child execution. It may have been asked for and not be made yet, or be gone."""
        child = await self.of(key, depth + 1)
        if child is not None:
            return child
        return Explanation(what="execution", name="/".join(key), why="there is none of this name yet")


def _beside(key: ExecutionKey, name: str) -> ExecutionKey:
    """A child execution: they are where their parents are."""
    project, domain, _ = key
    return project, domain, name


def _attempt(task: TaskExecution, causes: Causes) -> Explanation:
    closure = task.closure
    number = task.id.retry_attempt
    found = Explanation(what="attempt", name=str(number), phase=TaskPhases.Phase.Name(closure.phase))
    if closure.HasField("error"):
        found.why = _error(closure.error)
    if closure.phase not in (TaskPhases.SUCCEEDED, TaskPhases.FAILED, TaskPhases.ABORTED):
        found.since.CopyFrom(closure.updated_at)
    found.event_id = causes.attempt(task.id.node_execution_id.node_id, number)
    return found


def _last_words(task: TaskExecution, node_id: str, causes: Causes) -> Iterator[Explanation]:
    """The latest reasons, what became of elements, and where to read more."""
    closure = task.closure
    for reason in closure.reasons[-_LAST_REASONS:]:
        found = Explanation(what="reason", why=reason.message)
        found.since.CopyFrom(reason.occurred_at)
        found.event_id = causes.reason(node_id, task.id.retry_attempt, reason.message)
        yield found
    failed = sorted({found.index for found in closure.metadata.external_resources if found.phase == TaskPhases.FAILED})
    if failed:
        elements = Explanation(what="elements", name=_ranges(failed), phase="FAILED")
        elements.behind.extend(causes.of_elements(node_id, _LAST_REASONS))
        yield elements
    for log in _readable(closure.logs):
        yield Explanation(what="log", why=f"{log.name}: {log.uri}")


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


def _more(found: Sequence[object], what: str) -> list[Explanation]:
    left = len(found) - _MOST_NODES
    return [Explanation(what="more", why=f"and {left} more {what}")] if left > 0 else []


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
