"""Gate nodes: they wait for a value, for approval, or for a while (engine-semantics §5.4).

A signal belongs to the execution, not to a node: gates that name the same one share its value, also those that start
after it was set.
"""

from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import BOOLEAN, LiteralType

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types import castable, literal_type_of, prototext
from services.execution.engine import timeouts
from services.execution.engine.commands import AwaitSignal, Refusal, Refused, SetSignal
from services.execution.engine.program import ProgramError, bounded_duration
from services.execution.engine.state import NodePhase, NodeState
from services.execution.engine.turn import DataMissing, Turn, timestamp

REJECTED: Final = "ReceivedRejectSignal"
TYPE_CLASH: Final = "BadSpecificationError"


def run(turn: Turn, node_id: str) -> None:
    """Begins to wait; ends at once where the value is there already."""
    state = turn.state.nodes[node_id]
    gate = turn.node(state).gate
    assert gate is not None
    match gate.WhichOneof("condition"):
        case "sleep":
            turn.emit(
                facts.TimerSet(
                    timer_id=timeouts.timer_id(node_id, facts.SLEEP, state.attempt_number),
                    kind=facts.SLEEP,
                    node_id=node_id,
                    attempt=state.attempt_number,
                    due=timestamp(turn.context.now + bounded_duration(gate.sleep.duration)),
                )
            )
        case "signal":
            _await(turn, state, gate.signal.signal_id, gate.signal.type)
        case "approve":
            _await(turn, state, gate.approve.signal_id, LiteralType(simple=BOOLEAN))
        case condition:
            raise ProgramError(f"gate node [{node_id}] waits for what is not supported: {condition}")


def _await(turn: Turn, state: NodeState, signal_id: str, literal_type: LiteralType) -> None:
    known = turn.state.signals.get(signal_id)
    if known is not None and known.type != literal_type:
        types = f"[{prototext(known.type)}], not of type [{prototext(literal_type)}]"
        message = f"signal [{signal_id}] of this execution is of type {types}"
        turn.fail(state.node_id, ExecutionError(code=TYPE_CLASH, message=message, kind=ExecutionError.USER))
        return
    turn.emit(facts.SignalAwaited(node_id=state.node_id, signal_id=signal_id, type=literal_type, occurred_at=turn.now))
    if known is not None and known.value is not None:
        _take(turn, state, known.value)


def slept(turn: Turn, state: NodeState) -> None:
    """Ends a gate that has slept; it has no outputs."""
    turn.emit(facts.NodeSucceeded(node_id=state.node_id, occurred_at=turn.now))
    turn.ended.append(state.node_id)


def await_signal(turn: Turn, command: AwaitSignal) -> None:
    """Makes a signal known that no gate waits for yet.

    Raises:
        Refused: WRONG_TYPE, the signal exists with another type.
    """
    known = turn.state.signals.get(command.signal_id)
    if known is None:
        turn.emit(facts.SignalAwaited(signal_id=command.signal_id, type=command.type, occurred_at=turn.now))
    elif known.type != command.type:
        raise Refused(Refusal.WRONG_TYPE, prototext(known.type))


def set_signal(turn: Turn, command: SetSignal) -> None:
    """Gives a signal its value, whatever the execution's phase, and lets the gates go on that wait for it.

    Raises:
        Refused: UNKNOWN_SIGNAL, nobody has asked for it; WRONG_TYPE, the value does not fit its type.
    """
    signal = turn.state.signals.get(command.signal_id)
    if signal is None:
        raise Refused(Refusal.UNKNOWN_SIGNAL)
    if not castable(literal_type_of(command.value), signal.type):
        raise Refused(Refusal.WRONG_TYPE, prototext(signal.type))
    turn.emit(
        facts.SignalSet(
            signal_id=command.signal_id, value=command.value, principal=command.principal, occurred_at=turn.now
        )
    )
    for node_id in signal.gates:
        state = turn.state.nodes[node_id]
        if state.phase == NodePhase.RUNNING and not turn.halted(state):
            _take(turn, state, command.value)


def _take(turn: Turn, state: NodeState, value: Literal) -> None:
    gate = turn.node(state).gate
    assert gate is not None
    if gate.WhichOneof("condition") == "signal":
        _succeed(turn, state, LiteralMap(literals={gate.signal.output_variable_name: value}))
    elif _approves(value):
        assert state.inputs is not None
        try:
            inputs = turn.literals(state.inputs.uri)
        except DataMissing:
            return
        _succeed(turn, state, inputs)
    else:
        message = f"the inputs were rejected: signal [{gate.approve.signal_id}] was set to false"
        turn.fail(state.node_id, ExecutionError(code=REJECTED, message=message, kind=ExecutionError.USER))


def _approves(value: Literal) -> bool:
    while value.scalar.HasField("union"):
        value = value.scalar.union.value
    return value.scalar.primitive.boolean


def _succeed(turn: Turn, state: NodeState, outputs: LiteralMap) -> None:
    ref = turn.write(f"{state.data_prefix}/{state.attempt_number}/outputs.pb", outputs)
    turn.emit(facts.NodeSucceeded(node_id=state.node_id, outputs=ref, occurred_at=turn.now))
    turn.ended.append(state.node_id)
