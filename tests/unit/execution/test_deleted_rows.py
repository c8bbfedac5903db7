"""Rows of deleted executions: however the stream is cut into batches, none is left, and all of the others are."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Head, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from services.catalog.lineage import projection as lineage
from services.execution.projection import fold
from services.execution.projection.in_memory import ExecutionInMemory
from services.execution.projection.rows import Rows

HERE, ELSEWHERE = ("p", "d", "run"), ("p", "d", "other")


def envelope(key: tuple[str, str, str], sequence: int, *items: Message) -> Recorded:
    subject = str(Subject.of("EXECUTION", *key))
    return Recorded(subject, sequence, Envelope(position=sequence), items, Head(sequence, sequence, b""))


def history(key: tuple[str, str, str], sequence: int) -> list[Recorded]:
    at = Timestamp(seconds=sequence)
    created = facts.ExecutionCreated(created_at=at, config=facts.ResolvedConfig(metadata_prefix="s3://b/m"))
    created.id.project, created.id.domain, created.id.name = key
    queued = facts.NodeQueued(node_id="n0", spec_node_id="n0", kind=facts.TASK, occurred_at=at)
    return [
        envelope(key, sequence, created),
        envelope(key, sequence + 1, facts.ExecutionStarted(occurred_at=at), queued),
        envelope(key, sequence + 2, facts.SignalAwaited(node_id="n0", signal_id="go", occurred_at=at)),
    ]


def deleted(key: tuple[str, str, str], sequence: int) -> Recorded:
    return envelope(key, sequence, facts.ExecutionDeleted(reason="a test"))


def kept(rows: Rows) -> set[tuple[str, str, str]]:
    """The executions that there are rows of."""
    others = (rows.nodes, rows.tasks, rows.signals, rows.elements, rows.latest_elements)
    return {*rows.executions, *(key[0] for kind in others for key in kind)}


def test_the_rows_of_a_deleted_execution_go_and_those_of_others_stay() -> None:
    rows = Rows()
    for recorded in (*history(HERE, 1), *history(ELSEWHERE, 11)):
        fold.apply(rows, recorded)
    assert kept(rows) == {HERE, ELSEWHERE}
    fold.apply(rows, deleted(HERE, 20))
    assert kept(rows) == {ELSEWHERE}
    assert rows.executions[ELSEWHERE].sequence == 12


def test_of_one_that_is_erased_already_there_is_nothing_to_go() -> None:
    rows = Rows()
    fold.apply(rows, deleted(HERE, 20))
    assert kept(rows) == set()


def test_folded_in_memory_it_gives_no_rows() -> None:
    for before in range(4):
        folded = ExecutionInMemory(str(Subject.of("EXECUTION", *HERE)))
        for recorded in (*history(HERE, 1)[:before], deleted(HERE, 20)):
            folded.apply(recorded)
        assert list(folded.rows()) == []


def test_lineage_leaves_a_deletion_to_the_projection_itself() -> None:
    """Its rows stand alone: what an envelope takes away is not among what it gives."""
    with pytest.raises(lineage.Deleted):
        lineage.LineageProjection().rows_of(deleted(HERE, 20))
