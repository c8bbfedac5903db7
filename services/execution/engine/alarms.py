"""What happens when a timer is due: a retry begins, or a deadline has passed. Alarms for what is over are ignored."""

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import failure, gates, retries, timeouts
from services.execution.engine.state import NodePhase, NodeState, TimerState
from services.execution.engine.turn import Turn


def fire(turn: Turn, timer: TimerState) -> None:
    """Does what a timer was set for, unless it is over."""
    state = turn.state.nodes.get(timer.node_id)
    if state is None or state.phase.terminal or turn.halted(state):
        return
    if state.storing is not None:
        # It has done its work in time.
        return
    if timer.kind == facts.NODE_DEADLINE:
        handling = state.fails and bool(turn.state.scope(state.node_id).handler)
        if handling or state.ending in (facts.NODE_ENDING_UNSPECIFIED, facts.ENDS_RETRYING):
            failure.fail_node(turn, state.node_id, facts.ENDS_TIMED_OUT, None)
    elif state.phase == NodePhase.RUNNING and state.attempt_number == timer.attempt:
        if timer.kind == facts.RETRY:
            if state.attempt is None and not _has_begun(turn, state):
                turn.resumed.append(state.node_id)
        elif timer.kind == facts.SLEEP:
            gates.slept(turn, state)
        elif timer.kind == facts.ATTEMPT_DEADLINE:
            _expire_attempt(turn, state)
        elif timer.kind == facts.QUEUE_DEADLINE:
            _expire_queueing(turn, state)


def _has_begun(turn: Turn, state: NodeState) -> bool:
    """Whether an announced attempt has begun, of a node that has no attempt facts of its own."""
    if state.kind == facts.GATE:
        # A gate is tried again only when it ran out of time, so every attempt of it has a deadline.
        return timeouts.timer_id(state.node_id, facts.ATTEMPT_DEADLINE, state.attempt_number) in turn.state.timers
    return state.node_id in turn.state.scopes or bool(state.taken)


def _expire_attempt(turn: Turn, state: NodeState) -> None:
    if state.kind == facts.GATE:
        retries.after_failure(turn, state.node_id, timeouts.expired(turn, state), recoverable=True)
        return
    if state.composite:
        if _has_begun(turn, state):
            failure.fail_node(turn, state.node_id, facts.ENDS_RETRYING, timeouts.expired(turn, state))
        return
    failure.end_late(turn, state, timeouts.expired(turn, state).message)


def _expire_queueing(turn: Turn, state: NodeState) -> None:
    attempt = state.live_attempt
    if attempt is not None and not attempt.ran:
        error = timeouts.queued_too_long(turn)
        failure.end_late(turn, state, error.message, error)
