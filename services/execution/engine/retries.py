"""What follows a failed attempt: another one, or the failure of the node.

Failures of kind SYSTEM have a budget of their own, failures of all other kinds share the task's; the attempt number
counts both (engine-semantics §2.6, §2.7).
"""

from datetime import timedelta
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types.retry_pauses import BadPause, retry_pauses
from services.execution.engine import timeouts
from services.execution.engine.program import Node
from services.execution.engine.state import NodeState
from services.execution.engine.turn import Turn, timestamp

EXHAUSTED: Final = "RetriesExhausted"


def after_failure(turn: Turn, node_id: str, error: ExecutionError, *, recoverable: bool, deck_uri: str = "") -> None:
    """Retries the node, whose attempt has failed and is gone, or fails it."""
    if not recoverable:
        turn.fail(node_id, error, deck_uri=deck_uri)
        return
    state, settings = turn.state.nodes[node_id], turn.settings
    system = error.kind == ExecutionError.SYSTEM
    if settings.ignore_retry_cause:
        used, budget = state.attempt_number + 1, _max_attempts(turn, turn.node(state))
    elif system:
        used, budget = state.system_failures, settings.max_system_failures
    else:
        used, budget = state.attempt_number + 1 - state.system_failures, _max_attempts(turn, turn.node(state))
    system_failures = state.system_failures + system
    if used < budget:
        _retry(turn, state, system_failures)
    else:
        turn.fail(node_id, exhausted(error, used, budget), deck_uri=deck_uri)


def exhausted(error: ExecutionError, used: int, budget: int) -> ExecutionError:
    """The error of a node whose budget is spent, around the one of its last attempt."""
    kind = ExecutionError.ErrorKind.Name(error.kind)
    return ExecutionError(
        code=f"{EXHAUSTED}|{error.code}",
        message=f"[{used}/{budget}] currentAttempt done. Last Error: {kind}::{error.message}",
        kind=ExecutionError.USER,
    )


def interruptible(turn: Turn, node: Node, state: NodeState) -> bool:
    """Whether the node's next attempt may be pre-empted: never the last one that failures have left."""
    if _on_demand(turn, node, state):
        return False
    if node.interruptible is not None:
        return node.interruptible
    config = turn.state.created.config
    if config.HasField("interruptible"):
        return config.interruptible
    return turn.program.interruptible


def _max_attempts(turn: Turn, node: Node) -> int:
    """Attempts a node's own budget allows. A budget of one cannot be told from none (engine-semantics §2.6)."""
    if node.task is not None and node.max_attempts == 1:
        return max(1, turn.settings.default_max_attempts)
    return node.max_attempts


def _on_demand(turn: Turn, node: Node, state: NodeState) -> bool:
    settings = turn.settings
    if settings.ignore_retry_cause:
        return 0 < state.attempt_number >= _max_attempts(turn, node) - 1
    threshold = settings.interruptible_failure_threshold
    if threshold < 0:
        threshold += settings.max_system_failures + 1
    return state.system_failures >= threshold


def _pause(turn: Turn, state: NodeState) -> timedelta:
    """How long to wait before the next attempt: as the task asks for, else as the server is configured."""
    settings, task = turn.settings, turn.node(state).task
    base, most = settings.retry_backoff_base, settings.retry_backoff_max
    try:
        asked = retry_pauses(task.template.metadata) if task is not None else None
    except BadPause:
        # Registration refuses it; a closure of an earlier release may have it all the same.
        asked = None
    if asked is not None and asked.base is not None:
        base, most = asked.base, max(asked.base, most)
    if asked is not None and asked.most is not None:
        most = asked.most
    return backoff(base, most, state.attempt_number + 1)


def backoff(base: timedelta, most: timedelta, failures: int) -> timedelta:
    """The pause after the given number of failures, at least 1: doubling from `base`, never above `most`."""
    # 2**32 times any base is above any sensible limit, and timedelta overflows not far beyond.
    return min(base * 2 ** min(failures - 1, 32), most) if base < most else most


def _retry(turn: Turn, state: NodeState, system_failures: int) -> None:
    pause = _pause(turn, state)
    if state.plan is not None:
        # It left its place to what it asked for, and waits for one again: that is pause enough.
        pause = timedelta()
    attempt = state.attempt_number + 1
    due = timestamp(turn.context.now + pause)
    turn.emit(
        facts.RetryScheduled(
            node_id=state.node_id,
            attempt=attempt,
            system_failures=system_failures,
            due=due,
            occurred_at=turn.now,
        )
    )
    if pause > timedelta():
        turn.emit(
            facts.TimerSet(
                timer_id=timeouts.timer_id(state.node_id, facts.RETRY, attempt),
                kind=facts.RETRY,
                node_id=state.node_id,
                attempt=attempt,
                due=due,
            )
        )
    elif state.plan is None:
        turn.resumed.append(state.node_id)
