"""Failure nodes: what a workflow runs when it has failed and nothing else of it runs any more (engine-semantics §1.4).

A failure node is on no edge. It is queued when the failing workflow is drained, and the workflow's end waits for it:
its success leaves the workflow failed as it was, its failure replaces the error.
"""

from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import SimpleType

from services.execution.engine.bindings import promised_nodes
from services.execution.engine.program import Node, ProgramError
from services.execution.engine.state import ExecutionPhase, NodePhase, NodeState
from services.execution.engine.turn import Turn

ERROR_INPUT: Final = "err"
"""Name of the input that gets the error, where a failure node has it."""

TIMED_OUT: Final = "TimedOut"
# How flytekit tags its type of errors among the variants of a union.
_ERROR_TAG: Final = "FlyteError"


def awaited(turn: Turn, parent_id: str) -> bool:
    """Whether a drained workflow is to run its failure node now: it failed by itself, and has not run it yet."""
    if parent_id:
        parent = turn.state.nodes[parent_id]
        if not parent.fails or turn.halted(parent):
            return False
    elif turn.state.phase != ExecutionPhase.FAILING:
        return False
    if parent_id not in turn.state.scopes:
        # It never began, or what it consisted of belongs to an attempt that is over.
        return False
    if turn.state.scope(parent_id).handler:
        return False
    try:
        return bool(turn.frame(parent_id).workflow.failure_node)
    except ProgramError:
        # The workflow is lost, and its failure node with it.
        return False


def final_error(turn: Turn, parent_id: str, original: ExecutionError) -> ExecutionError:
    """The error a failing workflow ends with: its own, unless its failure node did not succeed."""
    handler = _handler(turn, parent_id)
    if handler is None:
        return original
    if handler.phase == NodePhase.TIMED_OUT:
        return ExecutionError(code=TIMED_OUT, message="FailureNode Timed-out", kind=ExecutionError.USER)
    if handler.phase == NodePhase.FAILED and handler.error is not None:
        return handler.error
    return original


def open_handler(turn: Turn) -> NodeState | None:
    """The failure node of the execution as a whole, while it has not ended; its own, while that handles its failure."""
    found, handler = None, _handler(turn, "")
    while handler is not None and not handler.phase.terminal:
        found, handler = handler, _handler(turn, handler.node_id)
    return found


def with_error(turn: Turn, parent_id: str, failed_node_id: str, node: Node, inputs: LiteralMap) -> LiteralMap:
    """The inputs of a failure node, `err` telling what failed where the node has such an input.

    flytekit binds it to None; a workflow's own input of that name is left alone.
    """
    if ERROR_INPUT not in inputs.literals or any(promised_nodes(dict(node.inputs)[ERROR_INPUT])):
        return inputs
    error = turn.state.nodes[parent_id].error if parent_id else turn.state.error
    told = LiteralMap()
    told.CopyFrom(inputs)
    union = told.literals[ERROR_INPUT].scalar.union
    union.Clear()
    union.type.simple = SimpleType.ERROR
    union.type.structure.tag = _ERROR_TAG
    union.value.scalar.error.message = error.message if error is not None else ""
    union.value.scalar.error.failed_node_id = failed_node_id
    return told


def _handler(turn: Turn, parent_id: str) -> NodeState | None:
    return turn.state.nodes.get(turn.state.scope(parent_id).handler)
