"""Deadlines of nodes: when they are set, and the error of missing one. What an alarm does is in `alarms`.

A node's timeout holds for each attempt, counted from its scheduling; twice the timeout holds for all attempts together
(engine-semantics §2.5).
"""

from datetime import timedelta
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine.program import Node
from services.execution.engine.state import NodeState
from services.execution.engine.turn import Turn, timestamp

EXPIRED: Final = "TimeoutExpired"
_NAMES: Final = {
    facts.RETRY: "retry",
    facts.ATTEMPT_DEADLINE: "attempt",
    facts.NODE_DEADLINE: "node",
    facts.SLEEP: "sleep",
}


def timer_id(node_id: str, kind: facts.TimerKind, attempt: int) -> str:
    """Id of a timer, unique within the execution."""
    return f"{node_id}/{attempt}/{_NAMES[kind]}"


def begin(turn: Turn, node: Node, state: NodeState) -> None:
    """Sets the deadline of an attempt that begins; with the first one, the deadline of the node."""
    if node.timeout is None or (node.gate is not None and node.gate.HasField("sleep")):
        # What sleeps takes its time: flytekit gives it a timeout that nobody asked for.
        return
    _set(turn, state.node_id, facts.ATTEMPT_DEADLINE, state.attempt_number, node.timeout)
    if state.attempt_number == 0:
        _set(turn, state.node_id, facts.NODE_DEADLINE, 0, 2 * node.timeout)


def expired(turn: Turn, state: NodeState) -> ExecutionError:
    """The error of an attempt that ran out of time."""
    timeout = turn.node(state).timeout or timedelta()
    return ExecutionError(
        code=EXPIRED,
        message=f"task execution timeout [{go_duration(timeout)}] expired",
        kind=ExecutionError.USER,
    )


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


def go_duration(duration: timedelta) -> str:
    """A duration as Flyte's messages print it: `8s`, `1m30s`, `1h0m0s`, `500ms`, `1.5s`."""
    micros = duration // timedelta(microseconds=1)
    if micros == 0:
        return "0s"
    if micros < 1000:
        return f"{micros}µs"
    if micros < 1_000_000:
        return f"{_decimal(micros, 3)}ms"
    minutes, micros = divmod(micros, 60_000_000)
    seconds = f"{_decimal(micros, 6)}s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _decimal(value: int, digits: int) -> str:
    whole, fraction = divmod(value, 10**digits)
    tail = f"{fraction:0{digits}}".rstrip("0")
    return f"{whole}.{tail}" if tail else str(whole)
