"""Recovering: an execution that begins where another one failed takes over what that one has done (§5.8).

A node is reused when the recovered execution has it under the same path, it succeeded there, and its inputs are the
same here. So nothing is reused that would have come out differently, whatever ran again before it.
"""

from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine import subworkflows, timeouts
from services.execution.engine.recovery_plans import Recovery, is_reused, path_of
from services.execution.engine.state import NodePhase, NodeState
from services.execution.engine.turn import DataLost, DataMissing, Turn


def reuses(turn: Turn, queued: facts.NodeQueued) -> bool:
    """Ends a node that is ready, where its outputs are to be had from the execution that is recovered.

    Raises:
        DataMissing: these outputs have to be loaded first.
    """
    recovery = turn.recovery
    if recovery is None or queued.handles_failure:
        return False
    source = _source(turn, recovery, queued.parent_node_id, queued.spec_node_id, _inputs(turn, queued))
    if source is None or not is_reused(source):
        return False
    recovered = facts.NodeRecovered(
        node_id=queued.node_id,
        source=source.id,
        deck_uri=source.deck_uri,
        cache_status=source.cache_status,
        occurred_at=turn.now,
    )
    if source.HasField("outputs"):
        outputs = source.outputs
        try:
            literals = turn.literals(outputs.uri)
        except DataLost:
            return False
        if not queued.HasField("element"):
            # An element's are gathered by its array; any other node has a copy of its own.
            outputs = turn.write(f"{queued.data_prefix}/0/outputs.pb", literals)
        recovered.outputs.CopyFrom(outputs)
    for field in ("catalog_key", "plan", "child"):
        if source.HasField(field):
            getattr(recovered, field).CopyFrom(getattr(source, field))
    turn.emit(queued)
    turn.emit(recovered)
    turn.ended.append(queued.node_id)
    return True


def look_at_elements(turn: Turn, array: NodeState, size: int) -> None:
    """Looks at what the elements of an array would reuse, all at once rather than one by one as they begin.

    Raises:
        DataMissing: some of it has to be loaded first; all of that is noted.
    """
    recovery = turn.recovery
    if recovery is None:
        return
    above = path_of(turn.state.nodes, array.parent_id, array.spec_node_id)
    missing: DataMissing | None = None
    for index in range(size):
        source = recovery.nodes.get(f"{above}/n{index}")
        if source is not None and is_reused(source) and source.HasField("outputs"):
            try:
                turn.literals(source.outputs.uri)
            except DataMissing as error:
                missing = error
            except DataLost:
                continue
    if missing is not None:
        raise missing


def replans(turn: Turn, state: NodeState) -> bool:
    """Begins what the node's task asked for in the execution that is recovered, without running the task again."""
    source = _unfinished(turn, state)
    if source is None or not source.HasField("plan"):
        return False
    plan = facts.DynamicPlanned()
    plan.CopyFrom(source.plan)
    plan.node_id, plan.attempt = state.node_id, 0
    plan.occurred_at.CopyFrom(turn.now)
    if turn.program_of(plan.closure).primary.unrunnable:
        # It is lost: the task has to ask again.
        return False
    if state.phase == NodePhase.QUEUED:
        turn.emit(facts.NodeStarted(node_id=state.node_id, occurred_at=turn.now))
    timeouts.begin(turn, turn.node(state), state)
    turn.emit(plan)
    subworkflows.begin(turn, turn.frame(state.node_id), LiteralMap())
    return True


def child_of(turn: Turn, state: NodeState) -> WorkflowExecutionIdentifier | None:
    """The child execution that the node's first one is to recover, if there is one."""
    source = _unfinished(turn, state)
    return source.child if source is not None and source.HasField("child") else None


def checkpoint_of(turn: Turn, state: NodeState) -> str:
    """Where the node's last attempt left its checkpoint in the execution that is recovered; "" where it has none."""
    source = _unfinished(turn, state)
    return source.checkpoint_prefix if source is not None else ""


def _unfinished(turn: Turn, state: NodeState) -> facts.RecoverableNode | None:
    """The node in the execution that is recovered, where its first attempt here goes on from there."""
    recovery = turn.recovery
    if recovery is None or state.attempt_number or state.handles_failure:
        return None
    source = _source(turn, recovery, state.parent_id, state.spec_node_id, state.inputs)
    return source if source is not None and not is_reused(source) else None


def _source(
    turn: Turn, recovery: Recovery, parent_id: str, spec_node_id: str, inputs: DataRef | None
) -> facts.RecoverableNode | None:
    """The same node of the execution that is recovered, if it had the same inputs there."""
    nodes = turn.state.nodes
    source = recovery.nodes.get(path_of(nodes, parent_id, spec_node_id))
    if source is None or not _same_plan(turn, recovery, parent_id):
        return None
    if not source.HasField("inputs"):
        return source if inputs is None else None
    return source if inputs is not None and source.inputs.sha256 == inputs.sha256 else None


def _same_plan(turn: Turn, recovery: Recovery, parent_id: str) -> bool:
    """Whether what is around a node is what was around it there: nodes of another plan may be others.

    Nor does a failure node's own workflow go on from an earlier failure.
    """
    nodes = turn.state.nodes
    while parent_id:
        parent = nodes[parent_id]
        if parent.handles_failure:
            return False
        if parent.plan is not None:
            source = recovery.nodes.get(path_of(nodes, parent.parent_id, parent.spec_node_id))
            if source is None or source.plan.closure.sha256 != parent.plan.closure.sha256:
                return False
        parent_id = parent.parent_id
    return True


def _inputs(turn: Turn, queued: facts.NodeQueued) -> DataRef | None:
    if queued.HasField("inputs"):
        return queued.inputs
    # Most elements have those of their array.
    return turn.state.nodes[queued.parent_node_id].inputs if queued.HasField("element") else None
