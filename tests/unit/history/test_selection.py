"""Which events a filter lets through, from the subject, the header and what is in it."""

from __future__ import annotations

import grpc
import pytest

from flightlog_log import Cause, Head, Raw, Recorded, Subject, Unreadable
from flightlog_protos.execution.v1.facts_pb2 import NodeQueued, TimerSet
from flightlog_protos.history.v1.audit_pb2 import CallRefused, HistoryImported
from flightlog_protos.history.v1.events_pb2 import EventFilter
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from flightlog_rpc import RpcError
from flightlog_types.aggregates import Aggregate, aggregate_of
from services.history.events.selection import Selection


def raw(subject: Subject, facts: str | None = "NodeQueued") -> Raw:
    return Raw(str(subject), 1, b"", {} if facts is None else {"Flightlog-Facts": facts})


def recorded(subject: Subject, *facts: NodeQueued | TimerSet | CallRefused | HistoryImported) -> Recorded:
    return Recorded(str(subject), 1, Envelope(actor=Cause.service("x").actor), facts, Head.EMPTY)


RUN = Subject.of("EXECUTION", "flytesnacks", "development", "f1")


@pytest.mark.parametrize(
    ("asked", "subjects"),
    [
        ({}, ">"),
        ({"project": "p"}, "execution.*.p.*.*"),
        ({"name": "a.b"}, "execution.*.*.*.a%2Eb"),
        ({"stream": "LAUNCHER", "project": "p", "domain": "d"}, "launcher.*.p.d.*"),
        ({"stream": "CATALOG", "project": "p"}, "catalog.*.*.p.>"),
        ({"stream": "REGISTRY", "project": "p"}, ">"),
        ({"subject": str(RUN)}, str(RUN)),
    ],
)
def test_the_server_is_asked_for_as_little_as_possible(asked: dict[str, str], subjects: str) -> None:
    assert Selection.of(EventFilter(**asked)).subjects == subjects  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "asked",
    [
        {"stream": "ALARM"},
        {"stream": "execution"},
        {"subject": "execution.99.p.d.n"},
        {"subject": "execution"},
        {"subject": str(RUN), "stream": "LAUNCHER"},
        # A connection that sends such a filter is ended by the server, and all other calls with it.
        {"project": "p" * 3000},
        {"name": "é" * 400},
        {"subject": str(Subject.of("EXECUTION", "p" * 3000, "d", "n"))},
    ],
)
def test_what_there_cannot_be_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(RpcError) as refused:
        Selection.of(EventFilter(**asked))  # pyright: ignore[reportArgumentType]
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("stream", "parts", "project"),
    [
        ("REGISTRY", ("task", "p", "d", "n", "v"), "p"),
        ("REGISTRY", ("named_entity", "task", "p", "d", "n"), "p"),
        ("REGISTRY", ("project", "p"), "p"),
        ("CATALOG", ("entry", "p", "d", "n", "v", "tag"), "p"),
        ("CATALOG", ("entry", "0" * 64), ""),
        ("SCHEDULER", ("delivery", "sink", "p", "d", "f1"), "p"),
        ("SCHEDULER", ("schedule", "p", "d", "lp"), "p"),
        ("SCHEDULER", ("deliveries", "EXECUTION"), ""),
        ("ADMISSION", ("queue", "p", "d"), "p"),
        ("ADMISSION", ("answer", "p", "d", "f1"), "p"),
    ],
)
def test_events_of_other_streams_are_chosen_by_their_subject(stream: str, parts: tuple[str, ...], project: str) -> None:
    subject = Subject.of(stream, *parts)
    found = Selection.of(EventFilter(stream=stream, project="p"))
    assert found.may_have(raw(subject)) is (project == "p")
    assert not Selection.of(EventFilter(stream=stream, project="other")).may_have(raw(subject))
    assert Selection.of(EventFilter(stream=stream)).may_have(raw(subject))
    assert aggregate_of(stream, parts).project == project


def test_an_aggregate_is_named_by_kind_project_domain_name_and_version() -> None:
    assert aggregate_of("EXECUTION", ("p", "d", "n")) == Aggregate("execution", "p", "d", "n")
    assert aggregate_of("REGISTRY", ("task", "p", "d", "n", "v")) == Aggregate("task", "p", "d", "n", "v")
    assert aggregate_of("CATALOG", ("entry", "p", "d", "n", "v", "t")) == Aggregate("entry", "p", "d", "n", "v")
    assert aggregate_of("AUDIT", ("AdminService", "CreateTask")) == Aggregate("call")


@pytest.mark.parametrize(
    ("header", "decoded"), [("NodeQueued", True), ("TimerSet", False), ("Imported", True), (None, True), ("A,B", False)]
)
def test_facts_are_known_from_the_header_where_it_has_them(header: str | None, decoded: bool) -> None:
    selection = Selection.of(EventFilter(facts=["NodeQueued", "NodeSucceeded"]))
    assert selection.may_have(raw(RUN, header)) is decoded


def test_what_the_header_does_not_say_the_facts_do() -> None:
    selection = Selection.of(EventFilter(facts=["NodeQueued"]))
    assert selection.has(recorded(RUN, TimerSet(), NodeQueued()))
    assert not selection.has(recorded(RUN, TimerSet()))
    assert selection.has(Unreadable(str(RUN), 1, "a type of the future", b""))


def test_refused_calls_are_chosen_by_what_they_were_about() -> None:
    subject = Subject.of("AUDIT", "AdminService", "CreateTask")
    selection = Selection.of(EventFilter(stream="AUDIT", project="p", name="n"))
    assert selection.may_have(raw(subject, "CallRefused"))
    assert selection.has(recorded(subject, CallRefused(project="p", domain="d", name="n")))
    assert not selection.has(recorded(subject, CallRefused(project="p", domain="d", name="m")))
    assert selection.has(recorded(subject, HistoryImported(project="p", domain="d", name="n")))
