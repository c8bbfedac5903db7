"""From a command to facts. Pure: the same state, command and context always give the same decision, byte for byte."""

from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import (
    alarms,
    attempts,
    caching,
    child_executions,
    failure,
    gates,
    graph,
    slots,
    subworkflows,
)
from services.execution.engine.commands import (
    AnswerCache,
    AwaitPlace,
    AwaitSignal,
    ChangeState,
    Command,
    Context,
    CreateExecution,
    Decision,
    DeleteExecution,
    FireTimer,
    MoveSlots,
    ObserveAttempt,
    ObserveChild,
    Refusal,
    Refused,
    SetSignal,
    StartExecution,
    TakeSlots,
    TerminateExecution,
)
from services.execution.engine.evolve import evolve
from services.execution.engine.program import ProgramError
from services.execution.engine.state import ROOT, Execution, ExecutionPhase
from services.execution.engine.turn import DataLost, DataMissing, Turn

BAD_SPECIFICATION: Final = "BadSpecificationError"


def decide(state: Execution | None, command: Command, context: Context) -> Decision:
    """What follows from a command. No facts: there is nothing to do.

    Raises:
        Refused: the command cannot be obeyed and its sender must hear why.
        NeedData: literal maps are needed that `context.data` lacks; load them and decide again.
    """
    if isinstance(command, CreateExecution):
        return _create(state, command)
    if state is None:
        if isinstance(command, TerminateExecution | ChangeState | AwaitSignal | SetSignal | DeleteExecution):
            raise Refused(Refusal.NOT_FOUND)
        return Decision((), (), {})
    turn = Turn(state, context)
    try:
        _obey(turn, command)
    except (ProgramError, DataLost) as error:
        # It cannot go on, now or later. Stopping it needs neither program nor data.
        turn = Turn(state, context)
        failure.give_up(turn, _unrunnable(error))
        _obey(turn, command)
    return turn.decision()


def _obey(turn: Turn, command: Command) -> None:
    match command:
        case StartExecution():
            _start(turn)
        case AwaitPlace():
            _await_place(turn)
        case ObserveAttempt():
            _observe(turn, command)
        case AnswerCache():
            _answer(turn, command)
        case ObserveChild():
            child_executions.observe(turn, command)
            graph.settle(turn)
        case FireTimer():
            _fire(turn, command)
        case MoveSlots():
            slots.move(turn, command)
            graph.settle(turn)
        case TakeSlots():
            slots.take(turn, command)
            graph.settle(turn)
        case TerminateExecution():
            _terminate(turn, command)
        case ChangeState():
            turn.emit(
                facts.ExecutionStateChanged(state=command.state, principal=command.principal, occurred_at=turn.now)
            )
        case AwaitSignal():
            gates.await_signal(turn, command)
        case SetSignal():
            gates.set_signal(turn, command)
            graph.settle(turn)
        case DeleteExecution():
            _delete(turn, command)
        case CreateExecution():
            pass


def _unrunnable(error: ProgramError | DataLost) -> ExecutionError:
    code = BAD_SPECIFICATION if isinstance(error, ProgramError) else graph.BINDING_FAILED
    return ExecutionError(code=code, message=str(error), kind=ExecutionError.SYSTEM)


def _create(state: Execution | None, command: CreateExecution) -> Decision:
    if state is not None:
        raise Refused(Refusal.ALREADY_EXISTS)
    return Decision((command.created,), (), {}, evolve(None, command.created))


def _start(turn: Turn) -> None:
    if turn.state.phase != ExecutionPhase.CREATED:
        return
    try:
        inputs = turn.literals(turn.state.created.inputs.uri)
    except DataMissing:
        return
    frame = turn.frame(ROOT)
    turn.emit(facts.ExecutionStarted(occurred_at=turn.now, addresses=frame.program.addresses))
    subworkflows.begin(turn, frame, inputs)
    graph.settle(turn)


def _await_place(turn: Turn) -> None:
    if turn.state.phase == ExecutionPhase.CREATED and not turn.state.in_line:
        limits = [limit.name for limit in turn.state.created.limits if not limit.held_by]
        turn.emit(facts.ExecutionWaiting(limits=limits, occurred_at=turn.now))


def _observe(turn: Turn, command: ObserveAttempt) -> None:
    if not turn.state.phase.terminal:
        attempts.observe(turn, command.observation, command.result)
        graph.settle(turn)


def _answer(turn: Turn, command: AnswerCache) -> None:
    for answer in command.answers:
        caching.answered(turn, answer)
    graph.settle(turn)


def _fire(turn: Turn, command: FireTimer) -> None:
    timer = turn.state.timers.get(command.timer_id)
    if timer is not None and not turn.state.phase.terminal:
        alarms.fire(turn, timer)
        graph.settle(turn)


def _terminate(turn: Turn, command: TerminateExecution) -> None:
    if turn.state.phase.terminal:
        raise Refused(Refusal.ALREADY_TERMINAL)
    turn.emit(
        facts.AbortRequested(
            cause=command.cause, principal=command.principal, force=command.force, occurred_at=turn.now
        )
    )
    failure.abort(turn)
    if command.force:
        failure.abandon(turn)
    graph.settle(turn)


def _delete(turn: Turn, command: DeleteExecution) -> None:
    if not turn.state.phase.terminal:
        raise Refused(Refusal.NOT_OVER)
    turn.emit(facts.ExecutionDeleted(reason=command.reason, principal=command.principal, occurred_at=turn.now))
