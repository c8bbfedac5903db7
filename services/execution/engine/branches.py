"""Branch nodes: the conditions choose an arm, the arm runs as the branch's only child, its end is the branch's end.

Of arms that are not taken there is no trace (engine-semantics §2.8).
"""

from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import failure
from services.execution.engine.conditions import MalformedCondition, first_true
from services.execution.engine.program import Branch
from services.execution.engine.state import NodePhase, NodeState
from services.execution.engine.turn import DataMissing, Frame, Turn

ELSE_FAILED: Final = "UserProvidedError"
MALFORMED: Final = "MalformedBranchUserError"


def run(turn: Turn, node_id: str) -> None:
    """Takes an arm of a branch that has just started, or fails it. Starting the arm is for `graph` to do."""
    state = turn.state.nodes[node_id]
    branch = turn.node(state).branch
    assert branch is not None
    assert state.inputs is not None
    try:
        inputs = turn.literals(state.inputs.uri)
    except DataMissing:
        return
    try:
        case = first_true(branch, inputs)
    except MalformedCondition as error:
        _fail(turn, node_id, MALFORMED, str(error))
        return
    arm = branch.otherwise if case is None else branch.cases[case][1]
    if arm:
        turn.emit(facts.BranchTaken(node_id=node_id, spec_node_id=arm, case=case, occurred_at=turn.now))
    else:
        _refuse(turn, node_id, branch)


def waiting_arm(turn: Turn, branch_id: str) -> tuple[Frame, str] | None:
    """Frame and compiled id of the arm, of this branch or of one in its arm, that is taken and not begun; or None."""
    state = turn.state.nodes.get(branch_id)
    while state is not None and state.taken and state.phase == NodePhase.RUNNING:
        frame = turn.frame(state.node_id)
        arm = turn.state.nodes.get(frame.unique_id(state.taken))
        if arm is None:
            return frame, state.taken
        state = arm
    return None


def ended(turn: Turn, arm: NodeState) -> None:
    """Ends the branch around an arm that has ended."""
    branch = turn.state.nodes[arm.parent_id]
    if arm.phase.succeeded:
        _succeed(turn, branch, arm)
    elif arm.phase == NodePhase.SKIPPED:
        # What it takes its inputs from failed, in the workflow around the branch.
        failure.fail_after(turn, branch.node_id, turn.frame(branch.node_id).source_parent)
    else:
        failure.fail_completed(turn, branch.node_id)


def _succeed(turn: Turn, branch: NodeState, arm: NodeState) -> None:
    fact = facts.NodeSucceeded(node_id=branch.node_id, occurred_at=turn.now)
    if arm.outputs is not None and arm.outputs.sha256:
        try:
            outputs = turn.literals(arm.outputs.uri)
        except DataMissing:
            return
        fact.outputs.CopyFrom(turn.write(f"{branch.data_prefix}/{branch.attempt_number}/outputs.pb", outputs))
    turn.emit(fact)
    turn.ended.append(branch.node_id)


def _refuse(turn: Turn, node_id: str, branch: Branch) -> None:
    if branch.error is not None:
        _fail(turn, node_id, ELSE_FAILED, branch.error.message)
    else:
        _fail(turn, node_id, MALFORMED, "no condition is true, and there is no else")


def _fail(turn: Turn, node_id: str, code: str, message: str) -> None:
    error = ExecutionError(code=code, message=message, kind=ExecutionError.USER)
    turn.fail(node_id, error)
