"""What follows a failed attempt: another one, or the failure of the node.

Failures of kind SYSTEM have a budget of their own, failures of all other kinds share the task's; the attempt number
counts both (engine-semantics §2.6, §2.7).
"""

from datetime import timedelta
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import timeouts
from services.execution.engine.program import Node
from services.execution.engine.state import NodeState
from services.execution.engine.turn import Turn, timestamp

EXHAUSTED: Final = "RetriesExhausted"


def after_failure(turn: Turn, node_id: str, error: ExecutionError, *, recoverable: bool, deck_uri: str = "") -> None:
    """Retries the node, whose attempt has failed and is gone, or fails it."""
    if not recoverable:
        _fail(turn, node_id, error, deck_uri)
        return
    state = turn.state.nodes[node_id]
    if error.kind == ExecutionError.SYSTEM:
        used, budget = state.system_failures, turn.settings.max_system_failures
        system_failures = used + 1
    else:
        used, budget = state.attempt_number + 1 - state.system_failures, turn.node(state).max_attempts
        system_failures = state.system_failures
    if used < budget:
        _retry(turn, state, system_failures)
    else:
        _fail(turn, node_id, exhausted(error, used, budget), deck_uri)


def exhausted(error: ExecutionError, used: int, budget: int) -> ExecutionError:
    """The error of a node whose budget is spent, around the one of its last attempt."""
    kind = ExecutionError.ErrorKind.Name(error.kind)
    return ExecutionError(
        code=f"{EXHAUSTED}|{error.code}",
        message=f"[{used}/{budget}] currentAttempt done. Last Error: {kind}::{error.message}",
        kind=ExecutionError.USER,
    )


def interruptible(turn: Turn, node: Node, state: NodeState) -> bool:
    """Whether the node's next attempt may be pre-empted: never the last one that system failures have left."""
    if state.system_failures >= turn.settings.max_system_failures:
        return False
    if node.interruptible is not None:
        return node.interruptible
    config = turn.state.created.config
    if config.HasField("interruptible"):
        return config.interruptible
    return turn.program.interruptible


def backoff(base: timedelta, most: timedelta, failures: int) -> timedelta:
    """The pause after the given number of failures, at least 1: doubling from `base`, never above `most`."""
    # 2**32 times any base is above any sensible limit, and timedelta overflows not far beyond.
    return min(base * 2 ** min(failures - 1, 32), most) if base < most else most


def _retry(turn: Turn, state: NodeState, system_failures: int) -> None:
    settings = turn.settings
    pause = backoff(settings.retry_backoff_base, settings.retry_backoff_max, state.attempt_number + 1)
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
    else:
        turn.resumed.append(state.node_id)


def _fail(turn: Turn, node_id: str, error: ExecutionError, deck_uri: str) -> None:
    turn.emit(facts.NodeFailed(node_id=node_id, error=error, deck_uri=deck_uri, occurred_at=turn.now))
    turn.ended.append(node_id)
