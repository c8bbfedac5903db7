"""Workflows inside workflows: a node's children start with its inputs, and their end is its end (engine-semantics §5.2).

The same rules end the top level: `completed` is where a workflow, outer or inner, has reached its end node.
"""

from datetime import timedelta

from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import failure, graph, timeouts
from services.execution.engine.state import NodePhase, NodeState
from services.execution.engine.turn import DataMissing, Turn


def start(turn: Turn, node_id: str, inputs: LiteralMap) -> None:
    """Starts a sub-workflow node that has been queued."""
    turn.emit(facts.NodeStarted(node_id=node_id, occurred_at=turn.now))
    _begin(turn, node_id, inputs)


def run(turn: Turn, node_id: str) -> None:
    """Runs the node's next attempt; its children are new nodes with ids of their own."""
    inputs = turn.state.nodes[node_id].inputs
    if inputs is None:
        return
    try:
        literals = turn.literals(inputs.uri)
    except DataMissing:
        return
    _begin(turn, node_id, literals)


def _begin(turn: Turn, node_id: str, inputs: LiteralMap) -> None:
    state = turn.state.nodes[node_id]
    timeout: timedelta | None = turn.node(state).timeout
    if timeout is not None:
        timeouts.arm(turn, node_id, state.attempt_number, timeout)
    graph.begin(turn, turn.frame(node_id), inputs)


def completed(turn: Turn, end: NodeState) -> None:
    """Ends the workflow around an end node that has ended."""
    if end.phase == NodePhase.SUCCEEDED:
        _succeed(turn, end)
    else:
        failure.fail_completed(turn, end.parent_id)


def _succeed(turn: Turn, end: NodeState) -> None:
    assert end.inputs is not None
    try:
        outputs = turn.literals(end.inputs.uri)
    except DataMissing:
        return
    if not end.parent_id:
        ref = turn.write(f"{end.data_prefix}/0/outputs.pb", outputs)
        turn.emit(facts.ExecutionSucceeded(outputs=ref, occurred_at=turn.now))
        return
    parent = turn.state.nodes[end.parent_id]
    fact = facts.NodeSucceeded(node_id=parent.node_id, occurred_at=turn.now)
    if turn.frame(parent.node_id).workflow.declares_outputs:
        fact.outputs.CopyFrom(turn.write(f"{parent.data_prefix}/{parent.attempt_number}/outputs.pb", outputs))
    turn.emit(fact)
    turn.ended.append(parent.node_id)
