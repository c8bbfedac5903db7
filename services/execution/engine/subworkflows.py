"""Workflows inside workflows: a node's children start with its inputs, and their end is its end.

The same rules begin and end the top level (engine-semantics §5.2).
"""

from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import caching, failure
from services.execution.engine.bindings import START_NODE
from services.execution.engine.state import NodePhase, NodeState
from services.execution.engine.turn import DataMissing, Frame, Turn


def begin(turn: Turn, frame: Frame, inputs: LiteralMap) -> None:
    """Begins a workflow, outer or inner: its start node succeeds with the workflow's inputs."""
    queued = frame.queued(frame.workflow.node(START_NODE), turn.now)
    turn.emit(queued)
    outputs = turn.write(f"{queued.data_prefix}/0/outputs.pb", inputs)
    turn.emit(facts.NodeSucceeded(node_id=queued.node_id, outputs=outputs, occurred_at=turn.now))
    turn.ended.append(queued.node_id)


def run(turn: Turn, node_id: str) -> None:
    """Runs the current attempt of a sub-workflow node; its children are nodes with ids of their own."""
    state = turn.state.nodes[node_id]
    assert state.inputs is not None
    try:
        inputs = turn.literals(state.inputs.uri)
    except DataMissing:
        return
    begin(turn, turn.frame(node_id), inputs)


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
        turn.emit(
            facts.ExecutionSucceeded(
                outputs=ref,
                parent=turn.awaited_by,
                requested_by=turn.requested_by,
                queued=turn.queued,
                occurred_at=turn.now,
            )
        )
        return
    parent = turn.state.nodes[end.parent_id]
    declares_outputs = turn.frame(parent.node_id).workflow.declares_outputs
    uri = f"{parent.data_prefix}/{parent.attempt_number}/outputs.pb"
    caching.succeed(turn, parent.node_id, turn.write(uri, outputs) if declares_outputs else None)
