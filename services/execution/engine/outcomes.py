"""What the end of an attempt means: which outcome follows from exit code, error document and outputs.

Order of the checks: engine-semantics §3.2; exit codes: §3.8.
"""

from dataclasses import dataclass
from typing import Final

from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine.commands import AttemptResult, Futures
from services.execution.engine.program import Task

MESSAGE_LIMIT: Final = 100 * 1024
"""Bytes of an error message that are kept (engine-semantics §7.6)."""

_NOTHING: Final = AttemptResult()
_CUT: Final = "\n... <Message Truncated> ...\n"


@dataclass(frozen=True, slots=True)
class Success:
    """The attempt did its work. `outputs` always names where outputs belong; it has no hash when there are none."""

    outputs: DataRef
    literals: LiteralMap | None
    deck_uri: str


@dataclass(frozen=True, slots=True)
class Asking:
    """The attempt asked for more nodes. `outputs` names where outputs belong that are theirs."""

    futures: Futures
    outputs: DataRef
    deck_uri: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt failed; another one may be of use when it is recoverable."""

    error: ExecutionError
    recoverable: bool
    deck_uri: str = ""


def deck_of(output_prefix: str) -> str:
    """Where flytekit writes the deck of an attempt (engine-semantics §3.9)."""
    return f"{output_prefix}/deck.html"


def outcome(
    task: Task, observation: AttemptObserved, result: AttemptResult | None, output_prefix: str
) -> Success | Asking | Failure:
    """The meaning of a final observation of an attempt that nobody asked to stop."""
    match observation.stage:
        case AttemptObserved.EXITED:
            return _exited(task, observation, result or _NOTHING, output_prefix)
        case AttemptObserved.NOT_LAUNCHED | AttemptObserved.FAILED:
            if not observation.HasField("error"):
                return _system("RuntimeFailure", observation.reason or "the task could not be started")
            return Failure(bounded(observation.error), observation.recoverable)
        case _:
            reason = observation.reason or "the task's process or pod is gone"
            return _system("ResourceDeletedExternally", reason)


def _exited(
    task: Task, observation: AttemptObserved, result: AttemptResult, output_prefix: str
) -> Success | Asking | Failure:
    wants_deck = task.generates_deck is not False
    deck_uri = deck_of(output_prefix) if result.deck and wants_deck else ""
    clean = observation.exit.code == 0 and observation.exit.signal == 0
    if observation.exit.out_of_memory:
        message = observation.reason or f"the task ran out of memory, exit code [{observation.exit.code}]"
        return _user("OOMKilled", message, deck_uri)
    if clean and result.futures is not None:
        return Asking(result.futures, DataRef(uri=f"{output_prefix}/outputs.pb"), deck_uri)
    # An error document says more than an exit code, also when the process was told to end with one.
    if result.error_unreadable:
        return _system("ErrorFileBadFormat", "error.pb is no valid error document", deck_uri)
    if result.error is not None:
        return _reported(result.error, deck_uri)
    if not clean:
        message = observation.reason or f"the task's process ended with exit code [{observation.exit.code}]"
        return _system("Interrupted", message, deck_uri)
    return _outputs(task, result, output_prefix, deck_uri)


def _outputs(task: Task, result: AttemptResult, output_prefix: str, deck_uri: str) -> Success | Failure:
    uri = f"{output_prefix}/outputs.pb"
    if not task.declares_outputs:
        return Success(result.outputs if result.outputs is not None else DataRef(uri=uri), result.literals, deck_uri)
    if result.outputs_too_large:
        message = f"outputs at [{uri}] are larger than what is read of outputs"
        error = ExecutionError(code="OutputSizeExceeded", message=message, kind=ExecutionError.USER)
        return Failure(error, recoverable=False, deck_uri=deck_uri)
    if result.outputs is None:
        message = f"the task declares outputs, but there are none at [{uri}]"
        error = ExecutionError(code="OutputsNotFound", message=message, kind=ExecutionError.UNKNOWN)
        return Failure(error, recoverable=True, deck_uri=deck_uri)
    return Success(result.outputs, result.literals, deck_uri)


def _reported(document: ErrorDocument, deck_uri: str) -> Failure:
    if not document.HasField("error"):
        return _system("ErrorFileBadFormat", "the error document holds no error", deck_uri)
    reported = document.error
    error = ExecutionError(
        code=reported.code,
        message=reported.message,
        kind=reported.origin,
        timestamp=reported.timestamp if reported.HasField("timestamp") else None,
        worker=reported.worker,
    )
    return Failure(bounded(error), recoverable=reported.kind == ContainerError.RECOVERABLE, deck_uri=deck_uri)


def _system(code: str, message: str, deck_uri: str = "") -> Failure:
    error = ExecutionError(code=code, message=message, kind=ExecutionError.SYSTEM)
    return Failure(bounded(error), recoverable=True, deck_uri=deck_uri)


def _user(code: str, message: str, deck_uri: str) -> Failure:
    error = ExecutionError(code=code, message=message, kind=ExecutionError.USER)
    return Failure(bounded(error), recoverable=True, deck_uri=deck_uri)


def bounded(error: ExecutionError) -> ExecutionError:
    """The error with its message cut to MESSAGE_LIMIT bytes; head and tail stay."""
    encoded = error.message.encode()
    if len(encoded) <= MESSAGE_LIMIT:
        return error
    half = (MESSAGE_LIMIT - len(_CUT)) // 2
    cut = ExecutionError()
    cut.CopyFrom(error)
    cut.message = encoded[:half].decode(errors="ignore") + _CUT + encoded[-half:].decode(errors="ignore")
    return cut
