"""What the facts of nodes change of their rows (admin-contract §4.10, engine-semantics §6.2, as recorded)."""

from flyteidl.core.execution_pb2 import ExecutionError, NodeExecution
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.projection.rows import At, NodeRow, Rows
from services.execution.projection.times import lasted


def queued(rows: Rows, at: At, fact: facts.NodeQueued) -> None:
    row = _new(rows, at, fact)
    if row is None:
        return
    row.data_prefix = fact.data_prefix
    message = row.message
    message.input_uri = fact.inputs.uri
    if fact.is_parent:
        message.metadata.is_parent_node = True
    if fact.kind == facts.ARRAY and not fact.is_array_task:
        message.metadata.is_array = True
    message.closure.phase = NodeExecution.QUEUED


def skipped(rows: Rows, at: At, fact: facts.NodeSkipped) -> None:
    """Only a skip that comes from a failure upstream shows a row (engine-semantics §10.4)."""
    if not fact.visible:
        return
    row = _new(rows, at, fact)
    if row is None:
        return
    if fact.kind != facts.START:
        row.message.input_uri = f"{_data_prefix(rows, at, fact)}/inputs.pb"
    row.message.closure.phase = NodeExecution.SKIPPED


def started(rows: Rows, at: At, fact: facts.NodeStarted) -> None:
    row = rows.node(at, fact.node_id)
    if row is None:
        return
    closure = row.message.closure
    closure.phase = NodeExecution.RUNNING
    closure.started_at.CopyFrom(fact.occurred_at)
    closure.updated_at.CopyFrom(fact.occurred_at)


def planned(rows: Rows, at: At, fact: facts.DynamicPlanned) -> None:
    """Parent, dynamic and the workflow show at once, the latter on demand (admin-contract T47)."""
    row = rows.node(at, fact.node_id)
    if row is None:
        return
    row.dynamic_closure_uri = fact.closure.uri
    # What the task said of itself gives way to what it asked for.
    row.checkpoint_uri = ""
    message = row.message
    message.metadata.is_parent_node = True
    message.metadata.is_dynamic = True
    closure = message.closure
    closure.phase = NodeExecution.DYNAMIC_RUNNING
    closure.updated_at.CopyFrom(fact.occurred_at)
    closure.task_node_metadata.SetInParent()
    closure.dynamic_job_spec_uri = fact.job_spec.uri
    closure.deck_uri = fact.deck_uri


def child_requested(rows: Rows, at: At, fact: facts.ChildExecutionRequested) -> None:
    """Clients follow this to the child; after a retry, to the one that runs now."""
    row = rows.node(at, fact.node_id)
    if row is not None:
        row.message.closure.workflow_node_metadata.executionId.CopyFrom(fact.execution_id)
        row.message.closure.updated_at.CopyFrom(fact.occurred_at)


def succeeded(rows: Rows, at: At, fact: facts.NodeSucceeded) -> None:
    row = rows.node(at, fact.node_id)
    if row is None:
        return
    # The end node's outputs are the execution's, and are named there.
    if row.kind != facts.END and fact.outputs.uri:
        row.message.closure.output_uri = fact.outputs.uri
    _show_checkpoint(row)
    # A closure says either what it has to do with the cache, or which execution ran for it, which clients follow.
    if fact.HasField("catalog_key") and not row.message.closure.HasField("workflow_node_metadata"):
        shown = row.message.closure.task_node_metadata
        shown.cache_status = fact.cache_status
        shown.catalog_key.CopyFrom(fact.catalog_key)
    _ended(row, NodeExecution.SUCCEEDED, fact.occurred_at, deck_uri=fact.deck_uri)


def recovered(rows: Rows, at: At, fact: facts.NodeRecovered) -> None:
    """As it was where it ran, but for its outputs; it has no task executions and no children here."""
    row = rows.node(at, fact.node_id)
    if row is None:
        return
    closure = row.message.closure
    if fact.HasField("outputs"):
        closure.output_uri = fact.outputs.uri
    if fact.HasField("catalog_key"):
        closure.task_node_metadata.cache_status = fact.cache_status
        closure.task_node_metadata.catalog_key.CopyFrom(fact.catalog_key)
    if fact.HasField("plan"):
        row.dynamic_closure_uri = fact.plan.closure.uri
        row.message.metadata.is_parent_node = True
        row.message.metadata.is_dynamic = True
        closure.dynamic_job_spec_uri = fact.plan.job_spec.uri
    if fact.HasField("child"):
        closure.workflow_node_metadata.executionId.CopyFrom(fact.child)
    closure.deck_uri = fact.deck_uri
    _ended(row, NodeExecution.RECOVERED, fact.occurred_at, deck_uri=fact.deck_uri)


def failed(rows: Rows, at: At, fact: facts.NodeFailed) -> None:
    row = rows.node(at, fact.node_id)
    if row is None:
        return
    _show_checkpoint(row)
    _ended(row, NodeExecution.FAILED, fact.occurred_at, error=fact.error, deck_uri=fact.deck_uri)


def timed_out(rows: Rows, at: At, fact: facts.NodeTimedOut) -> None:
    row = rows.node(at, fact.node_id)
    if row is not None:
        _ended(row, NodeExecution.TIMED_OUT, fact.occurred_at)


def aborted(rows: Rows, at: At, fact: facts.NodeAborted) -> None:
    if fact.unseen:
        return
    row = rows.node(at, fact.node_id)
    if row is not None:
        _ended(row, NodeExecution.ABORTED, fact.occurred_at, error=fact.error)


def _new(rows: Rows, at: At, fact: facts.NodeQueued | facts.NodeSkipped) -> NodeRow | None:
    key = (at.key, fact.node_id)
    known = rows.nodes.get(key)
    if known is not None:
        if known.stored >= at.sequence:
            return None
        row = known
        row.sequence = at.sequence
    else:
        row = NodeRow(id=at.row_id, sequence=at.sequence, key=key, parent_node_id=fact.parent_node_id)
        row.message.closure.created_at.CopyFrom(fact.occurred_at)
        rows.nodes[key] = row
    row.kind = fact.kind
    if fact.parent_node_id:
        parent = rows.nodes.get((at.key, fact.parent_node_id))
        row.parent_id = parent.id if parent is not None else None
    message = row.message
    message.id.node_id = fact.node_id
    execution_id = message.id.execution_id
    execution_id.project, execution_id.domain, execution_id.name = at.key
    message.metadata.spec_node_id = fact.spec_node_id
    message.metadata.retry_group = fact.retry_group
    message.closure.updated_at.CopyFrom(fact.occurred_at)
    return row


def _data_prefix(rows: Rows, at: At, fact: facts.NodeSkipped) -> str:
    """Where a node's data would have gone, had it run (engine-semantics §3.4)."""
    if fact.parent_node_id:
        parent = rows.nodes.get((at.key, fact.parent_node_id))
        if parent is not None:
            return f"{parent.data_prefix}/{fact.retry_group}/{fact.spec_node_id}"
    execution = rows.executions.get(at.key)
    return f"{execution.metadata_prefix}/{fact.node_id}/data" if execution is not None else ""


def _show_checkpoint(row: NodeRow) -> None:
    if row.checkpoint_uri:
        row.message.closure.task_node_metadata.checkpoint_uri = row.checkpoint_uri


def _ended(
    row: NodeRow, phase: NodeExecution.Phase, at: Timestamp, *, error: ExecutionError | None = None, deck_uri: str = ""
) -> None:
    closure = row.message.closure
    closure.phase = phase
    # The deck of a dynamic node is its task's, which ended long before.
    if deck_uri or not row.message.metadata.is_dynamic:
        closure.deck_uri = deck_uri
    if error is not None:
        closure.error.CopyFrom(error)
    closure.updated_at.CopyFrom(at)
    if closure.HasField("started_at"):
        closure.duration.CopyFrom(lasted(closure.started_at, at))
