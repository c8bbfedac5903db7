"""The workflow engine: pure decisions over the facts of one execution.

`decide` turns a command into facts, `evolve` folds facts into state. No input or output, no clock, no chance: the shell
around it (`services.execution.shell`) loads, writes and appends.
"""

from services.execution.engine.commands import (
    AnswerCache,
    AttemptResult,
    AwaitPlace,
    AwaitSignal,
    Blob,
    ChangeState,
    Command,
    Context,
    CreateExecution,
    Decision,
    DeleteExecution,
    EngineSettings,
    FireTimer,
    Futures,
    MoveSlots,
    NeedData,
    NeedProgram,
    NeedRecovery,
    ObserveAttempt,
    ObserveChild,
    Offloading,
    Refusal,
    Refused,
    SetSignal,
    StartExecution,
    TakeSlots,
    TerminateExecution,
)
from services.execution.engine.decide import decide
from services.execution.engine.evolve import BrokenHistory, evolve, fold
from services.execution.engine.program import Program, ProgramError
from services.execution.engine.recovery_plans import Recovery, is_reused, recovery_plan
from services.execution.engine.state import Execution, ExecutionPhase, NodePhase, NodeState

__all__ = [
    "AnswerCache",
    "AttemptResult",
    "AwaitPlace",
    "AwaitSignal",
    "Blob",
    "BrokenHistory",
    "ChangeState",
    "Command",
    "Context",
    "CreateExecution",
    "Decision",
    "DeleteExecution",
    "EngineSettings",
    "Execution",
    "ExecutionPhase",
    "FireTimer",
    "Futures",
    "MoveSlots",
    "NeedData",
    "NeedProgram",
    "NeedRecovery",
    "NodePhase",
    "NodeState",
    "ObserveAttempt",
    "ObserveChild",
    "Offloading",
    "Program",
    "ProgramError",
    "Recovery",
    "Refusal",
    "Refused",
    "SetSignal",
    "StartExecution",
    "TakeSlots",
    "TerminateExecution",
    "decide",
    "evolve",
    "fold",
    "is_reused",
    "recovery_plan",
]
