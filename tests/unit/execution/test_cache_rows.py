"""What clients see of the cache, as Flyte recorded it: a row that succeeds at once, the key, and its source."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from flyteidl.core.catalog_pb2 import CatalogCacheStatus, CatalogMetadata
from flyteidl.core.execution_pb2 import NodeExecution
from flyteidl.core.identifier_pb2 import DATASET, Identifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Head, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope
from services.execution.projection import fold
from services.execution.projection.rows import NodeRow, Rows

KEY = ("p", "d", "run")
CATALOG_KEY = CatalogMetadata(dataset_id=Identifier(resource_type=DATASET, name="flyte_task-t"))
CATALOG_KEY.artifact_tag.name = "flyte_cached-x"


def envelope(sequence: int, *items: Message) -> Recorded:
    return Recorded(str(Subject.of("EXECUTION", *KEY)), sequence, Envelope(), items, Head(sequence, sequence, b""))


def folded(*history: Sequence[Message]) -> dict[str, NodeRow]:
    """Each decision in a batch of its own."""
    stored = Rows()
    for sequence, items in enumerate(history, start=1):
        recorded = envelope(sequence, *items)
        needs = fold.needs([recorded])
        rows = Rows(
            {key: stored.executions[key] for key in needs.executions if key in stored.executions},
            {key: stored.nodes[key] for key in needs.nodes if key in stored.nodes},
            {key: stored.tasks[key] for key in needs.tasks if key in stored.tasks},
        )
        fold.apply(rows, recorded)
        stored.executions.update(rows.executions)
        stored.nodes.update(rows.nodes)
        stored.tasks.update(rows.tasks)
    return {node_id: row for (_, node_id), row in stored.nodes.items()}


def queued(second: int) -> facts.NodeQueued:
    return facts.NodeQueued(
        node_id="n0",
        spec_node_id="n0",
        kind=facts.TASK,
        data_prefix="s3://b/n0/data",
        inputs=DataRef(uri="s3://b/n0/data/inputs.pb"),
        occurred_at=Timestamp(seconds=second),
    )


def succeeded(second: int, status: CatalogCacheStatus, key: CatalogMetadata | None = None) -> facts.NodeSucceeded:
    outputs = DataRef(uri="s3://b/n0/data/0/outputs.pb")
    return facts.NodeSucceeded(
        node_id="n0", outputs=outputs, cache_status=status, catalog_key=key, occurred_at=Timestamp(seconds=second)
    )


CREATED = [facts.ExecutionCreated()]
ASKED = [facts.CacheAsked(node=queued(3))]


def test_nothing_is_seen_of_a_node_whose_result_is_asked_for() -> None:
    assert folded(CREATED, ASKED) == {}


def test_a_hit_is_a_node_that_succeeded_without_running() -> None:
    hit = [queued(3), succeeded(4, CatalogCacheStatus.CACHE_HIT, CATALOG_KEY)]
    message = folded(CREATED, ASKED, hit)["n0"].message
    closure = message.closure
    assert closure.phase == NodeExecution.SUCCEEDED
    assert (closure.created_at.seconds, closure.updated_at.seconds) == (3, 4)
    assert not closure.HasField("started_at")
    assert not closure.HasField("duration")
    assert closure.task_node_metadata.cache_status == CatalogCacheStatus.CACHE_HIT
    assert closure.task_node_metadata.catalog_key == CATALOG_KEY
    assert closure.task_node_metadata.checkpoint_uri == ""
    assert message.input_uri == "s3://b/n0/data/inputs.pb"
    assert closure.output_uri == "s3://b/n0/data/0/outputs.pb"


def test_a_result_that_was_kept_is_shown_beside_the_checkpoint() -> None:
    scheduled = facts.AttemptScheduled(node_id="n0", checkpoint_prefix="s3://b/raw/_flytecheckpoints")
    put = [facts.AttemptSucceeded(node_id="n0"), facts.CachePutRequested(node_id="n0")]
    rows = folded(CREATED, [queued(3), scheduled], put)
    assert rows["n0"].message.closure.phase == NodeExecution.QUEUED
    rows = folded(CREATED, [queued(3), scheduled], put, [succeeded(5, CatalogCacheStatus.CACHE_POPULATED, CATALOG_KEY)])
    shown = rows["n0"].message.closure.task_node_metadata
    assert shown.cache_status == CatalogCacheStatus.CACHE_POPULATED
    assert shown.checkpoint_uri == "s3://b/raw/_flytecheckpoints"


def test_without_a_key_nothing_is_shown() -> None:
    rows = folded(CREATED, [queued(3)], [succeeded(5, CatalogCacheStatus.CACHE_DISABLED)])
    assert not rows["n0"].message.closure.HasField("task_node_metadata")


@pytest.mark.parametrize("reserving", [facts.ReservationAsked, facts.ReservationAwaited, facts.ReservationHeld])
def test_a_node_that_waits_for_anothers_result_stays_queued(reserving: type[Message]) -> None:
    rows = folded(CREATED, [queued(3), reserving(node_id="n0")])
    assert rows["n0"].message.closure.phase == NodeExecution.QUEUED


def test_a_node_that_is_stopped_before_it_was_queued_is_never_seen() -> None:
    aborted = facts.NodeAborted(node_id="n0", unseen=True)
    released = facts.ReservationReleased(node_id="n0")
    assert folded(CREATED, ASKED, [aborted, released, facts.ExecutionAborted()]) == {}


def test_a_launch_plan_node_shows_the_execution_that_ran_for_it_or_the_hit() -> None:
    requested = facts.ChildExecutionRequested(node_id="n0")
    requested.execution_id.name = "child"
    ran = [queued(3), requested, succeeded(5, CatalogCacheStatus.CACHE_POPULATED, CATALOG_KEY)]
    closure = folded(CREATED, ASKED, ran)["n0"].message.closure
    assert closure.workflow_node_metadata.executionId.name == "child"
    assert not closure.HasField("task_node_metadata")
    hit = [queued(3), succeeded(4, CatalogCacheStatus.CACHE_HIT, CATALOG_KEY)]
    closure = folded(CREATED, ASKED, hit)["n0"].message.closure
    assert closure.task_node_metadata.cache_status == CatalogCacheStatus.CACHE_HIT
    assert not closure.HasField("workflow_node_metadata")
