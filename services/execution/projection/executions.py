"""What the facts of an execution as a whole change of its row (admin-contract §4.6, §4.8, §4.9)."""

from flyteidl.admin.execution_pb2 import AbortMetadata, ExecutionStateChangeDetails
from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.projection.rows import At, ExecutionRow, Rows
from services.execution.projection.times import lasted


def created(rows: Rows, at: At, fact: facts.ExecutionCreated) -> None:
    known = rows.executions.get(at.key)
    if known is not None and known.stored >= at.sequence:
        return
    row = ExecutionRow(
        id=at.row_id,
        sequence=at.sequence,
        key=at.key,
        metadata_prefix=fact.config.metadata_prefix,
        inputs_uri=fact.inputs.uri,
        user_inputs_uri=fact.user_inputs.uri,
    )
    message = row.message
    message.id.CopyFrom(fact.id)
    message.spec.CopyFrom(fact.spec)
    closure = message.closure
    closure.created_at.CopyFrom(fact.created_at)
    closure.updated_at.CopyFrom(fact.created_at)
    closure.workflow_id.CopyFrom(fact.workflow_id)
    closure.notifications.extend(fact.notifications.notifications)
    closure.state_change_details.occurred_at.CopyFrom(fact.created_at)
    closure.state_change_details.principal = fact.spec.metadata.principal
    rows.executions[at.key] = row


def waiting(rows: Rows, at: At, fact: facts.ExecutionWaiting) -> None:
    row = rows.execution(at)
    if row is None:
        return
    closure = row.message.closure
    closure.phase = WorkflowExecution.QUEUED
    closure.updated_at.CopyFrom(fact.occurred_at)


def started(rows: Rows, at: At, fact: facts.ExecutionStarted) -> None:
    row = rows.execution(at)
    if row is None:
        return
    closure = row.message.closure
    closure.phase = WorkflowExecution.RUNNING
    closure.started_at.CopyFrom(fact.occurred_at)
    closure.updated_at.CopyFrom(fact.occurred_at)


def failing(rows: Rows, at: At, fact: facts.ExecutionFailing) -> None:
    row = rows.execution(at)
    if row is None:
        return
    closure = row.message.closure
    closure.phase = WorkflowExecution.FAILING
    closure.error.CopyFrom(fact.error)
    closure.updated_at.CopyFrom(fact.occurred_at)


def abort_requested(rows: Rows, at: At, fact: facts.AbortRequested) -> None:
    row = rows.execution(at)
    if row is None:
        return
    closure = row.message.closure
    closure.phase = WorkflowExecution.ABORTING
    closure.abort_metadata.CopyFrom(AbortMetadata(cause=fact.cause, principal=fact.principal))
    closure.updated_at.CopyFrom(fact.occurred_at)


def succeeded(rows: Rows, at: At, fact: facts.ExecutionSucceeded) -> None:
    row = rows.execution(at)
    if row is None:
        return
    row.message.closure.outputs.uri = fact.outputs.uri
    _ended(row, WorkflowExecution.SUCCEEDED, fact.occurred_at)


def failed(rows: Rows, at: At, fact: facts.ExecutionFailed) -> None:
    row = rows.execution(at)
    if row is None:
        return
    row.message.closure.error.CopyFrom(fact.error)
    _ended(row, WorkflowExecution.FAILED, fact.occurred_at)


def aborted(rows: Rows, at: At, fact: facts.ExecutionAborted) -> None:
    """The abort's cause and principal stay readable on the ended execution (admin-contract §4.8 advice)."""
    row = rows.execution(at)
    if row is not None:
        _ended(row, WorkflowExecution.ABORTED, fact.occurred_at)


def state_changed(rows: Rows, at: At, fact: facts.ExecutionStateChanged) -> None:
    row = rows.execution(at)
    if row is None:
        return
    row.state = fact.state
    row.message.closure.state_change_details.CopyFrom(
        ExecutionStateChangeDetails(state=fact.state, principal=fact.principal, occurred_at=fact.occurred_at)
    )


def _ended(row: ExecutionRow, phase: WorkflowExecution.Phase, at: Timestamp) -> None:
    closure = row.message.closure
    closure.phase = phase
    closure.updated_at.CopyFrom(at)
    if closure.HasField("started_at"):
        closure.duration.CopyFrom(lasted(closure.started_at, at))
