"""An execution as it was, as a tree of text. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from flyteidl.admin.task_execution_pb2 import TaskExecution
from flyteidl.core import execution_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.why import one_line
from flightlog_protos.history.v1.state_pb2 import GetStateAtResponse, NodeState

_NODE = execution_pb2.NodeExecution
_TASK = execution_pb2.TaskExecution
_WORKFLOW = execution_pb2.WorkflowExecution
_NANOSECONDS = 1_000_000_000


@dataclass(slots=True)
class _Branch:
    text: str
    behind: list[_Branch] = field(default_factory=list["_Branch"])


def lines(state: GetStateAtResponse, at: Timestamp) -> Iterator[str]:
    """The execution, its nodes one below the other as they lie in one another, their attempts, and the signals.

    Args:
        at: the moment; what ran then is told with the time that it had run.
    """
    execution = state.execution
    name = "/".join((execution.id.project, execution.id.domain, execution.id.name))
    closure = execution.closure
    error = closure.error.message if closure.HasField("error") else closure.abort_metadata.cause
    head = f"execution {name} {_WORKFLOW.Phase.Name(closure.phase)}"
    yield _said(head + _time(closure.started_at, closure.duration, at, _ENDED_EXECUTION, closure.phase), error)
    yield (
        f"as of {at.ToJsonString()}: after envelope #{state.position}, sequence {state.sequence}, "
        f"recorded {state.recorded_at.ToJsonString()}"
    )
    below: defaultdict[str, list[NodeState]] = defaultdict(list)
    known = {one.node.id.node_id for one in state.nodes}
    for one in state.nodes:
        below[one.parent_node_id if one.parent_node_id in known else ""].append(one)
    top = [_node(one, below, at) for one in below[""]]
    top += [
        _Branch(f"signal {one.id.signal_id} {'given' if one.HasField('value') else 'asked for'}")
        for one in state.signals
    ]
    yield from _drawn(top)


def _node(state: NodeState, below: defaultdict[str, list[NodeState]], at: Timestamp) -> _Branch:
    node = state.node
    closure = node.closure
    text = f"{node.id.node_id} {_NODE.Phase.Name(closure.phase)}"
    text += _time(closure.started_at, closure.duration, at, _ENDED_NODE, closure.phase)
    child = closure.workflow_node_metadata.executionId
    if child.name:
        text += f" → execution {child.project}/{child.domain}/{child.name}"
    branch = _Branch(_said(text, closure.error.message if closure.HasField("error") else ""))
    branch.behind += [_attempt(one, at) for one in state.attempts]
    branch.behind += [_node(one, below, at) for one in below[node.id.node_id]]
    return branch


def _attempt(task: TaskExecution, at: Timestamp) -> _Branch:
    closure = task.closure
    text = f"attempt {task.id.retry_attempt} {_TASK.Phase.Name(closure.phase)}"
    text += _time(closure.started_at, closure.duration, at, _ENDED_TASK, closure.phase)
    if task.id.task_id.name:
        text += f" {task.id.task_id.name}"
    elements = Counter(one.phase for one in closure.metadata.external_resources)
    if len(elements) > 0 and closure.task_type == "container_array":
        counts = (f"{count} {_TASK.Phase.Name(phase)}" for phase, count in sorted(elements.items()))
        text += f", elements: {', '.join(counts)}"
    running = closure.phase not in _ENDED_TASK
    return _Branch(
        _said(text, closure.error.message if closure.HasField("error") else closure.reason if running else "")
    )


_ENDED_EXECUTION = frozenset({_WORKFLOW.SUCCEEDED, _WORKFLOW.FAILED, _WORKFLOW.ABORTED, _WORKFLOW.TIMED_OUT})
_ENDED_NODE = frozenset({_NODE.SUCCEEDED, _NODE.FAILED, _NODE.ABORTED, _NODE.SKIPPED, _NODE.TIMED_OUT, _NODE.RECOVERED})
_ENDED_TASK = frozenset({_TASK.SUCCEEDED, _TASK.FAILED, _TASK.ABORTED})


def _time(started: Timestamp, duration: Duration, at: Timestamp, ended: frozenset[int], phase: int) -> str:
    """How long it took, or had run."""
    if not started.seconds:
        return ""
    if phase in ended:
        return f" in {duration.ToNanoseconds() / _NANOSECONDS:.3f} s"
    return f" for {max(0, at.ToNanoseconds() - started.ToNanoseconds()) / _NANOSECONDS:.3f} s"


def _said(text: str, why: str) -> str:
    return f"{text}: {one_line(why)}" if why else text


def _drawn(branches: list[_Branch]) -> Iterator[str]:
    last = len(branches) - 1
    for place, branch in enumerate(branches):
        first, rest = ("└─ ", "   ") if place == last else ("├─ ", "│  ")
        yield first + branch.text
        for line in _drawn(branch.behind):
            yield rest + line
