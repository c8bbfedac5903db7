"""What clients see of nodes that run launch plans, and of nodes that were recovered."""

from __future__ import annotations

from flyteidl.core import catalog_pb2, execution_pb2, identifier_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Head, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope
from services.execution.projection import fold
from services.execution.projection.rows import NodeRow, Rows

KEY = ("p", "d", "run")
ID = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="run")
CHILD = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="child")
PREFIX = "s3://b/m/p-d-run/n0/data"


def row_after(*items: facts.NodeStarted | facts.NodeRecovered | facts.ChildExecutionRequested) -> NodeRow:
    """The row of n0 after it was queued and these facts."""
    created = facts.ExecutionCreated(id=ID, created_at=Timestamp(seconds=1))
    queued = facts.NodeQueued(
        node_id="n0",
        spec_node_id="n0",
        kind=facts.TASK,
        data_prefix=PREFIX,
        inputs=DataRef(uri=f"{PREFIX}/inputs.pb"),
        occurred_at=Timestamp(seconds=2),
    )
    rows = Rows()
    subject = str(Subject.of("EXECUTION", *KEY))
    history = Recorded(subject, 1, Envelope(), (created, queued, *items), Head(1, 1, b""))
    fold.apply(rows, history)
    return rows.nodes[KEY, "n0"]


def recovered(**fields: object) -> facts.NodeRecovered:
    outputs = DataRef(uri=f"{PREFIX}/0/outputs.pb")
    return facts.NodeRecovered(node_id="n0", outputs=outputs, occurred_at=Timestamp(seconds=3), **fields)  # type: ignore[arg-type]


def test_a_launch_plan_node_names_its_child() -> None:
    row = row_after(
        facts.NodeStarted(node_id="n0", occurred_at=Timestamp(seconds=2)),
        facts.ChildExecutionRequested(node_id="n0", execution_id=CHILD, occurred_at=Timestamp(seconds=2)),
    )
    closure = row.message.closure
    assert (closure.phase, closure.workflow_node_metadata.executionId) == (execution_pb2.NodeExecution.RUNNING, CHILD)


def test_after_a_retry_it_names_the_child_that_runs() -> None:
    again = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="again")
    row = row_after(
        facts.ChildExecutionRequested(node_id="n0", execution_id=CHILD),
        facts.ChildExecutionRequested(node_id="n0", attempt=1, execution_id=again),
    )
    assert row.message.closure.workflow_node_metadata.executionId == again


def test_a_recovered_node_has_outputs_and_never_started() -> None:
    closure = row_after(recovered(deck_uri="s3://b/deck.html")).message.closure
    assert closure.phase == execution_pb2.NodeExecution.RECOVERED
    assert (closure.output_uri, closure.deck_uri) == (f"{PREFIX}/0/outputs.pb", "s3://b/deck.html")
    assert (closure.HasField("started_at"), closure.updated_at.seconds) == (False, 3)


def test_a_recovered_node_shows_its_cached_result() -> None:
    key = catalog_pb2.CatalogMetadata(artifact_tag=catalog_pb2.CatalogArtifactTag(artifact_id="a"))
    populated = catalog_pb2.CatalogCacheStatus.CACHE_POPULATED
    shown = row_after(recovered(cache_status=populated, catalog_key=key)).message.closure.task_node_metadata
    assert (shown.cache_status, shown.catalog_key) == (populated, key)


def test_a_recovered_dynamic_node_still_has_its_workflow() -> None:
    plan = facts.DynamicPlanned(closure=DataRef(uri="s3://b/closure"), job_spec=DataRef(uri="s3://b/futures.pb"))
    row = row_after(recovered(plan=plan))
    assert row.dynamic_closure_uri == "s3://b/closure"
    assert row.message.closure.dynamic_job_spec_uri == "s3://b/futures.pb"
    assert (row.message.metadata.is_dynamic, row.message.metadata.is_parent_node) == (True, True)


def test_a_recovered_launch_plan_node_names_the_child_that_ran() -> None:
    assert row_after(recovered(child=CHILD)).message.closure.workflow_node_metadata.executionId == CHILD
