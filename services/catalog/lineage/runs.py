"""What lineage needs of one execution: the fold of its facts, coordinates alone. Pure; values stay where they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flyteidl.core.catalog_pb2 import CACHE_HIT
from flyteidl.core.execution_pb2 import ExecutionError, NodeExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import Identifier, NodeExecutionIdentifier, WorkflowExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog.subjects import ExecutionKey

RAN, CACHED, RECOVERED = "ran", "cached", "recovered"


@dataclass(slots=True)
class NodeRun:
    """One node of an execution. Of its attempts, the last is what counts."""

    id: str
    spec_id: str
    parent_id: str
    # Attempt of the parent that it belongs to.
    group: str
    kind: facts.NodeKind
    queued_at: Timestamp
    # Absent for an element that reads its array node's.
    inputs: DataRef | None = None
    outputs: DataRef | None = None
    element: int | None = None
    attempt: int = 0
    phase: NodeExecution.Phase = NodeExecution.QUEUED
    how: str = RAN
    # With `cached` and `recovered`: the node that made the result.
    source: NodeExecutionIdentifier | None = None
    task_id: Identifier | None = None
    # The engine itself ran its task.
    in_engine: bool = False
    # Of a dynamic node: what its task asked for.
    plan: facts.DynamicPlanned | None = None
    # Of an array node: how many elements it has.
    size: int = 0
    # Of a launch-plan node: the execution that ran for it.
    child: WorkflowExecutionIdentifier | None = None
    launch_plan: Identifier | None = None
    # Where the last attempt's data lies that it did not put below its own prefix.
    addresses: tuple[str, ...] = ()
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    error: ExecutionError | None = None

    @property
    def succeeded(self) -> bool:
        return self.phase in (NodeExecution.SUCCEEDED, NodeExecution.RECOVERED)


@dataclass(slots=True)
class Run:
    """One execution. `sequence` is that of its first envelope: executions are older or younger by it."""

    created: facts.ExecutionCreated
    sequence: int = 0
    outputs: DataRef | None = None
    phase: WorkflowExecution.Phase = WorkflowExecution.QUEUED
    # Where constants of its workflow lie.
    constants: tuple[str, ...] = ()
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    error: ExecutionError | None = None
    abort: facts.AbortRequested | None = None
    nodes: dict[str, NodeRun] = field(default_factory=dict[str, NodeRun])
    # By parent, the parent's attempt, and id in the compiled workflow.
    children: dict[tuple[str, str], dict[str, NodeRun]] = field(
        default_factory=dict[tuple[str, str], dict[str, NodeRun]]
    )

    @property
    def key(self) -> ExecutionKey:
        identifier = self.created.id
        return identifier.project, identifier.domain, identifier.name

    @property
    def inputs(self) -> DataRef:
        return self.created.inputs

    @property
    def entity(self) -> Identifier:
        """What was launched: a launch plan, or a task."""
        return self.created.spec.launch_plan

    @property
    def parent(self) -> NodeExecutionIdentifier | None:
        """The launch-plan node that it runs for."""
        return self.created.parent.node if self.created.HasField("parent") else None

    def children_of(self, node: NodeRun | None) -> dict[str, NodeRun]:
        """The nodes that a node's last attempt consists of, by their ids in the compiled workflow; None: top level."""
        return self.children.get(("", "") if node is None else (node.id, str(node.attempt)), {})

    def take(self, fact: Message) -> None:
        """Folds a fact in; one that lineage needs nothing of is passed over."""
        match fact:
            case facts.ExecutionStarted():
                self.phase, self.started_at = WorkflowExecution.RUNNING, fact.occurred_at
                self.constants = tuple(fact.addresses)
            case facts.AbortRequested():
                self.abort = fact
            case facts.ExecutionSucceeded():
                self.phase, self.ended_at = WorkflowExecution.SUCCEEDED, fact.occurred_at
                self.outputs = _stored(fact)
            case facts.ExecutionFailed():
                self.phase, self.ended_at, self.error = WorkflowExecution.FAILED, fact.occurred_at, fact.error
            case facts.ExecutionAborted():
                self.phase, self.ended_at = WorkflowExecution.ABORTED, fact.occurred_at
            case facts.NodeQueued() | facts.NodeSkipped():
                self._add(fact)
            case _:
                node = self.nodes.get(getattr(fact, "node_id", ""))
                if node is not None:
                    _take(node, fact)

    def _add(self, fact: facts.NodeQueued | facts.NodeSkipped) -> None:
        node = NodeRun(
            id=fact.node_id,
            spec_id=fact.spec_node_id,
            parent_id=fact.parent_node_id,
            group=fact.retry_group,
            kind=fact.kind,
            queued_at=fact.occurred_at,
        )
        if isinstance(fact, facts.NodeSkipped):
            node.phase, node.ended_at = NodeExecution.SKIPPED, fact.occurred_at
        else:
            node.inputs = fact.inputs if fact.HasField("inputs") else None
            node.element = fact.element if fact.HasField("element") else None
        self.nodes[node.id] = node
        self.children.setdefault((node.parent_id, node.group), {})[node.spec_id] = node


def fold(history: Iterable[Message], sequence: int = 0) -> Run | None:
    """An execution from its facts; None when they do not begin with its creation."""
    run: Run | None = None
    for fact in history:
        if isinstance(fact, facts.ExecutionCreated):
            run = Run(fact, sequence)
        elif run is not None:
            run.take(fact)
    return run


def cache_source(fact: facts.NodeSucceeded) -> NodeExecutionIdentifier | None:
    """The node whose result another one took from the cache; None when it did not, or a client had put it there."""
    if fact.cache_status != CACHE_HIT:
        return None
    source = fact.catalog_key.source_task_execution.node_execution_id
    return source if source.node_id else None


def _take(node: NodeRun, fact: Message) -> None:
    match fact:
        case facts.NodeStarted():
            node.phase, node.started_at = NodeExecution.RUNNING, fact.occurred_at
        case facts.AttemptScheduled():
            node.attempt, node.task_id, node.in_engine = fact.attempt, fact.task_id, fact.in_engine
            node.addresses = ()
        case facts.AttemptSucceeded():
            node.addresses = tuple(fact.addresses)
        case facts.DynamicPlanned():
            node.attempt, node.plan = fact.attempt, fact
            node.addresses = tuple(fact.addresses)
        case facts.ArrayPlanned():
            node.attempt, node.size, node.task_id = fact.attempt, fact.size, fact.task_id
        case facts.ChildExecutionRequested():
            node.attempt, node.child, node.launch_plan = fact.attempt, fact.execution_id, fact.launch_plan
        case facts.RetryScheduled():
            node.attempt, node.plan, node.size, node.child = fact.attempt, None, 0, None
        case facts.NodeSucceeded():
            node.outputs = _stored(fact)
            if fact.cache_status == CACHE_HIT:
                node.how, node.source = CACHED, cache_source(fact)
            _ended(node, fact, NodeExecution.SUCCEEDED)
        case facts.NodeRecovered():
            node.outputs, node.how, node.source = _stored(fact), RECOVERED, fact.source
            _ended(node, fact, NodeExecution.RECOVERED)
        case facts.NodeFailed():
            node.error = fact.error
            _ended(node, fact, NodeExecution.FAILED)
        case facts.NodeTimedOut():
            _ended(node, fact, NodeExecution.TIMED_OUT)
        case facts.NodeAborted():
            node.error = fact.error if fact.HasField("error") else None
            _ended(node, fact, NodeExecution.ABORTED)
        case _:
            pass


def _ended(node: NodeRun, fact: Any, phase: NodeExecution.Phase) -> None:
    node.phase, node.ended_at = phase, fact.occurred_at


def _stored(fact: facts.NodeSucceeded | facts.NodeRecovered | facts.ExecutionSucceeded) -> DataRef | None:
    """The outputs, unless there are none: then the reference has no hash."""
    return fact.outputs if fact.outputs.uri and fact.outputs.sha256 else None
