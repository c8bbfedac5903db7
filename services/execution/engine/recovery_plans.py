"""What an execution leaves for another one that recovers it: its history, folded into a plan by path.

A path is made of the compiled ids from the top level down. Unique ids will not do: they depend on the attempts of the
nodes around, and a recovered execution begins to count anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flyteidl.core.execution_pb2 import NodeExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from google.protobuf.message import Message

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine.evolve import fold
from services.execution.engine.state import Execution, NodePhase, NodeState

_PHASES: Final = {
    NodePhase.RUNNING: NodeExecution.RUNNING,
    NodePhase.FAILING: NodeExecution.FAILING,
    NodePhase.SUCCEEDED: NodeExecution.SUCCEEDED,
    NodePhase.FAILED: NodeExecution.FAILED,
    NodePhase.TIMED_OUT: NodeExecution.TIMED_OUT,
    NodePhase.ABORTED: NodeExecution.ABORTED,
    NodePhase.RECOVERED: NodeExecution.RECOVERED,
}
_REUSED: Final = frozenset({NodeExecution.SUCCEEDED, NodeExecution.RECOVERED})
_WITHOUT_WORK: Final = frozenset({facts.START, facts.END})


@dataclass(frozen=True, slots=True)
class Recovery:
    """A plan that has been read: its nodes by path."""

    nodes: Mapping[str, facts.RecoverableNode]

    @classmethod
    def of(cls, plan: facts.RecoveryPlan) -> "Recovery":
        return cls({node.path: node for node in plan.nodes})


@dataclass(slots=True)
class _Seen:
    """What facts said of nodes and the state does not keep, by unique id."""

    succeeded: dict[str, facts.NodeSucceeded | facts.NodeRecovered] = field(
        default_factory=dict[str, facts.NodeSucceeded | facts.NodeRecovered]
    )
    plans: dict[str, facts.DynamicPlanned] = field(default_factory=dict[str, facts.DynamicPlanned])
    groups: dict[str, str] = field(default_factory=dict[str, str])
    in_engine: set[str] = field(default_factory=set[str])


def recovery_plan(history: Sequence[Message], earlier: facts.RecoveryPlan | None = None) -> facts.RecoveryPlan:
    """What may be reused of an execution, whatever its phase.

    Args:
        history: its facts, from the first one on.
        earlier: the plan that it was itself begun with: what it has not come to is still to be had from there.

    Raises:
        BrokenHistory: the facts are no execution's history.
    """
    state = fold(history)
    seen = _look(history)
    found: dict[str, facts.RecoverableNode] = {}
    if earlier is not None and earlier.closure == state.created.closure.sha256:
        found = {node.path: node for node in earlier.nodes}
    for node in sorted(state.nodes.values(), key=lambda node: node.order):
        if node.phase not in _PHASES or node.kind in _WITHOUT_WORK or not _counts(state, seen, node):
            continue
        entry = _entry(state, seen, node)
        if entry is None:
            continue
        known = found.get(entry.path)
        if known is not None and known.phase in _REUSED and known.id.execution_id == entry.id.execution_id:
            # An earlier attempt of the workflow around it got further.
            continue
        if known is not None and known.plan.closure.sha256 != entry.plan.closure.sha256:
            # What the task asked for then is not what it asked for now.
            for path in [path for path in found if path.startswith(f"{entry.path}/")]:
                del found[path]
        found[entry.path] = entry
    return facts.RecoveryPlan(closure=state.created.closure.sha256, nodes=found.values())


def is_reused(node: facts.RecoverableNode) -> bool:
    """Whether a node with the same inputs takes its outputs from this one."""
    return node.phase in _REUSED


def path_of(nodes: Mapping[str, NodeState], parent_id: str, spec_node_id: str) -> str:
    """The path of a node under a parent."""
    parts = [spec_node_id]
    while parent_id:
        parent = nodes[parent_id]
        parts.append(parent.spec_node_id)
        parent_id = parent.parent_id
    return "/".join(reversed(parts))


def _look(history: Iterable[Message]) -> _Seen:
    seen = _Seen()
    for fact in history:
        match fact:
            case facts.NodeSucceeded():
                seen.succeeded[fact.node_id] = fact
            case facts.NodeRecovered():
                seen.succeeded[fact.node_id] = fact
                if fact.HasField("plan"):
                    seen.plans[fact.node_id] = fact.plan
            case facts.DynamicPlanned():
                seen.plans[fact.node_id] = fact
            case facts.NodeQueued():
                seen.groups[fact.node_id] = fact.retry_group
            case facts.AttemptScheduled() if fact.in_engine:
                seen.in_engine.add(fact.node_id)
            case facts.CacheAsked():
                seen.groups[fact.node.node_id] = fact.node.retry_group
            case _:
                pass
    return seen


def _counts(state: Execution, seen: _Seen, node: NodeState) -> bool:
    """Not what handled a failure, which is for that failure alone; nor what an earlier plan of a dynamic node was."""
    while True:
        if node.handles_failure:
            return False
        if not node.parent_id:
            return True
        parent = state.nodes[node.parent_id]
        if parent.node_id in seen.plans:
            plan = seen.plans[parent.node_id]
            if seen.groups.get(node.node_id) != str(plan.attempt):
                return False
        node = parent


def _entry(state: Execution, seen: _Seen, node: NodeState) -> facts.RecoverableNode | None:
    created = state.created
    entry = facts.RecoverableNode(
        path=path_of(state.nodes, node.parent_id, node.spec_node_id),
        id=NodeExecutionIdentifier(node_id=node.node_id, execution_id=created.id),
        kind=node.kind,
        phase=_PHASES[node.phase],
    )
    if node.inputs is not None:
        entry.inputs.CopyFrom(node.inputs)
    plan = seen.plans.get(node.node_id)
    if plan is not None and (node.plan is not None or node.phase.succeeded):
        entry.plan.CopyFrom(plan)
    if node.attempt is not None and node.attempt.child:
        entry.child.CopyFrom(
            WorkflowExecutionIdentifier(project=created.id.project, domain=created.id.domain, name=node.attempt.child)
        )
    ended = seen.succeeded.get(node.node_id)
    if ended is None or not node.phase.succeeded:
        entry.checkpoint_prefix = node.previous_checkpoint
        if node.error is not None:
            entry.error.CopyFrom(node.error)
        return entry
    if ended.HasField("outputs"):
        entry.outputs.CopyFrom(ended.outputs)
    elif node.element is not None and node.node_id in seen.in_engine:
        # What it gave was gathered at once, and is nowhere to be had.
        return None
    entry.deck_uri = ended.deck_uri
    if ended.HasField("catalog_key"):
        entry.cache_status = ended.cache_status
        entry.catalog_key.CopyFrom(ended.catalog_key)
    if isinstance(ended, facts.NodeRecovered):
        # It ran somewhere else, and that is where it is from.
        entry.id.CopyFrom(ended.source)
        if ended.HasField("child"):
            entry.child.CopyFrom(ended.child)
    return entry
