"""Failing and aborting: who is stopped when something fails, and when the stopping is done.

A workflow that fails, or is aborted, first asks for the end of every attempt that still runs in it. It ends only after
the last of them is known to be gone (engine-semantics §1.3, §1.5).
"""

from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import handlers, retries, timeouts
from services.execution.engine.bindings import START_NODE
from services.execution.engine.state import (
    ROOT,
    AttemptPhase,
    AttemptState,
    ExecutionPhase,
    NodePhase,
    NodeState,
)
from services.execution.engine.turn import Turn

ABORTED: Final = "Workflow aborted."
AUTO_ABORTED: Final = "Some node execution failed, auto-abort."
SUB_WORKFLOW_FAILED: Final = "subworkflow failed"
ARRAY_FAILED: Final = "too many elements failed"
NODE_ABORTED: Final = "NodeAborted"
TIMED_OUT: Final = "Timeout"


def fail_scope(turn: Turn, failed: NodeState) -> None:
    """A node failed, and failures stop everything: fails the workflow around it."""
    if failed.parent_id:
        fail_node(turn, failed.parent_id, _ending_after(turn, failed), error_of(failed))
    else:
        fail_execution(turn, error_of(failed), failed.node_id)


def fail_completed(turn: Turn, parent_id: str) -> None:
    """Nothing can run any more in a workflow in which something failed: fails it with the last failure."""
    failed = _last_failure(turn, parent_id)
    if not parent_id:
        fail_execution(turn, error_of(failed), failed.node_id)
    elif _ending_after(turn, failed) == facts.ENDS_RETRYING:
        retries.after_failure(turn, parent_id, error_of(failed), recoverable=True)
    elif turn.frame(parent_id).workflow.failure_node:
        fail_node(turn, parent_id, facts.ENDS_FAILED, error_of(failed))
    else:
        turn.fail(parent_id, error_of(failed))


def _ending_after(turn: Turn, failed: NodeState) -> facts.NodeEnding:
    """How a node ends because of a child. A task that asked for nodes may ask again after a time-out (§5.1)."""
    asked = turn.state.nodes[failed.parent_id].plan is not None
    return facts.ENDS_RETRYING if asked and failed.phase == NodePhase.TIMED_OUT else facts.ENDS_FAILED


def fail_after(turn: Turn, node_id: str, workflow_id: str) -> None:
    """Fails a running node that can never go on, because of a failure in a workflow around it."""
    turn.fail(node_id, error_of(_last_failure(turn, workflow_id)))


def fail_node(turn: Turn, node_id: str, ending: facts.NodeEnding, error: ExecutionError | None) -> None:
    """Lets a running node end without success, as soon as what runs for it is gone."""
    turn.emit(facts.NodeFailing(node_id=node_id, ending=ending, error=error, occurred_at=turn.now))
    state = turn.state.nodes[node_id]
    reason = _reason(state, ending, error)
    if state.composite:
        _stop(turn, node_id, reason)
        drained(turn, node_id)
    elif state.live_attempt is None:
        _conclude(turn, state)
    else:
        _abort_attempt(turn, state, reason)


def fail_execution(turn: Turn, error: ExecutionError, node_id: str = "") -> None:
    """Fails the execution, because of a node or as a whole, and stops everything in it."""
    turn.emit(facts.ExecutionFailing(error=error, node_id=node_id, occurred_at=turn.now))
    _stop(turn, ROOT, AUTO_ABORTED)
    drained(turn, ROOT)


def give_up(turn: Turn, error: ExecutionError) -> None:
    """Ends an execution that cannot go on: it fails, or the handling of its failure does."""
    if turn.state.phase != ExecutionPhase.FAILING:
        fail_execution(turn, error)
        return
    handler = handlers.open_handler(turn)
    if handler is None:
        return
    if handler.phase == NodePhase.ASKING:
        # Clients see that it failed.
        assert handler.asked is not None
        turn.emit(handler.asked)
    fail_node(turn, handler.node_id, facts.ENDS_FAILED, error)


def abort(turn: Turn) -> None:
    """Stops everything of an execution whose abort was requested."""
    _stop(turn, ROOT, ABORTED)
    drained(turn, ROOT)


def abandon(turn: Turn) -> None:
    """Ends everything of an execution that is being aborted, without waiting for what runs."""
    for state in turn.state.open_nodes():
        attempt = state.live_attempt
        if attempt is not None:
            _abandon(turn, state, attempt)
            attempt_gone(turn, state.node_id)


def _abandon(turn: Turn, state: NodeState, attempt: AttemptState) -> None:
    if attempt.child:
        turn.emit(
            facts.ChildExecutionEnded(
                node_id=state.node_id,
                attempt=attempt.number,
                phase=WorkflowExecution.ABORTING,
                occurred_at=turn.now,
            )
        )
        return
    turn.emit(
        facts.AttemptAborted(
            node_id=state.node_id,
            attempt=attempt.number,
            reason=attempt.abort_reason,
            abandoned=True,
            occurred_at=turn.now,
        )
    )


def attempt_gone(turn: Turn, node_id: str) -> None:
    """The attempt that was to be stopped is known to be gone: takes the node's next step."""
    state = turn.state.nodes[node_id]
    attempt = state.attempt
    assert attempt is not None
    if turn.halted(state) or state.phase == NodePhase.FAILING:
        _conclude(turn, state)
    else:
        assert attempt.timed_out
        retries.after_failure(turn, node_id, attempt.late or timeouts.expired(turn, state), recoverable=True)


def drained(turn: Turn, parent_id: str) -> None:
    """Ends a workflow that is being stopped, once none of its nodes is open and its failure has been handled."""
    if turn.state.scope(parent_id).open:
        return
    if handlers.awaited(turn, parent_id):
        turn.drained.append(parent_id)
    elif parent_id:
        parent = turn.state.nodes[parent_id]
        if not parent.phase.terminal:
            _conclude(turn, parent)
    elif turn.state.phase == ExecutionPhase.ABORTING:
        turn.emit(
            facts.ExecutionAborted(
                parent=turn.awaited_by, requested_by=turn.requested_by, queued=turn.queued, occurred_at=turn.now
            )
        )
    elif turn.state.phase == ExecutionPhase.FAILING:
        assert turn.state.error is not None
        error = handlers.final_error(turn, ROOT, turn.state.error)
        turn.emit(
            facts.ExecutionFailed(
                error=error,
                parent=turn.awaited_by,
                requested_by=turn.requested_by,
                queued=turn.queued,
                occurred_at=turn.now,
            )
        )


def _conclude(turn: Turn, state: NodeState) -> None:
    """Ends a node for which nothing runs any more, in the way that was decided when it began to stop."""
    node_id = state.node_id
    phase = turn.state.phase
    ending = state.ending if phase != ExecutionPhase.ABORTING else facts.NODE_ENDING_UNSPECIFIED
    if state.array is not None:
        _end_array(turn, state, ending)
    if ending == facts.ENDS_TIMED_OUT:
        turn.emit(facts.NodeTimedOut(node_id=node_id, occurred_at=turn.now))
        turn.ended.append(node_id)
    elif ending == facts.ENDS_FAILED:
        assert state.error is not None
        turn.fail(node_id, handlers.final_error(turn, node_id, state.error))
    elif ending == facts.ENDS_RETRYING and not turn.halted(state):
        assert state.error is not None
        retries.after_failure(turn, node_id, state.error, recoverable=True)
    else:
        _end_aborted(turn, state, _abort_reason(turn, state))


def _end_array(turn: Turn, state: NodeState, ending: facts.NodeEnding) -> None:
    failed = ending in (facts.ENDS_FAILED, facts.ENDS_RETRYING)
    turn.emit(
        facts.ArrayEnded(
            node_id=state.node_id,
            attempt=state.attempt_number,
            phase=TaskExecution.FAILED if failed else TaskExecution.ABORTED,
            error=state.error if failed else None,
            occurred_at=turn.now,
        )
    )


def _end_aborted(turn: Turn, state: NodeState, reason: str) -> None:
    error = ExecutionError(code=NODE_ABORTED, message=reason)
    unseen = state.phase == NodePhase.ASKING
    turn.emit(facts.NodeAborted(node_id=state.node_id, error=error, occurred_at=turn.now, unseen=unseen))
    turn.ended.append(state.node_id)


def _stop(turn: Turn, parent_id: str, reason: str) -> None:
    """Asks for the end of every attempt beneath a parent, and ends the nodes that have none."""
    for state in _open_beneath(turn, parent_id):
        if state.live_attempt is not None:
            _abort_attempt(turn, state, reason)
        elif not turn.state.scope(state.node_id).open:
            _end_aborted(turn, state, reason)


def _open_beneath(turn: Turn, parent_id: str) -> list[NodeState]:
    nodes = turn.state.nodes

    def beneath(state: NodeState) -> bool:
        while state.parent_id != parent_id:
            if not state.parent_id:
                return False
            state = nodes[state.parent_id]
        return True

    return [state for state in turn.state.open_nodes() if beneath(state)]


def end_late(turn: Turn, state: NodeState, reason: str, error: ExecutionError | None = None) -> None:
    """Stops an attempt that is late, and may then be retried: it counts as `error`, or as one that ran too long."""
    _abort_attempt(turn, state, reason, late=True, error=error)


def _abort_attempt(
    turn: Turn, state: NodeState, reason: str, *, late: bool = False, error: ExecutionError | None = None
) -> None:
    attempt = state.live_attempt
    if attempt is None or attempt.phase != AttemptPhase.LIVE:
        return
    if attempt.child:
        created = turn.state.created
        turn.emit(
            facts.ChildExecutionAborting(
                node_id=state.node_id,
                attempt=attempt.number,
                execution_id=WorkflowExecutionIdentifier(
                    project=created.id.project, domain=created.id.domain, name=attempt.child
                ),
                reason=reason,
                timed_out=late,
                occurred_at=turn.now,
            )
        )
        return
    turn.emit(
        facts.AttemptAborting(
            node_id=state.node_id,
            attempt=attempt.number,
            reason=reason,
            timed_out=late,
            error=error,
            occurred_at=turn.now,
        )
    )


def _reason(state: NodeState, ending: facts.NodeEnding, error: ExecutionError | None) -> str:
    """Why what belongs to a node is stopped that ends without success."""
    if ending == facts.ENDS_FAILED:
        return ARRAY_FAILED if state.kind == facts.ARRAY else SUB_WORKFLOW_FAILED
    return error.message if error is not None else "node timeout expired"


def _abort_reason(turn: Turn, state: NodeState) -> str:
    """Why a node is aborted whose last attempt is gone: what stops it now, which may be more than what began to."""
    if turn.state.phase == ExecutionPhase.ABORTING:
        return ABORTED
    if turn.state.phase == ExecutionPhase.FAILING:
        return AUTO_ABORTED
    parent_id = state.parent_id
    while parent_id:
        parent = turn.state.nodes[parent_id]
        if parent.phase == NodePhase.FAILING:
            return _reason(parent, parent.ending, parent.error)
        parent_id = parent.parent_id
    return AUTO_ABORTED


def error_of(failed: NodeState) -> ExecutionError:
    """The error of a node that failed or timed out."""
    if failed.phase == NodePhase.TIMED_OUT or failed.error is None:
        message = f"timeout in node [{failed.node_id}]"
        return ExecutionError(code=TIMED_OUT, message=message, kind=ExecutionError.USER)
    return failed.error


def cause(turn: Turn, parent_id: str) -> str:
    """Unique id of the node because of which a workflow is failing; empty when it failed as a whole."""
    if not parent_id:
        return turn.state.failed_node_id
    failed = turn.state.scope(parent_id).failed
    if not failed:
        return ""
    return failed[0] if turn.program.fails_immediately else _last_failure(turn, parent_id).node_id


def _last_failure(turn: Turn, parent_id: str) -> NodeState:
    """The failure that counts when several nodes failed: the last one on a walk from the start node."""
    nodes = turn.state.nodes
    failed = turn.state.scope(parent_id).failed
    if len(failed) == 1:
        return nodes[failed[0]]
    frame = turn.frame(parent_id)
    order: list[str] = []
    seen: set[str] = set()
    ahead = [START_NODE]
    while ahead:
        spec_node_id = ahead.pop()
        if spec_node_id in seen:
            continue
        seen.add(spec_node_id)
        order.append(frame.unique_id(spec_node_id))
        ahead.extend(reversed(frame.workflow.node(spec_node_id).downstream))
    return nodes[max(failed, key={node_id: place for place, node_id in enumerate(order)}.__getitem__)]
