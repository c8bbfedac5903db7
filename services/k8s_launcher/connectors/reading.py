"""What a connector's answer means for an attempt (k8s-contract §5.7). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flyteidl.admin import agent_pb2
from flyteidl.core import execution_pb2, literals_pb2
from google.protobuf import struct_pb2

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved

FAILED: Final = "TaskFailedWithError"
"""Code of failures that connectors do not name."""

_Phase = execution_pb2.TaskExecution
_USER = execution_pb2.ExecutionError.USER
_GOES_ON: Final = {
    _Phase.QUEUED: AttemptObserved.QUEUED,
    _Phase.WAITING_FOR_RESOURCES: AttemptObserved.WAITING_FOR_RESOURCES,
    _Phase.INITIALIZING: AttemptObserved.INITIALIZING,
    _Phase.RUNNING: AttemptObserved.RUNNING,
}
# What connectors of before phases say.
_PHASE_OF_STATE: Final = {
    agent_pb2.PENDING: _Phase.INITIALIZING,
    agent_pb2.RUNNING: _Phase.RUNNING,
    agent_pb2.SUCCEEDED: _Phase.SUCCEEDED,
    agent_pb2.RETRYABLE_FAILURE: _Phase.RETRYABLE_FAILED,
    agent_pb2.PERMANENT_FAILURE: _Phase.FAILED,
}


class Unreadable(Exception):
    """An answer says nothing that is known."""


@dataclass(frozen=True)
class Reading:
    """What is to be observed of an attempt, and what is to be done before."""

    stage: AttemptObserved.Stage.ValueType
    reason: str = ""
    error: execution_pb2.ExecutionError | None = None
    recoverable: bool = False
    logs: tuple[execution_pb2.TaskLog, ...] = ()
    custom_info: struct_pb2.Struct | None = None
    outputs: literals_pb2.LiteralMap | None = None
    """With EXITED: to be written first. None: the task wrote them itself."""


def read(resource: agent_pb2.Resource) -> Reading:
    """The meaning of an answer. Raises `Unreadable`."""
    phase = resource.phase or _PHASE_OF_STATE.get(resource.state, _Phase.UNDEFINED)
    stage = AttemptObserved.FAILED
    reason, error, recoverable, outputs = resource.message, None, False, None
    match phase:
        case _ if phase in _GOES_ON:
            stage = _GOES_ON[phase]
        case _Phase.SUCCEEDED:
            stage = AttemptObserved.EXITED
            outputs = resource.outputs if resource.HasField("outputs") else None
        case _Phase.FAILED | _Phase.RETRYABLE_FAILED | _Phase.ABORTED:
            reason, error, recoverable = _failure(resource, phase)
        case _:
            raise Unreadable(f"the connector answered with phase {resource.phase} and state {resource.state}")
    return Reading(
        stage,
        reason,
        error,
        recoverable,
        logs=tuple(resource.log_links),
        custom_info=resource.custom_info if resource.HasField("custom_info") else None,
        outputs=outputs,
    )


def failure(
    code: str, message: str, *, recoverable: bool, kind: execution_pb2.ExecutionError.ErrorKind = _USER
) -> Reading:
    """What it means that an attempt failed."""
    error = execution_pb2.ExecutionError(code=code, message=message, kind=kind)
    return Reading(AttemptObserved.FAILED, message.partition("\n")[0], error, recoverable)


def _failure(resource: agent_pb2.Resource, phase: int) -> tuple[str, execution_pb2.ExecutionError, bool]:
    said = resource.agent_error
    message = f"failed to run the job: {resource.message}"
    if phase == _Phase.ABORTED:
        message = "failed to run the job with aborted phase."
    # The kind of an error that says nothing of it reads "not recoverable": the phase may know better.
    recoverable = phase == _Phase.RETRYABLE_FAILED or said.kind == agent_pb2.AgentError.RECOVERABLE
    error = execution_pb2.ExecutionError(code=said.code or FAILED, message=message, kind=said.origin or _USER)
    return resource.message or message, error, recoverable
