"""The rows clients read, as mutable objects that facts are folded into.

A row is the protobuf message a client gets (`message`) plus what later facts need and messages do not show. The columns
that lists filter and sort by are derived from the message when the row is written (`projection.tables`), so that there
is one place that says what a fact does.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from flyteidl.admin.execution_pb2 import Execution, ExecutionState
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.signal_pb2 import Signal
from flyteidl.admin.task_execution_pb2 import TaskExecution
from flyteidl.event.event_pb2 import ExternalResourceInfo

from services.execution.subjects import ExecutionKey

NodeKey = tuple[ExecutionKey, str]
"""Execution and unique node id."""
TaskKey = tuple[ExecutionKey, str, int]
"""Execution, unique node id and attempt."""

SignalKey = tuple[ExecutionKey, str]
"""Execution and signal id."""

# A row's id is `sequence << ID_BITS | index of the fact in its envelope`: it grows in order of insertion, and a rebuild
# gives the same.
ID_BITS = 20


class RowMissing(Exception):
    """A fact speaks of a row that no earlier fact made: the history is broken."""


@dataclass(slots=True)
class Row:
    """What all rows have: a number that grows in order of insertion, and the envelope that changed the row last."""

    id: int
    sequence: int
    # The row's sequence in the database when it was loaded; 0 for a row that is not there yet.
    stored: int = 0


@dataclass(slots=True)
class ExecutionRow(Row):
    key: ExecutionKey = ("", "", "")
    message: Execution = field(default_factory=Execution)
    state: ExecutionState = ExecutionState.EXECUTION_ACTIVE
    metadata_prefix: str = ""
    inputs_uri: str = ""
    user_inputs_uri: str = ""


@dataclass(slots=True)
class NodeRow(Row):
    key: NodeKey = (("", "", ""), "")
    message: NodeExecution = field(default_factory=NodeExecution)
    kind: int = 0
    parent_node_id: str = ""
    parent_id: int | None = None
    data_prefix: str = ""
    # Of the last attempt, once it ran to an end by itself; becomes visible with the node's own end.
    checkpoint_uri: str = ""
    # The compiled workflow that a dynamic node's task asked for.
    dynamic_closure_uri: str = ""


@dataclass(slots=True)
class TaskRow(Row):
    key: TaskKey = (("", "", ""), "", 0)
    message: TaskExecution = field(default_factory=TaskExecution)
    phase_version: int = 0
    output_prefix: str = ""
    checkpoint_uri: str = ""
    # Of an array's attempt: how many elements it has, which lie in a table of their own.
    elements: int = 0


@dataclass(slots=True)
class ElementRow(Row):
    """One attempt of an element of an array node; `key` has the element's own node id."""

    key: TaskKey = (("", "", ""), "", 0)
    message: ExternalResourceInfo = field(default_factory=ExternalResourceInfo)
    array_id: str = ""
    array_attempt: int = 0


@dataclass(slots=True)
class SignalRow(Row):
    key: SignalKey = (("", "", ""), "")
    message: Signal = field(default_factory=Signal)
    created_at: datetime = datetime.min
    updated_at: datetime = datetime.min


class At(NamedTuple):
    """Where a fact stands: its execution, its envelope's sequence, its place in the envelope."""

    key: ExecutionKey
    sequence: int
    place: int

    @property
    def row_id(self) -> int:
        return self.sequence << ID_BITS | self.place


_R = TypeVar("_R", bound=Row)


@dataclass(slots=True)
class Rows:
    """The rows one batch touches."""

    executions: dict[ExecutionKey, ExecutionRow] = field(default_factory=dict[ExecutionKey, ExecutionRow])
    nodes: dict[NodeKey, NodeRow] = field(default_factory=dict[NodeKey, NodeRow])
    tasks: dict[TaskKey, TaskRow] = field(default_factory=dict[TaskKey, TaskRow])
    signals: dict[SignalKey, SignalRow] = field(default_factory=dict[SignalKey, SignalRow])
    elements: dict[TaskKey, ElementRow] = field(default_factory=dict[TaskKey, ElementRow])
    # Number of the latest attempt of each element.
    latest_elements: dict[NodeKey, int] = field(default_factory=dict[NodeKey, int])

    def execution(self, at: At) -> ExecutionRow | None:
        """The execution's row to change; None when it already contains this envelope."""
        return _current(self.executions.get(at.key), at, "execution")

    def node(self, at: At, node_id: str) -> NodeRow | None:
        """The node's row to change; None when it already contains this envelope."""
        return _current(self.nodes.get((at.key, node_id)), at, "{}", node_id)

    def task(self, at: At, node_id: str, attempt: int) -> TaskRow | None:
        """The attempt's row to change; None when it already contains this envelope."""
        return _current(self.tasks.get((at.key, node_id, attempt)), at, "{} attempt {}", node_id, attempt)

    def element(self, at: At, node_id: str, attempt: int) -> ElementRow | None:
        """The row of an element's attempt to change; None when it already contains this envelope."""
        return _current(self.elements.get((at.key, node_id, attempt)), at, "element {} attempt {}", node_id, attempt)

    def add_element(self, row: ElementRow) -> None:
        """Takes in an element's row, made or loaded."""
        execution, node_id, attempt = row.key
        self.elements[row.key] = row
        known = self.latest_elements.get((execution, node_id), 0)
        self.latest_elements[execution, node_id] = max(known, attempt)

    def drop(self, execution: ExecutionKey) -> None:
        """Drops all rows of an execution."""
        self.executions.pop(execution, None)
        _drop(self.nodes, execution)
        _drop(self.tasks, execution)
        _drop(self.signals, execution)
        _drop(self.elements, execution)
        _drop(self.latest_elements, execution)

    def signal(self, at: At, key: SignalKey) -> SignalRow | None:
        """The signal's row to change; None when it already contains this envelope."""
        return _current(self.signals.get(key), at, "signal {}", key[1])


def _drop(rows: dict[Any, Any], execution: ExecutionKey) -> None:
    for key in [key for key in rows if key[0] == execution]:
        del rows[key]


def _current(row: _R | None, at: At, what: str, *named: object) -> _R | None:
    if row is None:
        raise RowMissing(f"no row of {what.format(*named)} of execution {'/'.join(at.key)} at sequence {at.sequence}")
    if row.stored >= at.sequence:
        return None
    row.sequence = at.sequence
    return row
