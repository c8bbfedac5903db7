"""One execution, its nodes and its attempts, as a client reads them. Messages are flyteidl's.

What has been read of an execution is kept once it is over, and read anew before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.core.catalog_pb2 import CatalogCacheStatus

from tests.conformance.values import moment, plain_map

if TYPE_CHECKING:
    from tests.conformance.client import Backend

PROJECT = "flytesnacks"
DOMAIN = "development"

_ExecutionPhase = core_execution_pb2.WorkflowExecution.Phase
_NodePhase = core_execution_pb2.NodeExecution.Phase
_TaskPhase = core_execution_pb2.TaskExecution.Phase
_FINAL = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"}


class Run:
    """One execution. What has been read is kept once the execution is over, and read anew before."""

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.name = name
        self.id = identifier_pb2.WorkflowExecutionIdentifier(project=PROJECT, domain=DOMAIN, name=name)
        self._execution: Any = None
        self._nodes: dict[str, Node] | None = None

    # -- the execution

    def read(self) -> Any:
        """`admin.Execution`, as it is now."""
        if self._execution is None or _ExecutionPhase.Name(self._execution.closure.phase) not in _FINAL:
            self._execution = self.backend.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=self.id))
        return self._execution

    @property
    def phase(self) -> str:
        return _ExecutionPhase.Name(self.read().closure.phase)

    @property
    def closure(self) -> Any:
        return self.read().closure

    @property
    def spec(self) -> Any:
        return self.read().spec

    @property
    def error(self) -> Any:
        """`core.ExecutionError`; empty when there is none."""
        return self.closure.error

    def finish(self) -> Run:
        """Waits until it is over."""
        self.until(lambda: self.phase in _FINAL, "it ends")
        return self

    def succeed(self) -> Run:
        """Waits until it is over; it must have succeeded."""
        self.finish()
        assert self.phase == "SUCCEEDED", f"{self.phase}: {self.error.code} {self.error.message}\n{self.story()}"
        return self

    def fail(self) -> Run:
        """Waits until it is over; it must have failed."""
        self.finish()
        assert self.phase == "FAILED", f"{self.phase}\n{self.story()}"
        return self

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """The condition's first true answer: clients of Flyte's API can only ask again and again."""
        deadline = time.monotonic() + self.backend.patience
        pause = 0.02
        while not (found := condition()):
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name}: in vain waited until {what}\n{self.story()}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        return found

    @cached_property
    def _data(self) -> Any:
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=self.id)
        return self.backend.admin.GetExecutionData(request)

    @property
    def data(self) -> Any:
        """`admin.WorkflowExecutionGetDataResponse`."""
        return self._data

    @property
    def inputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_inputs)

    @property
    def outputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_outputs)

    @property
    def output(self) -> Any:
        """The value of the only output."""
        (value,) = self.outputs.values()
        return value

    # -- its nodes

    @property
    def nodes(self) -> dict[str, Node]:
        """All node executions by id: those at the top, then those below each that has some, as clients walk."""
        if self._nodes is None:
            over = self.phase in _FINAL
            found = {node.id: node for node in self._walk("")}
            if not over:
                return found
            self._nodes = found
        return self._nodes

    def node(self, node_id: str) -> Node:
        found = self.nodes.get(node_id)
        assert found is not None, f"no node {node_id}\n{self.story()}"
        return found

    def children(self, parent: str) -> dict[str, Node]:
        """Node executions with this parent, by id, in order of creation; `""`: those at the top."""
        order = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.ASCENDING)
        request = node_execution_pb2.NodeExecutionListRequest(
            workflow_execution_id=self.id, limit=1000, unique_parent_id=parent, sort_by=order
        )
        rows = self.backend.admin.ListNodeExecutions(request).node_executions
        return {row.id.node_id: Node(self, row) for row in rows}

    def _walk(self, parent: str) -> Iterator[Node]:
        for node in self.children(parent).values():
            yield node
            if node.row.metadata.is_parent_node:
                yield from self._walk(node.id)

    def phases(self) -> dict[str, str]:
        """Phase by node id, without start and end nodes."""
        return {key: node.phase for key, node in self.nodes.items() if node.spec_id not in ("start-node", "end-node")}

    def running(self, node_id: str = "n0") -> Task:
        """Waits until the node's task runs."""

        def found() -> Task | None:
            node = self.children("").get(node_id)
            tasks = node.tasks if node is not None else []
            return tasks[-1] if tasks and tasks[-1].phase == "RUNNING" else None

        return self.until(found, f"the task of {node_id} runs")

    def synced(self) -> Any:
        """FlyteRemote's view, with all nodes."""
        execution = self.backend.remote.fetch_execution(name=self.name)
        return self.backend.remote.sync_execution(execution, sync_nodes=True)

    def terminate(self, cause: str = "enough") -> None:
        self.backend.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=self.id, cause=cause))

    def recover(self) -> Run:
        """RecoverExecution."""
        answer = self.backend.admin.RecoverExecution(execution_pb2.ExecutionRecoverRequest(id=self.id))
        return Run(self.backend, answer.id.name)

    def relaunch(self, **arguments: Any) -> Run:
        """RelaunchExecution."""
        request = execution_pb2.ExecutionRelaunchRequest(id=self.id, **arguments)
        return Run(self.backend, self.backend.admin.RelaunchExecution(request).id.name)

    def story(self) -> str:
        """What there is to see of it, for failing tests."""
        lines = [f"{self.name} {self.phase} {_told(self.error)}"]
        for node in self._walk(""):
            lines.append(f"  {node.id} {node.phase} {_told(node.error)}")
            lines += [
                f"    attempt {task.attempt} {task.phase} {_told(task.error)} {task.closure.reason}"
                for task in node.tasks
            ]
        return "\n".join(lines)


class Node:
    """One node execution."""

    def __init__(self, run: Run, row: Any) -> None:
        self.run = run
        self.row = row
        self.id: str = row.id.node_id
        self.spec_id: str = row.metadata.spec_node_id
        self.phase = _NodePhase.Name(row.closure.phase)

    @property
    def closure(self) -> Any:
        return self.row.closure

    @property
    def metadata(self) -> Any:
        return self.row.metadata

    @property
    def error(self) -> Any:
        return self.row.closure.error

    @cached_property
    def whole(self) -> Any:
        """The row by itself: lists cut long messages."""
        return self.run.backend.admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=self.row.id))

    @cached_property
    def data(self) -> Any:
        request = node_execution_pb2.NodeExecutionGetDataRequest(id=self.row.id)
        return self.run.backend.admin.GetNodeExecutionData(request)

    @property
    def inputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_inputs)

    @property
    def outputs(self) -> dict[str, Any]:
        return plain_map(self.data.full_outputs)

    @property
    def cache(self) -> str:
        """The cache status."""
        return CatalogCacheStatus.Name(self.row.closure.task_node_metadata.cache_status)

    @cached_property
    def tasks(self) -> list[Task]:
        """Task executions in order of attempts."""
        request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=self.row.id, limit=1000)
        rows = self.run.backend.admin.ListTaskExecutions(request).task_executions
        return sorted((Task(self, row) for row in rows), key=lambda task: task.attempt)

    @property
    def task(self) -> Task:
        """The only task execution."""
        (task,) = self.tasks
        return task


class Task:
    """One task execution."""

    def __init__(self, node: Node, row: Any) -> None:
        self.node = node
        self.row = row
        self.attempt: int = row.id.retry_attempt
        self.phase = _TaskPhase.Name(row.closure.phase)

    @property
    def closure(self) -> Any:
        return self.row.closure

    @property
    def error(self) -> Any:
        return self.row.closure.error

    @property
    def resources(self) -> list[Any]:
        """External resources: the elements of a map task, by index and attempt."""
        return sorted(self.closure.metadata.external_resources, key=lambda one: (one.index, one.retry_attempt))

    @cached_property
    def data(self) -> Any:
        request = task_execution_pb2.TaskExecutionGetDataRequest(id=self.row.id)
        return self.node.run.backend.admin.GetTaskExecutionData(request)


def task_phase(phase: int) -> str:
    return _TaskPhase.Name(phase)


def ended(closure: Any) -> float:
    """When a node or task ended, in seconds."""
    return moment(closure.started_at) + closure.duration.ToNanoseconds() / 1e9


def _told(error: Any) -> str:
    kind = core_execution_pb2.ExecutionError.ErrorKind.Name(error.kind)
    return f"{kind} {error.code}: {error.message[-300:]}" if error.code or error.message else ""
