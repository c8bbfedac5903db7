"""What facts change of the elements of array nodes: clients see them as resources of the array's one task execution.

A row is one attempt of an element, so that an array of ten thousand never rewrites more than what changed. The reads
put the rows into the task execution (engine-semantics §5.5, as recorded).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flyteidl.admin.task_execution_pb2 import TaskExecution as ShownTask
from flyteidl.core.execution_pb2 import TaskExecution, TaskLog, WorkflowExecution
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.projection import custom_info, task_logs
from services.execution.projection.rows import At, ElementRow, Rows, TaskRow
from services.execution.projection.times import lasted

_TASK_TYPE = "container_array"
_PLUGIN = "k8s-array"
# gRPC clients take 4 MiB unless told otherwise.
_MOST_BYTES = 3 << 20
_FINAL = frozenset({TaskExecution.SUCCEEDED, TaskExecution.FAILED, TaskExecution.ABORTED})
_OF_CHILD = {
    WorkflowExecution.SUCCEEDED: TaskExecution.SUCCEEDED,
    WorkflowExecution.ABORTED: TaskExecution.ABORTED,
    # It was not waited for.
    WorkflowExecution.ABORTING: TaskExecution.ABORTED,
}


# -- the array's task execution


def planned(rows: Rows, at: At, fact: facts.ArrayPlanned) -> None:
    node = rows.node(at, fact.node_id)
    if node is None:
        return
    key = (at.key, fact.node_id, fact.attempt)
    row = TaskRow(id=at.row_id, sequence=at.sequence, key=key, elements=fact.size)
    message = row.message
    message.id.task_id.CopyFrom(fact.task_id)
    message.id.node_execution_id.CopyFrom(node.message.id)
    message.id.retry_attempt = fact.attempt
    message.input_uri = node.message.input_uri
    closure = message.closure
    closure.created_at.CopyFrom(fact.occurred_at)
    closure.updated_at.CopyFrom(fact.occurred_at)
    closure.task_type = _TASK_TYPE
    closure.metadata.plugin_identifier = _PLUGIN
    closure.event_version = 1
    closure.phase = TaskExecution.QUEUED
    if fact.size:
        closure.phase = TaskExecution.RUNNING
        closure.started_at.CopyFrom(fact.occurred_at)
    rows.tasks[key] = row


def ended(rows: Rows, at: At, fact: facts.ArrayEnded) -> None:
    row = rows.task(at, fact.node_id, fact.attempt)
    if row is None:
        return
    closure = row.message.closure
    closure.phase = fact.phase
    closure.updated_at.CopyFrom(fact.occurred_at)
    if closure.HasField("started_at"):
        closure.duration.CopyFrom(lasted(closure.started_at, fact.occurred_at))
    if fact.HasField("outputs"):
        closure.output_uri = fact.outputs.uri
    elif fact.HasField("error"):
        closure.error.CopyFrom(fact.error)


def show(task: ShownTask, size: int, stored: Iterable[tuple[int, bytes]]) -> None:
    """Puts an array's elements into its task execution; those that have not begun are there too, in no phase.

    Links to logs are left out, those of elements that succeeded first, where the answer would be too large.

    Args:
        size: number of elements.
        stored: index and message of each attempt of an element, in order.
    """
    shown = task.closure.metadata.external_resources
    following = 0
    for index, message in stored:
        for absent in range(following, index):
            shown.add(index=absent)
        shown.add().MergeFromString(message)
        following = index + 1
    for absent in range(following, size):
        shown.add(index=absent)
    for without_logs in ({TaskExecution.SUCCEEDED}, _FINAL, frozenset(TaskExecution.Phase.values())):
        if task.ByteSize() <= _MOST_BYTES:
            return
        for resource in shown:
            if resource.phase in without_logs:
                del resource.logs[:]


# -- its elements


def concerns(rows: Rows, at: At, fact: Message) -> bool:
    """Whether a fact is about an element of an array."""
    if type(fact) is facts.NodeQueued:
        return fact.HasField("element")
    latest = rows.latest_elements
    return bool(latest) and (at.key, getattr(fact, "node_id", "")) in latest


def _queued(rows: Rows, at: At, fact: facts.NodeQueued) -> None:
    row = ElementRow(
        id=at.row_id,
        sequence=at.sequence,
        key=(at.key, fact.node_id, 0),
        array_id=fact.parent_node_id,
        array_attempt=int(fact.retry_group or 0),
    )
    row.message.index = fact.element
    _add(rows, at, row)


def _scheduled(rows: Rows, at: At, fact: facts.AttemptScheduled | facts.ChildExecutionRequested) -> None:
    row = _attempt(rows, at, fact.node_id, fact.attempt)
    if row is None:
        return
    message = row.message
    if type(fact) is facts.AttemptScheduled:
        message.external_id = fact.generated_name
        message.phase = TaskExecution.QUEUED
    else:
        message.external_id = fact.execution_id.name
        message.workflow_node_metadata.execution_id.CopyFrom(fact.execution_id)
        message.phase = TaskExecution.RUNNING


def _progressed(rows: Rows, at: At, fact: facts.AttemptProgressed) -> None:
    said = fact.custom_info if fact.HasField("custom_info") else None
    _moved(rows, at, fact.node_id, fact.attempt, fact.phase, fact.logs, said)


def _attempt_ended(phase: TaskExecution.Phase) -> Callable[[Rows, At, Any], None]:
    def change(rows: Rows, at: At, fact: facts.AttemptSucceeded | facts.AttemptFailed | facts.AttemptAborted) -> None:
        said = None
        if not isinstance(fact, facts.AttemptAborted) and fact.HasField("custom_info"):
            said = fact.custom_info
        _moved(rows, at, fact.node_id, fact.attempt, phase, fact.logs, said)

    return change


def _child_ended(rows: Rows, at: At, fact: facts.ChildExecutionEnded) -> None:
    phase = _OF_CHILD.get(fact.phase, TaskExecution.FAILED)
    _moved(rows, at, fact.node_id, fact.attempt, phase, ())


def _succeeded(rows: Rows, at: At, fact: facts.NodeSucceeded) -> None:
    row = _latest(rows, at, fact.node_id)
    if row is not None:
        row.message.cache_status = fact.cache_status
        _end(row, TaskExecution.SUCCEEDED)


def _ended_as(phase: TaskExecution.Phase) -> Callable[[Rows, At, Any], None]:
    def change(rows: Rows, at: At, fact: Any) -> None:
        row = _latest(rows, at, fact.node_id)
        if row is not None:
            _end(row, phase)

    return change


def _moved(
    rows: Rows,
    at: At,
    node_id: str,
    attempt: int,
    phase: TaskExecution.Phase,
    logs: Sequence[TaskLog],
    said: Struct | None = None,
) -> None:
    row = rows.element(at, node_id, attempt)
    if row is None:
        return
    row.message.phase = phase
    if said is not None:
        custom_info.merge(row.message.custom_info, said)
    if logs:
        task_logs.merge(row.message.logs, logs, f"-{row.message.index}")


def _attempt(rows: Rows, at: At, node_id: str, attempt: int) -> ElementRow | None:
    """The row of an attempt that begins; made from the one before, where there is one."""
    last = rows.latest_elements[at.key, node_id]
    if attempt <= last:
        return rows.element(at, node_id, attempt)
    before = rows.elements[at.key, node_id, last]
    row = ElementRow(
        id=at.row_id,
        sequence=at.sequence,
        key=(at.key, node_id, attempt),
        array_id=before.array_id,
        array_attempt=before.array_attempt,
    )
    row.message.index = before.message.index
    row.message.retry_attempt = attempt
    _add(rows, at, row)
    return row


def _latest(rows: Rows, at: At, node_id: str) -> ElementRow | None:
    return rows.element(at, node_id, rows.latest_elements[at.key, node_id])


def _end(row: ElementRow, phase: TaskExecution.Phase) -> None:
    message = row.message
    if not message.external_id:
        # It never ran: its result was known, or it was stopped before.
        (_, _, execution), node_id, attempt = row.key
        message.external_id = f"{execution}-{node_id}-{attempt}"
    if message.phase not in _FINAL:
        message.phase = phase


def _add(rows: Rows, at: At, row: ElementRow) -> None:
    known = rows.elements.get(row.key)
    if known is None or known.stored < at.sequence:
        row.stored = known.stored if known is not None else 0
        rows.add_element(row)


CHANGES: Mapping[type[Message], Callable[[Rows, At, Any], None]] = {
    facts.NodeQueued: _queued,
    facts.NodeSucceeded: _succeeded,
    facts.NodeRecovered: _ended_as(TaskExecution.SUCCEEDED),
    facts.NodeFailed: _ended_as(TaskExecution.FAILED),
    facts.NodeTimedOut: _ended_as(TaskExecution.FAILED),
    facts.NodeAborted: _ended_as(TaskExecution.ABORTED),
    facts.AttemptScheduled: _scheduled,
    facts.AttemptProgressed: _progressed,
    facts.AttemptSucceeded: _attempt_ended(TaskExecution.SUCCEEDED),
    facts.AttemptFailed: _attempt_ended(TaskExecution.FAILED),
    facts.AttemptAborted: _attempt_ended(TaskExecution.ABORTED),
    facts.ChildExecutionRequested: _scheduled,
    facts.ChildExecutionEnded: _child_ended,
}
"""What facts about elements change. Other facts about them change nothing that clients see."""
