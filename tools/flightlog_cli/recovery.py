"""What recovering an execution would do with each of its nodes, and why. Pure: a plan in, lines out."""

from collections.abc import Collection
from dataclasses import dataclass

from flyteidl.core.execution_pb2 import NodeExecution

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import is_reused

_COMPOSITE = frozenset({facts.SUB_WORKFLOW, facts.BRANCH, facts.ARRAY})


@dataclass(frozen=True)
class Step:
    """One node of the execution."""

    path: str
    """Ids in the compiled workflows from the top level down."""
    node_id: str
    does: str
    """`reused`, `goes on` (something of it is reused) or `runs`."""
    why: str


def steps(plan: facts.RecoveryPlan, gone: Collection[str] = ()) -> list[Step]:
    """What becomes of the nodes that began there, parents before their children. What never began runs.

    Nodes within one that is reused as a whole are left out: the new execution does not have them.

    Args:
        gone: addresses of outputs that are not there any more.
    """
    whole = {node.path for node in plan.nodes if is_reused(node) and node.outputs.uri not in gone}
    shown = sorted(
        (node for node in plan.nodes if not any(above in whole for above in _above(node.path))),
        key=lambda node: [_ordered(part) for part in node.path.split("/")],
    )
    return [Step(node.path, node.id.node_id, *_verdict(node, node.path in whole)) for node in shown]


def outputs_of(plan: facts.RecoveryPlan) -> list[str]:
    """Addresses of the outputs that would be reused."""
    return [node.outputs.uri for node in plan.nodes if is_reused(node) and node.HasField("outputs")]


def _verdict(node: facts.RecoverableNode, whole: bool) -> tuple[str, str]:
    if whole:
        return "reused", f"it succeeded in {node.id.execution_id.name}; only if its inputs are the same"
    if is_reused(node):
        return "runs", f"it succeeded, but its outputs are gone: {node.outputs.uri}"
    ended = NodeExecution.Phase.Name(node.phase)
    if node.HasField("error"):
        ended = f"{ended} with {node.error.code}"
    if node.HasField("plan"):
        return "goes on", f"{ended}; its task has asked for its nodes, and does not run again"
    if node.HasField("child"):
        return "goes on", f"{ended}; its child execution {node.child.name} is recovered"
    if node.kind in _COMPOSITE:
        return "goes on", f"{ended}; what succeeded in it is reused"
    if node.checkpoint_prefix:
        return "runs", f"{ended}; it finds the checkpoint at {node.checkpoint_prefix}"
    return "runs", ended


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]


def _ordered(part: str) -> tuple[str, int]:
    """n2 before n10."""
    name = part.rstrip("0123456789")
    return name, int(part[len(name) :] or -1)
