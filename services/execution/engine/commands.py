"""What can be asked of the engine, and what it answers with.

Commands are imperatives; the facts that follow from them are in `protos/flightlog/execution/v1/facts.proto`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from flyteidl.admin.execution_pb2 import ExecutionState
from flyteidl.core.compiler_pb2 import CompiledTask
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.errors_pb2 import ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import LiteralType
from google.protobuf.message import Message

from flightlog_compiler import EntityKey, LaunchPlanInterface
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer
from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import DataRef

if TYPE_CHECKING:
    from services.execution.engine.program import Program
    from services.execution.engine.recovery_plans import Recovery
    from services.execution.engine.state import Execution


@dataclass(frozen=True, slots=True)
class CreateExecution:
    """Create the execution. Everything is resolved by the caller (defaults merged, inputs written)."""

    created: facts_pb2.ExecutionCreated


@dataclass(frozen=True, slots=True)
class StartExecution:
    """Run the first nodes of an execution that has been created. Harmless when it has started already."""


@dataclass(frozen=True, slots=True)
class AwaitPlace:
    """Take in that there is no room yet: the execution stands in line. Harmless when it has started already."""


@dataclass(frozen=True, slots=True)
class Futures:
    """futures.pb: the nodes that a task asked for, and what these refer to, as far as it exists."""

    ref: DataRef
    # None: it is damaged, or larger than what the engine reads.
    spec: DynamicJobSpec | None
    too_large: bool = False
    # Tasks whose templates the spec does not hold.
    tasks: Mapping[EntityKey, CompiledTask] = field(default_factory=dict[EntityKey, CompiledTask])
    launch_plans: Mapping[EntityKey, LaunchPlanInterface] = field(default_factory=dict[EntityKey, LaunchPlanInterface])


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What an attempt left in the object store under its output prefix, as the shell found it."""

    # outputs.pb: where it is, and its content.
    outputs: DataRef | None = None
    literals: LiteralMap | None = None
    # outputs.pb is there but larger than what the engine reads.
    outputs_too_large: bool = False
    # error.pb.
    error: ErrorDocument | None = None
    # error.pb is there but is no ErrorDocument.
    error_unreadable: bool = False
    # futures.pb: the task asked for more nodes.
    futures: Futures | None = None
    # deck.html is there.
    deck: bool = False


@dataclass(frozen=True, slots=True)
class ObserveAttempt:
    """Take in what the launcher saw. `result` is needed when the stage is EXITED."""

    observation: AttemptObserved
    result: AttemptResult | None = None


@dataclass(frozen=True, slots=True)
class FireTimer:
    """A timer of this execution is due. Harmless when nothing waits for it any more."""

    timer_id: str


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """Take in what the catalog answered to nodes of this execution. Harmless when they no longer wait."""

    answers: tuple[CacheAnswer, ...]


@dataclass(frozen=True, slots=True)
class ObserveChild:
    """Take in that the execution of a launch-plan node's attempt is over, or cannot be created. Harmless when late.

    `outputs` is set when it SUCCEEDED, `error` when it FAILED.
    """

    node_id: str
    attempt: int
    phase: WorkflowExecution.Phase
    outputs: DataRef | None = None
    error: ExecutionError | None = None


@dataclass(frozen=True, slots=True)
class MoveSlots:
    """Take in what nodes of an execution below ask of this one, the root of their tree. Harmless when it is known.

    Places are told by node and number, as in SlotAsked.
    """

    # Its name.
    execution: str
    asked: tuple[tuple[str, int], ...] = ()
    returned: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TakeSlots:
    """Let nodes run for which the root of the tree has places. Harmless when they no longer wait."""

    slots: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class TerminateExecution:
    """Abort the execution. With force it ends at once: what runs is told to stop, and not waited for."""

    cause: str
    principal: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class ChangeState:
    """Archive the execution, or take it back; whatever its phase."""

    state: ExecutionState
    principal: str


@dataclass(frozen=True, slots=True)
class AwaitSignal:
    """Make a signal known, so that it can be set before a gate asks for it. Harmless when it is known already."""

    signal_id: str
    type: LiteralType


@dataclass(frozen=True, slots=True)
class SetSignal:
    """Give a signal its value, or another one; gates that have taken the earlier one keep it."""

    signal_id: str
    value: Literal
    principal: str


@dataclass(frozen=True, slots=True)
class DeleteExecution:
    """Delete the execution, which must be over. Nothing follows it."""

    reason: str
    principal: str


Command = (
    CreateExecution
    | StartExecution
    | AwaitPlace
    | ObserveAttempt
    | AnswerCache
    | ObserveChild
    | FireTimer
    | MoveSlots
    | TakeSlots
    | TerminateExecution
    | ChangeState
    | AwaitSignal
    | SetSignal
    | DeleteExecution
)


@dataclass(frozen=True, slots=True)
class Offloading:
    """From which size on literals go into objects of their own, and how large they may be (engine-semantics §7.3)."""

    min_mib: int = 2
    max_mib: int = 1000

    def environment(self) -> Mapping[str, str]:
        """Variables that tell flytekit in a task to offload its outputs."""
        return {"_F_L_MIN_SIZE_MB": str(self.min_mib), "_F_L_MAX_SIZE_MB": str(self.max_mib)}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine treats what fails, and what is large."""

    # Extra attempts that failures of kind SYSTEM get, whatever the task's own budget (engine-semantics §2.6).
    max_system_failures: int = 3
    # One budget for failures of all kinds: the task's own.
    ignore_retry_cause: bool = False
    # Attempts that a task gets whose author said nothing about retries.
    default_max_attempts: int = 1
    # System failures from which on attempts are not interruptible any more; negative: counted from the last attempt
    # that they leave, -1 being that one (engine-semantics §2.7).
    interruptible_failure_threshold: int = -1
    # Deadlines of tasks, maps and launch plans that have no timeout of their own: of an attempt, and of the node.
    # Zero: none.
    attempt_timeout: timedelta = timedelta()
    node_timeout: timedelta = timedelta()
    # How long an attempt may wait until it runs, where neither execution nor workflow says. Zero: for ever.
    queueing_budget: timedelta = timedelta()
    # Pause before the first retry of a node; doubles with every further one.
    retry_backoff_base: timedelta = timedelta(milliseconds=100)
    retry_backoff_max: timedelta = timedelta(seconds=30)
    # None: no literal is offloaded.
    offloading: Offloading | None = None
    # Whether results are cached at all.
    caching: bool = True


_DEFAULT_SETTINGS = EngineSettings()


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may use beside state and command.

    `data` holds literal maps by uri, as far as the shell has them at hand; missing ones are asked for with `NeedData`.
    `lost` says of those that can never be had, why.
    """

    now: datetime
    program: "Program"
    data: Mapping[str, LiteralMap] = field(default_factory=dict[str, LiteralMap])
    settings: EngineSettings = _DEFAULT_SETTINGS
    lost: Mapping[str, str] = field(default_factory=dict[str, str])
    # Programs of dynamic nodes, by the hashes of their closures, as far as they are at hand; see `NeedProgram`.
    programs: Mapping[bytes, "Program"] = field(default_factory=dict[bytes, "Program"])
    # Offloaded literals by uri, likewise.
    offloaded: Mapping[str, Literal] = field(default_factory=dict[str, Literal])
    # What may be reused of the execution that this one recovers, once it is at hand; see `NeedRecovery`.
    recovery: "Recovery | None" = None


@dataclass(frozen=True, slots=True)
class Blob:
    """An object to be written before the facts are appended."""

    uri: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a command. No facts: there is nothing to do.

    `data` has literal maps by uri, for the shell's cache: those behind `blobs`, and outputs that attempts left.
    `programs` has those of closures among the blobs, likewise. `state` is the state after `facts`, equal to folding
    them; None only when there is no execution.
    """

    facts: tuple[Message, ...]
    blobs: tuple[Blob, ...]
    data: Mapping[str, LiteralMap]
    state: "Execution | None" = None
    programs: Mapping[bytes, "Program"] = field(default_factory=dict[bytes, "Program"])


class NeedData(Exception):
    """The decision needs what `Context.data` and `Context.offloaded` lack: load it and decide again.

    `uris` are those of literal maps, `offloaded` those of single literals.
    """

    def __init__(self, uris: tuple[str, ...], offloaded: tuple[str, ...] = ()) -> None:
        super().__init__(f"literals needed: {', '.join((*uris, *offloaded))}")
        self.uris = uris
        self.offloaded = offloaded


class NeedProgram(Exception):
    """The decision needs the program of a closure that `Context.programs` lacks: load it and decide again."""

    def __init__(self, closure: DataRef) -> None:
        super().__init__(f"program needed: {closure.uri}")
        self.closure = closure


class NeedRecovery(Exception):
    """The decision needs `Context.recovery`: load it and decide again."""

    def __init__(self, plan: DataRef) -> None:
        super().__init__(f"recovery plan needed: {plan.uri}")
        self.plan = plan


class Refusal(Enum):
    """Why a command was refused."""

    ALREADY_EXISTS = "already exists"
    NOT_FOUND = "not found"
    ALREADY_TERMINAL = "already in a terminal phase"
    NOT_OVER = "not over yet"
    UNKNOWN_SIGNAL = "signal does not exist"
    WRONG_TYPE = "of another type"


class Refused(Exception):
    """The command cannot be obeyed, and whoever gave it must hear why.

    Args:
        detail: of WRONG_TYPE, the type that is expected, as text.
    """

    def __init__(self, reason: Refusal, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail
