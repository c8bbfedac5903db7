"""What happened to an entry, as people read it, and what it was at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, TaskExecutionIdentifier, WorkflowExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Head, Recorded
from flightlog_protos.catalog.v1.cache_pb2 import (
    CachedResult,
    ReservationEnded,
    ReservationGranted,
    ReservationQueued,
    ResultCached,
    ResultEvicted,
    ResultPinned,
    ResultUnpinned,
)
from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope
from services.catalog.looking.histories import actor_name, entry_at, events, maker

CATALOG = Actor(subject="catalog", method="service")


def at(seconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
    return moment


def recorded(*facts: Message, actor: Actor = CATALOG) -> Recorded:
    return Recorded("catalog.00.entry.x", 1, Envelope(event_id="e", actor=actor), facts, Head(1, 1, b""))


def node(name: str) -> NodeExecutionIdentifier:
    execution = WorkflowExecutionIdentifier(project="p", domain="d", name=name)
    return NodeExecutionIdentifier(execution_id=execution, node_id="n0")


def result(artifact: str, by: str = "x") -> CachedResult:
    return CachedResult(artifact_id=artifact, source=TaskExecutionIdentifier(node_execution_id=node(by)))


ADA = Actor(subject="ada", method="none", client="flightlog-cli/1 (ada) grpc-python-asyncio/1.70")
HISTORY: Sequence[Recorded] = (
    recorded(ReservationGranted(holder=node("x"), occurred_at=at(1))),
    recorded(ReservationQueued(waiter=node("y"), occurred_at=at(2))),
    recorded(ResultCached(result=result("a"), occurred_at=at(3))),
    recorded(ResultPinned(artifact_id="a", reason="dear", occurred_at=at(4)), actor=ADA),
    recorded(ResultUnpinned(artifact_id="a", occurred_at=at(5)), actor=ADA),
    recorded(ResultCached(result=result("b", "z"), occurred_at=at(6))),
    recorded(ResultCached(result=result("b", "z"), occurred_at=at(7))),
    recorded(ResultEvicted(artifact_id="b", reason="wrong", occurred_at=at(8)), actor=ADA),
    recorded(ResultCached(result=CachedResult(artifact_id="c"), occurred_at=at(9))),
    recorded(ReservationGranted(owner="client", occurred_at=at(10)), ReservationEnded(owner="client", lapsed=True)),
    recorded(ReservationEnded(node=node("y"), occurred_at=at(11))),
)


def test_everything_is_told_in_its_order() -> None:
    told = [(event.what, event.actor, event.subject, event.artifact_id, event.reason) for event in events(HISTORY)]
    assert told == [
        ("reserved", "catalog", "n0 of p/d/x", "", ""),
        ("awaited", "catalog", "n0 of p/d/y", "", ""),
        ("cached", "catalog", "n0 of p/d/x", "a", ""),
        ("pinned", "ada", "", "a", "dear"),
        ("unpinned", "ada", "", "a", ""),
        ("replaced", "catalog", "n0 of p/d/z", "b", ""),
        ("changed", "catalog", "n0 of p/d/z", "b", ""),
        ("evicted", "ada", "", "b", "wrong"),
        ("cached", "catalog", "a client outside", "c", ""),
        ("reserved", "catalog", "client", "", ""),
        ("lapsed", "catalog", "client", "", ""),
        ("released", "catalog", "n0 of p/d/y", "", ""),
    ]


@pytest.mark.parametrize(
    ("seconds", "artifact"), [(2, None), (3, "a"), (5, "a"), (6, "b"), (7, "b"), (8, None), (9, "c"), (99, "c")]
)
def test_an_entry_is_known_as_it_was(seconds: int, artifact: str | None) -> None:
    found = entry_at(HISTORY, at(seconds)).result
    assert (None if found is None else found.artifact_id) == artifact


@pytest.mark.parametrize(
    ("actor", "name"),
    [
        (ADA, "ada"),
        (CATALOG, "catalog"),
        (Actor(subject="tool/1 (ada) grpc-c/2", client="tool/1 (ada) grpc-c/2", method="none"), "tool/1 (ada)"),
        (Actor(method="none"), "somebody"),
    ],
)
def test_who_it_was_is_told_as_far_as_it_is_known(actor: Actor, name: str) -> None:
    assert actor_name(actor) == name


def test_a_result_without_a_source_is_a_clients() -> None:
    assert maker(CachedResult()) == "a client outside"
