"""An execution's history as something that can be laid beside another's: its nodes by their paths. Pure.

A path is made of the compiled ids from the top level down (`services.execution.engine.recovery_plans.path_of`): unique
ids depend on the attempts of the nodes around, and are others in every run that was retried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.identifier_pb2 import Identifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine import NodePhase, fold
from services.execution.engine.recovery_plans import path_of

_WITHOUT_WORK: Final = frozenset({facts.START, facts.END})
_ENDS: Final = (
    facts.NodeSucceeded,
    facts.NodeFailed,
    facts.NodeTimedOut,
    facts.NodeAborted,
    facts.NodeSkipped,
    facts.NodeRecovered,
)
_EXECUTION_ENDS: Final = (facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted)


@dataclass(frozen=True, slots=True)
class NodeRun:
    """One node, as it went."""

    path: str
    node_id: str
    # Place in the order in which nodes were queued.
    order: int
    phase: NodePhase
    attempts: int
    taken: str
    inputs: DataRef | None
    outputs: DataRef | None
    error: ExecutionError | None
    # None: it has nothing to do with the cache.
    cache: str | None
    # Of its last attempt; None when none was scheduled.
    task: Identifier | None
    seconds: float | None

    @property
    def parent(self) -> str:
        """Path of the node around it; "" at the top level."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Run:
    """One execution, as it went."""

    created: facts.ExecutionCreated
    phase: str
    error: ExecutionError | None
    abort: facts.AbortRequested | None
    outputs: DataRef | None
    seconds: float | None
    nodes: Mapping[str, NodeRun]
    """By path, in the order in which they were queued. Of a node that ran in several attempts of the node around it,
    the last."""


@dataclass(slots=True)
class _Seen:
    """What facts said of nodes and the state does not keep, by unique id."""

    queued: dict[str, Timestamp] = field(default_factory=dict[str, Timestamp])
    ended: dict[str, Message] = field(default_factory=dict[str, Message])
    tasks: dict[str, Identifier] = field(default_factory=dict[str, Identifier])
    ran: set[str] = field(default_factory=set[str])
    begun: Timestamp | None = None
    end: Message | None = None
    abort: facts.AbortRequested | None = None


def run_of(history: Sequence[Message]) -> Run:
    """An execution from its facts, the first one first.

    Raises:
        BrokenHistory: the facts are no execution's history.
    """
    state = fold(history)
    seen = _look(history)
    nodes: dict[str, NodeRun] = {}
    for node in sorted(state.nodes.values(), key=lambda node: node.order):
        if node.kind in _WITHOUT_WORK or node.phase is NodePhase.ASKING:
            continue
        path = path_of(state.nodes, node.parent_id, node.spec_node_id)
        ended = seen.ended.get(node.node_id)
        # The last to be queued under a path stands at its own place in the order.
        nodes.pop(path, None)
        nodes[path] = NodeRun(
            path=path,
            node_id=node.node_id,
            order=node.order,
            phase=node.phase,
            attempts=node.attempt_number + 1 if node.node_id in seen.ran else 0,
            taken=node.taken,
            inputs=node.inputs,
            outputs=_outputs(ended),
            error=node.error,
            cache=_cache(ended),
            task=seen.tasks.get(node.node_id),
            seconds=_seconds(seen.queued.get(node.node_id), ended),
        )
    return Run(
        created=state.created,
        phase=state.phase.name,
        error=state.error,
        abort=seen.abort,
        outputs=_outputs(seen.end),
        seconds=_seconds(seen.begun, seen.end),
        nodes=nodes,
    )


def _look(history: Iterable[Message]) -> _Seen:
    seen = _Seen()
    for fact in history:
        match fact:
            case facts.NodeQueued():
                seen.queued[fact.node_id] = fact.occurred_at
            case facts.AttemptScheduled():
                seen.ran.add(fact.node_id)
                seen.tasks[fact.node_id] = fact.task_id
            case facts.ArrayPlanned() | facts.ChildExecutionRequested():
                seen.ran.add(fact.node_id)
            case facts.ExecutionStarted():
                seen.begun = fact.occurred_at
            case facts.AbortRequested():
                seen.abort = seen.abort or fact
            case _ if isinstance(fact, _ENDS):
                seen.ended[fact.node_id] = fact
            case _ if isinstance(fact, _EXECUTION_ENDS):
                seen.end = fact
            case _:
                pass
    return seen


def _outputs(ended: Message | None) -> DataRef | None:
    if isinstance(ended, facts.NodeSucceeded | facts.NodeRecovered | facts.ExecutionSucceeded):
        return ended.outputs if ended.outputs.uri else None
    return None


def _cache(ended: Message | None) -> str | None:
    if isinstance(ended, facts.NodeSucceeded | facts.NodeRecovered) and ended.HasField("catalog_key"):
        return CatalogCacheStatus.Name(ended.cache_status)
    return None


def _seconds(began: Timestamp | None, ended: Message | None) -> float | None:
    if began is None or ended is None:
        return None
    at: Timestamp = getattr(ended, "occurred_at")  # noqa: B009 - every end has it, the type does not say so
    return (at.ToNanoseconds() - began.ToNanoseconds()) / 1e9
