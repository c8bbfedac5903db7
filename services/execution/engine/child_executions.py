"""Launch-plan nodes: an execution of its own runs for the node, and how that ends is how the node ends.

The child execution takes the place of an attempt. It is asked for by a fact, under a name that follows from execution,
node and attempt; the service's reactions create and terminate it, and report its end (engine-semantics §5.3).
"""

from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import caching, failure, names, recovery
from services.execution.engine.commands import ObserveChild
from services.execution.engine.state import AttemptPhase, AttemptState, NodeState
from services.execution.engine.turn import DataMissing, Turn

ABORTED: Final = "RemoteChildWorkflowExecutionFailed"


def request(turn: Turn, node_id: str) -> None:
    """Asks for the execution that is the node's current attempt."""
    state = turn.state.nodes[node_id]
    launch_plan = turn.node(state).launch_plan
    assert launch_plan is not None
    created, attempt = turn.state.created, state.attempt_number
    turn.emit(
        facts.ChildExecutionRequested(
            node_id=node_id,
            attempt=attempt,
            execution_id=WorkflowExecutionIdentifier(
                project=created.id.project,
                domain=created.id.domain,
                name=names.child_execution_name(created.id.name, node_id, attempt),
            ),
            launch_plan=launch_plan,
            inputs=state.inputs,
            output_prefix=f"{state.data_prefix}/{attempt}",
            recovers=recovery.child_of(turn, state),
            occurred_at=turn.now,
        )
    )


def observe(turn: Turn, command: ObserveChild) -> None:
    """Takes in that a child execution is over or cannot be created; what is late or repeated changes nothing."""
    state = turn.state.nodes.get(command.node_id)
    attempt = state.live_attempt if state is not None else None
    if state is None or attempt is None or not attempt.child or attempt.number != command.attempt:
        return
    if attempt.phase == AttemptPhase.ABORTING:
        # However it ended meanwhile: nobody waits for its outputs any more.
        _emit_end(turn, state, command)
        failure.attempt_gone(turn, state.node_id)
    elif command.phase == WorkflowExecution.SUCCEEDED:
        _succeed(turn, state, attempt, command)
    else:
        _emit_end(turn, state, command)
        # A child has used up its own retries: the node has none for that.
        turn.fail(state.node_id, _error(attempt, command))


def _succeed(turn: Turn, state: NodeState, attempt: AttemptState, command: ObserveChild) -> None:
    assert command.outputs is not None
    try:
        outputs = turn.literals(command.outputs.uri)
    except DataMissing:
        return
    ref = turn.write(f"{attempt.output_prefix}/outputs.pb", outputs)
    _emit_end(turn, state, command)
    caching.succeed(turn, state.node_id, ref)


def _error(attempt: AttemptState, command: ObserveChild) -> ExecutionError:
    if command.error is not None:
        return command.error
    return ExecutionError(code=ABORTED, message=f"launchplan [{attempt.child}] aborted", kind=ExecutionError.USER)


def _emit_end(turn: Turn, state: NodeState, command: ObserveChild) -> None:
    turn.emit(
        facts.ChildExecutionEnded(
            node_id=state.node_id,
            attempt=command.attempt,
            phase=command.phase,
            outputs=command.outputs,
            error=command.error,
            occurred_at=turn.now,
        )
    )
