"""Deadlines of nodes: when they are set, and the error of missing one. What an alarm does is in `alarms`.

A node's timeout holds for each attempt, counted from its scheduling; twice the timeout holds for all attempts together
(engine-semantics §2.5). An execution's queueing budget, which Flyte carries along and nobody there enforces, holds for
each attempt until it runs.
"""

from datetime import timedelta
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types.durations import go_duration
from services.execution.engine.program import Node, bounded_duration
from services.execution.engine.state import NodeState
from services.execution.engine.turn import Turn, timestamp

EXPIRED: Final = "TimeoutExpired"
QUEUED_TOO_LONG: Final = "QueueingBudgetExceeded"
# Kinds of nodes that take part in the server's own deadlines: people may take their time with the others.
_LIMITED: Final = frozenset({facts.TASK, facts.ARRAY, facts.LAUNCH_PLAN})
_NAMES: Final = {
    facts.RETRY: "retry",
    facts.ATTEMPT_DEADLINE: "attempt",
    facts.NODE_DEADLINE: "node",
    facts.SLEEP: "sleep",
    facts.QUEUE_DEADLINE: "queue",
}


def timer_id(node_id: str, kind: facts.TimerKind, attempt: int) -> str:
    """Id of a timer, unique within the execution."""
    return f"{node_id}/{attempt}/{_NAMES[kind]}"


def begin(turn: Turn, node: Node, state: NodeState) -> None:
    """Sets the deadline of an attempt that begins; with the first one, the deadline of the node."""
    if node.gate is not None and node.gate.HasField("sleep"):
        # What sleeps takes its time: flytekit gives it a timeout that nobody asked for.
        return
    timeout, whole = _timeout(turn, node), _whole(turn, node)
    if timeout > timedelta():
        _set(turn, state.node_id, facts.ATTEMPT_DEADLINE, state.attempt_number, timeout)
    if whole > timedelta() and state.attempt_number == 0:
        _set(turn, state.node_id, facts.NODE_DEADLINE, 0, whole)


def begin_queueing(turn: Turn, state: NodeState) -> None:
    """Sets the moment at which an attempt that was just ordered should run."""
    budget = _queueing_budget(turn)
    if budget > timedelta():
        _set(turn, state.node_id, facts.QUEUE_DEADLINE, state.attempt_number, budget)


def expired(turn: Turn, state: NodeState) -> ExecutionError:
    """The error of an attempt that ran out of time."""
    timeout = _timeout(turn, turn.node(state))
    return ExecutionError(
        code=EXPIRED,
        message=f"task execution timeout [{go_duration(timeout)}] expired",
        kind=ExecutionError.USER,
    )


def queued_too_long(turn: Turn) -> ExecutionError:
    """The error of an attempt that did not run when its queueing budget was spent."""
    return ExecutionError(
        code=QUEUED_TOO_LONG,
        message=f"the task did not start within the queueing budget [{go_duration(_queueing_budget(turn))}]",
        kind=ExecutionError.USER,
    )


def _timeout(turn: Turn, node: Node) -> timedelta:
    if node.timeout is not None:
        return node.timeout
    return turn.settings.attempt_timeout if node.kind in _LIMITED else timedelta()


def _whole(turn: Turn, node: Node) -> timedelta:
    if node.timeout is not None:
        return 2 * node.timeout
    return turn.settings.node_timeout if node.kind in _LIMITED else timedelta()


def _queueing_budget(turn: Turn) -> timedelta:
    config = turn.state.created.config
    if config.HasField("queueing_budget"):
        return bounded_duration(config.queueing_budget)
    if turn.program.queueing_budget:
        return turn.program.queueing_budget
    if config.HasField("default_queueing_budget"):
        return bounded_duration(config.default_queueing_budget)
    return turn.settings.queueing_budget


def _set(turn: Turn, node_id: str, kind: facts.TimerKind, attempt: int, after: timedelta) -> None:
    turn.emit(
        facts.TimerSet(
            timer_id=timer_id(node_id, kind, attempt),
            kind=kind,
            node_id=node_id,
            attempt=attempt,
            due=timestamp(turn.context.now + after),
        )
    )
