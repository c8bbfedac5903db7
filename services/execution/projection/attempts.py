"""What the facts of attempts change of task executions (admin-contract §4.11, engine-semantics §6.3, as recorded)."""

from collections.abc import Sequence

from flyteidl.admin.task_execution_pb2 import TaskExecutionClosure
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution, TaskLog
from flyteidl.event.event_pb2 import TaskExecutionMetadata
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import Usage
from services.execution.projection import custom_info, task_logs
from services.execution.projection.rows import At, Rows, TaskRow
from services.execution.projection.times import lasted

# Which part ran the task, as clients know it: the console picks its log view by it.
_CONTAINER = "container"
_ON_DEMAND, _INTERRUPTIBLE = TaskExecutionMetadata.DEFAULT, TaskExecutionMetadata.INTERRUPTIBLE

# The first says when it began; of the others the latest stay. All of them must fit into a client's message.
_MOST_REASONS = 200
_LONGEST_REASON = 4000

_FINAL = frozenset({TaskExecution.SUCCEEDED, TaskExecution.FAILED, TaskExecution.ABORTED})
_PENDING = frozenset({TaskExecution.QUEUED, TaskExecution.INITIALIZING, TaskExecution.WAITING_FOR_RESOURCES})


def scheduled(rows: Rows, at: At, fact: facts.AttemptScheduled) -> None:
    node = rows.node(at, fact.node_id)
    if node is None:
        return
    node.checkpoint_uri = ""
    # Shown from the start: a task may publish its deck while it runs (engine-semantics §3.9).
    node.message.closure.deck_uri = fact.deck_uri
    if node.message.closure.phase == NodeExecution.DYNAMIC_RUNNING:
        node.message.closure.phase = NodeExecution.RUNNING
    key = (at.key, fact.node_id, fact.attempt)
    row = TaskRow(
        id=at.row_id,
        sequence=at.sequence,
        key=key,
        output_prefix=fact.output_prefix,
        checkpoint_uri=fact.checkpoint_prefix,
    )
    message = row.message
    message.id.task_id.CopyFrom(fact.task_id)
    message.id.node_execution_id.CopyFrom(node.message.id)
    message.id.retry_attempt = fact.attempt
    message.input_uri = fact.inputs.uri or node.message.input_uri
    closure = message.closure
    closure.phase = TaskExecution.QUEUED
    closure.created_at.CopyFrom(fact.occurred_at)
    closure.updated_at.CopyFrom(fact.occurred_at)
    closure.task_type = fact.task_type
    closure.metadata.generated_name = fact.generated_name
    closure.metadata.plugin_identifier = fact.task_type if fact.in_engine else _CONTAINER
    closure.metadata.instance_class = _INTERRUPTIBLE if fact.interruptible else _ON_DEMAND
    closure.event_version = 1
    if not fact.in_engine:
        _explain(closure, "task submitted to the launcher", fact.occurred_at)
    rows.tasks[key] = row


def progressed(rows: Rows, at: At, fact: facts.AttemptProgressed) -> None:
    row = rows.task(at, fact.node_id, fact.attempt)
    if row is None:
        return
    row.phase_version = fact.phase_version
    closure = row.message.closure
    closure.phase = fact.phase
    closure.updated_at.CopyFrom(fact.occurred_at)
    if fact.phase == TaskExecution.RUNNING and not closure.HasField("started_at"):
        closure.started_at.CopyFrom(fact.occurred_at)
    _tell(closure, fact)
    _explain(closure, fact.reason, fact.occurred_at)
    _merge_logs(closure, fact.logs)


def succeeded(rows: Rows, at: At, fact: facts.AttemptSucceeded) -> None:
    row = rows.task(at, fact.node_id, fact.attempt)
    if row is None:
        return
    # Named even when the task declares no outputs and the object is not there (engine-semantics §3.2.4).
    row.message.closure.output_uri = fact.outputs.uri or f"{row.output_prefix}/outputs.pb"
    _keep_checkpoint(rows, at, row)
    _ended(row, TaskExecution.SUCCEEDED, fact)


def failed(rows: Rows, at: At, fact: facts.AttemptFailed) -> None:
    row = rows.task(at, fact.node_id, fact.attempt)
    if row is None:
        return
    row.message.closure.error.CopyFrom(fact.error)
    _keep_checkpoint(rows, at, row)
    _ended(row, TaskExecution.FAILED, fact)


def aborted(rows: Rows, at: At, fact: facts.AttemptAborted) -> None:
    row = rows.task(at, fact.node_id, fact.attempt)
    if row is None:
        return
    _explain(row.message.closure, fact.reason, fact.occurred_at)
    _ended(row, TaskExecution.ABORTED, fact)


def retried(rows: Rows, at: At, fact: facts.RetryScheduled) -> None:
    """Says on the attempt that has ended what follows; what consists of other nodes has no row of its own."""
    if (at.key, fact.node_id, fact.attempt - 1) not in rows.tasks:
        return
    row = rows.task(at, fact.node_id, fact.attempt - 1)
    if row is None:
        return
    pause = (fact.due.ToNanoseconds() - fact.occurred_at.ToNanoseconds()) / 1e9
    _explain(
        row.message.closure, f"tried again in {pause:g} s" if pause > 0 else "tried again at once", fact.occurred_at
    )


def _keep_checkpoint(rows: Rows, at: At, row: TaskRow) -> None:
    node = rows.node(at, row.key[1])
    if node is not None:
        node.checkpoint_uri = row.checkpoint_uri


def _ended(
    row: TaskRow,
    phase: TaskExecution.Phase,
    fact: facts.AttemptSucceeded | facts.AttemptFailed | facts.AttemptAborted,
) -> None:
    closure = row.message.closure
    closure.phase = phase
    closure.updated_at.CopyFrom(fact.occurred_at)
    if closure.HasField("started_at"):
        closure.duration.CopyFrom(lasted(closure.started_at, fact.occurred_at))
    _merge_logs(closure, fact.logs)
    if not isinstance(fact, facts.AttemptAborted):
        _tell(closure, fact)
    if fact.HasField("usage"):
        _show_usage(closure, fact.usage)


def _tell(
    closure: TaskExecutionClosure, fact: facts.AttemptProgressed | facts.AttemptSucceeded | facts.AttemptFailed
) -> None:
    """What runs the attempt, and what that says of it."""
    if fact.plugin:
        closure.metadata.plugin_identifier = fact.plugin
    if fact.HasField("custom_info"):
        custom_info.merge(closure.custom_info, fact.custom_info)


def _show_usage(closure: TaskExecutionClosure, usage: Usage) -> None:
    """Flyte's message has no field for what an attempt used; its free-form one is what the console shows as it is."""
    shown = closure.custom_info.fields
    if usage.peak_memory_bytes:
        shown["peak_memory_bytes"].number_value = usage.peak_memory_bytes
    if usage.HasField("cpu_time"):
        shown["cpu_seconds"].number_value = _seconds(usage.cpu_time)
    if usage.HasField("wall_time"):
        shown["wall_seconds"].number_value = _seconds(usage.wall_time)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _explain(closure: TaskExecutionClosure, reason: str, at: Timestamp) -> None:
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[: _LONGEST_REASON - 1]}…"
    if reason and reason != closure.reason:
        closure.reason = reason
        reasons = closure.reasons
        reasons.add(occurred_at=at, message=reason)
        if len(reasons) > _MOST_REASONS:
            del reasons[1 : len(reasons) - _MOST_REASONS + 1]


def _merge_logs(closure: TaskExecutionClosure, latest: Sequence[TaskLog]) -> None:
    """Some links show only before, some only until the end."""
    if not latest and not closure.logs:
        return
    logs, phase = closure.logs, closure.phase
    task_logs.merge(logs, latest)
    if phase in _FINAL:
        shown = [log for log in logs if not log.HideOnceFinished]
    elif phase in _PENDING:
        shown = [log for log in logs if log.ShowWhilePending]
    else:
        return
    if len(shown) < len(logs):
        del logs[:]
        logs.extend(shown)
