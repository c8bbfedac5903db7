"""One entry of the cache: the first result stays, one node makes it, and nobody who waits is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field

from flyteidl.core.identifier_pb2 import DATASET, Identifier, TaskExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog import subjects
from services.catalog.entries import (
    Asker,
    Entry,
    LookUp,
    Put,
    Release,
    Request,
    Reserve,
    decide,
    evolve,
    fold,
    refusals,
)

AT = Timestamp(seconds=1)
KEY = CacheKey(
    dataset=Identifier(
        resource_type=DATASET, project="p", domain="d", name="flyte_task-t", version="1-BgPQX4Pd-PmK8qF6C"
    ),
    tag="flyte_cached-qqAlqAgGTLhOTcTGx9dHM6iCwO2o--LdG3I5V8n0oZ0",
)


def node(number: int) -> Asker:
    return Asker("p", "d", f"run{number}", "n0")


A, B, C = (node(number) for number in range(3))


def result(asker: Asker, artifact: str = "") -> CachedResult:
    source = TaskExecutionIdentifier(node_execution_id=asker.identifier)
    outputs = DataRef(uri=f"s3://bucket/{asker.execution}/outputs.pb")
    return CachedResult(artifact_id=artifact or f"artifact of {asker.execution}", outputs=outputs, source=source)


@dataclass
class Kept:
    """An entry and its history."""

    entry: Entry = field(default_factory=Entry)
    history: list[Message] = field(default_factory=list[Message])

    def ask(self, *requests: Request) -> list[tuple[Asker, str]]:
        outcome = decide(self.entry, KEY, requests, AT)
        for fact in outcome.facts:
            self.entry = evolve(self.entry, fact)
        self.history.extend(outcome.facts)
        assert fold(self.history) == self.entry
        return [(Asker.of(answer.node), CacheAnswer.Kind.Name(answer.kind)) for answer in outcome.answers]


def names(kept: Kept) -> list[str]:
    return [fact.DESCRIPTOR.name for fact in kept.history]


def test_looking_up_changes_nothing() -> None:
    kept = Kept()
    assert kept.ask(LookUp(A)) == [(A, "NOT_FOUND")]
    assert kept.history == []


def test_what_was_put_is_found_with_its_source() -> None:
    kept = Kept()
    assert kept.ask(Put(A, result(A))) == [(A, "STORED")]
    (answer,) = decide(kept.entry, KEY, [LookUp(B)], AT).answers
    assert answer.kind == CacheAnswer.FOUND
    assert answer.result == result(A)
    assert answer.key == KEY


def test_the_first_result_stays() -> None:
    kept = Kept()
    kept.ask(Put(A, result(A)))
    (answer,) = decide(kept.entry, KEY, [Put(B, result(B))], AT).answers
    assert (answer.kind, answer.result) == (CacheAnswer.STORED, result(A))
    kept.ask(Put(B, result(B)))
    assert names(kept) == ["ResultCached"]


def test_overwriting_takes_its_place_once() -> None:
    kept = Kept()
    kept.ask(Put(A, result(A)))
    assert kept.ask(Put(B, result(B), overwrites=True), LookUp(C)) == [(B, "STORED"), (C, "FOUND")]
    assert kept.entry.result == result(B)
    kept.ask(Put(B, result(B), overwrites=True))
    assert names(kept) == ["ResultCached", "ResultCached"]


def test_one_node_makes_the_result_and_all_who_wait_are_told_it() -> None:
    kept = Kept()
    assert kept.ask(Reserve(A)) == [(A, "RESERVED")]
    assert kept.ask(Reserve(B), Reserve(C)) == [(B, "AWAITING"), (C, "AWAITING")]
    assert kept.ask(LookUp(B)) == [(B, "NOT_FOUND")]
    assert kept.ask(Put(A, result(A))) == [(A, "STORED"), (B, "FOUND"), (C, "FOUND")]
    assert kept.entry == Entry(result=result(A), cached_at=AT, created_at=AT)
    assert kept.ask(Release(A), Release(B)) == []


def test_a_maker_that_ends_without_a_result_gives_way_to_the_one_that_waits_longest() -> None:
    kept = Kept()
    kept.ask(Reserve(A), Reserve(B), Reserve(C))
    assert kept.ask(Release(A)) == [(B, "RESERVED")]
    assert kept.ask(Release(B)) == [(C, "RESERVED")]
    assert kept.ask(Release(C)) == []
    assert kept.entry == Entry()


def test_whoever_stops_waiting_is_passed_over() -> None:
    kept = Kept()
    kept.ask(Reserve(A), Reserve(B), Reserve(C))
    assert kept.ask(Release(B)) == []
    assert kept.ask(Release(A)) == [(C, "RESERVED")]


def test_asking_twice_is_like_asking_once() -> None:
    kept = Kept()
    kept.ask(Reserve(A), Reserve(B))
    before = names(kept)
    assert kept.ask(Reserve(A), Reserve(B), Release(C)) == [(A, "RESERVED"), (B, "AWAITING")]
    assert names(kept) == before


def test_a_result_from_elsewhere_serves_those_who_wait_while_the_maker_works_on() -> None:
    """An execution that overwrites the cache asks nobody."""
    kept = Kept()
    kept.ask(Reserve(A), Reserve(B))
    assert kept.ask(Put(C, result(C), overwrites=True)) == [(C, "STORED"), (B, "FOUND")]
    assert kept.entry.holder == A
    assert kept.ask(Put(A, result(A))) == [(A, "STORED")]
    assert kept.entry == Entry(result=result(C), cached_at=AT, created_at=AT)


def test_an_entry_that_takes_no_facts_lets_everybody_go_on() -> None:
    answers = refusals(KEY, [LookUp(A), Reserve(B), Put(C, result(C)), Release(A)], "no room", AT)
    assert [(Asker.of(answer.node), CacheAnswer.Kind.Name(answer.kind)) for answer in answers] == [
        (A, "NOT_FOUND"),
        (B, "NOT_RESERVED"),
        (C, "NOT_STORED"),
    ]
    assert {answer.reason for answer in answers} == {"no room"}


REQUESTS = st.builds(
    lambda number, kind: (
        Put(node(number), result(node(number)), overwrites=kind == 4)
        if kind >= 3
        else (LookUp, Reserve, Release)[kind](node(number))
    ),
    st.integers(0, 4),
    st.integers(0, 4),
)


@given(st.lists(REQUESTS, max_size=40))
def test_whatever_happens_one_makes_and_no_waiting_is_for_ever(requests: list[Request]) -> None:
    """Against what the nodes know from the answers they were given."""
    kept = Kept()
    told: dict[Asker, str] = {}
    for request in requests:
        if isinstance(request, Release):
            told.pop(request.asker, None)
        answers = [answer for answer in kept.ask(request) if answer[1] != "NOT_FOUND"]
        # Who makes the result goes on with it, whatever else is found meanwhile.
        told.update((asker, kind) for asker, kind in answers if (told.get(asker), kind) != ("RESERVED", "FOUND"))
        makers = [asker for asker, kind in told.items() if kind == "RESERVED"]
        waiters = {asker for asker, kind in told.items() if kind == "AWAITING"}
        assert len(makers) <= 1
        assert set(kept.entry.waiters) == waiters
        assert makers or not waiters
        assert kept.entry.holder == (makers[0] if makers else None)


def test_entries_are_named_by_their_key() -> None:
    assert str(subjects.entry(KEY)).endswith(
        ".entry.p.d.flyte_task-t.1-BgPQX4Pd-PmK8qF6C.flyte_cached-qqAlqAgGTLhOTcTGx9dHM6iCwO2o--LdG3I5V8n0oZ0"
    )
    for name in ("long " * 1000, ""):
        odd = CacheKey(dataset=KEY.dataset, tag=KEY.tag)
        odd.dataset.name = name
        other = CacheKey(dataset=odd.dataset, tag="another")
        assert len(str(subjects.entry(odd))) < 2000
        assert subjects.entry(odd) != subjects.entry(other)
