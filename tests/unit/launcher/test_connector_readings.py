"""What a connector's answer means: the table of k8s-contract §5.7."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.admin import agent_pb2
from flyteidl.core import execution_pb2, literals_pb2
from google.protobuf import struct_pb2

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.connectors.reading import Unreadable, read

_Phase, _Error = execution_pb2.TaskExecution, execution_pb2.ExecutionError


@pytest.mark.parametrize(
    ("phase", "stage"),
    [
        (_Phase.QUEUED, AttemptObserved.QUEUED),
        (_Phase.WAITING_FOR_RESOURCES, AttemptObserved.WAITING_FOR_RESOURCES),
        (_Phase.INITIALIZING, AttemptObserved.INITIALIZING),
        (_Phase.RUNNING, AttemptObserved.RUNNING),
        (_Phase.SUCCEEDED, AttemptObserved.EXITED),
    ],
)
def test_phases_that_are_no_failures(phase: Any, stage: Any) -> None:
    reading = read(agent_pb2.Resource(phase=phase, message="well"))
    assert (reading.stage, reading.reason, reading.error) == (stage, "well", None)


@pytest.mark.parametrize(
    ("phase", "message", "recoverable"),
    [
        (_Phase.FAILED, "failed to run the job: bad", False),
        (_Phase.RETRYABLE_FAILED, "failed to run the job: bad", True),
        (_Phase.ABORTED, "failed to run the job with aborted phase.", False),
    ],
)
def test_phases_that_are_failures(phase: Any, message: str, recoverable: bool) -> None:
    reading = read(agent_pb2.Resource(phase=phase, message="bad"))
    assert reading.stage == AttemptObserved.FAILED
    assert reading.error == _Error(code="TaskFailedWithError", message=message, kind=_Error.USER)
    assert reading.recoverable is recoverable


@pytest.mark.parametrize(
    ("state", "stage", "recoverable"),
    [
        (agent_pb2.PENDING, AttemptObserved.INITIALIZING, False),
        (agent_pb2.RUNNING, AttemptObserved.RUNNING, False),
        (agent_pb2.SUCCEEDED, AttemptObserved.EXITED, False),
        # Number 0: what says nothing at all says this.
        (agent_pb2.RETRYABLE_FAILURE, AttemptObserved.FAILED, True),
        (agent_pb2.PERMANENT_FAILURE, AttemptObserved.FAILED, False),
    ],
)
def test_states_of_connectors_that_know_no_phases(state: Any, stage: Any, recoverable: bool) -> None:
    reading = read(agent_pb2.Resource(state=state))
    assert (reading.stage, reading.recoverable) == (stage, recoverable)


@pytest.mark.parametrize(
    ("said", "code", "kind", "recoverable"),
    [
        ({"code": "Quota"}, "Quota", _Error.USER, False),
        ({"code": "Quota", "kind": agent_pb2.AgentError.RECOVERABLE}, "Quota", _Error.USER, True),
        ({"origin": _Error.SYSTEM}, "TaskFailedWithError", _Error.SYSTEM, False),
    ],
)
def test_what_a_connector_says_of_an_error_counts(said: Any, code: str, kind: Any, recoverable: bool) -> None:
    reading = read(agent_pb2.Resource(phase=_Phase.FAILED, message="bad", agent_error=agent_pb2.AgentError(**said)))
    assert reading.error is not None
    assert (reading.error.code, reading.error.kind, reading.recoverable) == (code, kind, recoverable)


def test_outputs_links_and_further_information_pass_through() -> None:
    outputs = literals_pb2.LiteralMap()
    outputs.literals["o0"].scalar.primitive.integer = 3
    info = struct_pb2.Struct()
    info["job"] = "j1"
    link = execution_pb2.TaskLog(name="Console", uri="https://x")
    resource = agent_pb2.Resource(phase=_Phase.SUCCEEDED, outputs=outputs, custom_info=info, log_links=[link])
    reading = read(resource)
    assert (reading.outputs, reading.custom_info, reading.logs) == (outputs, info, (link,))
    bare = read(agent_pb2.Resource(phase=_Phase.SUCCEEDED))
    assert (bare.outputs, bare.custom_info) == (None, None)


def test_outputs_of_what_is_not_over_are_not_taken() -> None:
    outputs = literals_pb2.LiteralMap()
    outputs.literals["o0"].scalar.primitive.integer = 3
    assert read(agent_pb2.Resource(phase=_Phase.RUNNING, outputs=outputs)).outputs is None


def test_a_phase_that_nobody_knows_cannot_be_read() -> None:
    with pytest.raises(Unreadable, match="phase 77"):
        read(agent_pb2.Resource(phase=77))  # pyright: ignore[reportArgumentType]
