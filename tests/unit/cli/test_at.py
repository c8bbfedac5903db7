"""`flightlog at`: how moments are written, and how an execution of the past is drawn."""

from __future__ import annotations

import pytest
from flyteidl.admin.task_execution_pb2 import TaskExecution as ShownTask
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution, WorkflowExecution
from flyteidl.event.event_pb2 import ExternalResourceInfo
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.commands.at import request_of
from flightlog_cli.embedded.child import StackError
from flightlog_cli.state_tree import lines
from flightlog_protos.history.v1.state_pb2 import GetStateAtRequest, GetStateAtResponse


def test_moments_are_times_sequences_seconds_and_positions() -> None:
    assert request_of("42") == GetStateAtRequest(sequence=42)
    assert request_of("#3") == request_of("@3") == GetStateAtRequest(position=3)
    assert request_of("2026-01-31T12:00:00.5Z").time == Timestamp(seconds=1769860800, nanos=500_000_000)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("+0", 500_000_000), ("+1.234", 1_234_500_000), ("+1.234567s", 1_234_567_000), ("+90s", 90_500_000_000)],
)
def test_rounded_seconds_mean_all_that_is_shown_with_them(text: str, nanoseconds: int) -> None:
    assert request_of(text).elapsed.ToNanoseconds() == nanoseconds


@pytest.mark.parametrize("text", ["", "now", "-3", "+", "+1.", "#", "#x", "2026-01-31", "+1.2345678901"])
def test_anything_else_is_a_clear_error(text: str) -> None:
    with pytest.raises(StackError, match="is no moment"):
        request_of(text)


def test_nodes_are_drawn_within_one_another_with_their_attempts() -> None:
    state = GetStateAtResponse(sequence=77, position=12, recorded_at=Timestamp(seconds=1000, nanos=5_000_000))
    execution = state.execution
    execution.id.project, execution.id.domain, execution.id.name = "p", "d", "e"
    execution.closure.phase = WorkflowExecution.RUNNING
    execution.closure.started_at.seconds = 990
    first = state.nodes.add()
    first.node.id.node_id = "n0"
    first.node.closure.phase = NodeExecution.DYNAMIC_RUNNING
    first.node.closure.started_at.seconds = 995
    failed = ShownTask()
    failed.closure.phase = TaskExecution.FAILED
    failed.closure.error.message = "no\n  luck"
    mapped = ShownTask()
    mapped.id.retry_attempt = 1
    mapped.id.task_id.name = "m"
    mapped.closure.phase = TaskExecution.RUNNING
    mapped.closure.task_type = "container_array"
    resources = mapped.closure.metadata.external_resources
    resources.extend([ExternalResourceInfo(phase=TaskExecution.SUCCEEDED), *[ExternalResourceInfo()] * 2])
    first.attempts.extend([failed, mapped])
    child = state.nodes.add(parent_node_id="n0")
    child.node.id.node_id = "n0-0-dn0"
    child.node.closure.phase = NodeExecution.SUCCEEDED
    child.node.closure.started_at.seconds = 996
    child.node.closure.duration.FromMilliseconds(1500)
    launched = state.nodes.add()
    launched.node.id.node_id = "n1"
    started = launched.node.closure.workflow_node_metadata.executionId
    started.project, started.domain, started.name = "p", "d", "f"
    state.signals.add().id.signal_id = "go"

    assert list(lines(state, state.recorded_at)) == [
        "execution p/d/e RUNNING for 10.005 s",
        "as of 1970-01-01T00:16:40.005Z: after envelope #12, sequence 77, recorded 1970-01-01T00:16:40.005Z",
        "├─ n0 DYNAMIC_RUNNING for 5.005 s",
        "│  ├─ attempt 0 FAILED: no ⏎ luck",
        "│  ├─ attempt 1 RUNNING m, elements: 2 UNDEFINED, 1 SUCCEEDED",
        "│  └─ n0-0-dn0 SUCCEEDED in 1.500 s",
        "├─ n1 UNDEFINED → execution p/d/f",
        "└─ signal go asked for",
    ]
