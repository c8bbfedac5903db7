"""One entry of the cache: the first result stays, one node makes it, and nobody who waits is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from flyteidl.core.identifier_pb2 import DATASET, Identifier, TaskExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey, ReservationEnded
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog import subjects
from services.catalog.entries import Entry, Rules, decide, evolve, fold, refusals
from services.catalog.projection.rows import clipped
from services.catalog.requests import (
    Asker,
    Change,
    Check,
    Claim,
    Evict,
    GiveBack,
    LookUp,
    Owner,
    Pin,
    Put,
    Release,
    Request,
    Reserve,
    Unpin,
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


def moment(second: float) -> Timestamp:
    return Timestamp(seconds=int(second), nanos=int(second % 1 * 1e9))


def after(entry: Entry, *requests: Request, at: float = 1, rules: Rules | None = None) -> Entry:
    return decide(entry, KEY, requests, moment(at), rules).entry


def told(entry: Entry, *requests: Request, at: float = 1, rules: Rules | None = None) -> list[tuple[Asker, str]]:
    answers = decide(entry, KEY, requests, moment(at), rules).answers
    return [(Asker.of(answer.node), CacheAnswer.Kind.Name(answer.kind)) for answer in answers]


def owner(name: str, until: float) -> Owner:
    return Owner(name, moment(until))


SECOND = timedelta(seconds=1)


def test_a_client_holds_the_reservation_for_three_heartbeats_and_extends_it() -> None:
    entry = after(Entry(), Claim("me", SECOND), at=10)
    assert entry.holder == owner("me", 13)
    entry = after(entry, Claim("me", 2 * SECOND), at=12)
    assert entry.holder == owner("me", 18)
    assert after(entry, Claim("you", SECOND), at=17.9).holder == owner("me", 18)
    assert after(entry, Claim("you", SECOND), at=18).holder == owner("you", 21)
    # Late, but nobody else has it.
    assert after(entry, Claim("me", SECOND), at=30).holder == owner("me", 33)


@pytest.mark.parametrize("asked", [None, timedelta(0), -SECOND, timedelta(hours=1)])
def test_heartbeats_are_no_longer_apart_than_the_setting_says(asked: timedelta | None) -> None:
    assert after(Entry(), Claim("me", asked), at=0).holder == owner("me", 30)
    assert after(Entry(), Claim("me", asked), at=0, rules=Rules(heartbeat=SECOND)).holder == owner("me", 3)


def test_nodes_wait_for_a_client_and_get_the_reservation_when_it_gives_it_back_or_lapses() -> None:
    entry = after(Entry(), Claim("me", SECOND), Reserve(A), Reserve(B), at=0)
    assert (entry.holder, entry.waiters) == (owner("me", 3), (A, B))
    assert told(entry, GiveBack("you"), at=1) == []
    assert told(entry, GiveBack("me"), at=1) == [(A, "RESERVED")]
    assert told(entry, Check(), at=2.9) == []
    assert told(entry, Check(), at=3) == [(A, "RESERVED")]
    # Whoever asks next finds it lapsed, and those who waited are first.
    assert told(entry, Reserve(C), at=3) == [(A, "RESERVED"), (C, "AWAITING")]
    assert after(entry, Claim("me", SECOND), at=3).holder == A
    facts = decide(entry, KEY, [Check()], moment(3)).facts
    assert facts[0] == ReservationEnded(key=KEY, owner="me", lapsed=True, occurred_at=moment(3))


def test_a_client_gets_no_reservation_that_a_node_has_until_that_is_gone() -> None:
    entry = after(Entry(), Reserve(A), Reserve(B))
    assert after(entry, Claim("me")) == entry
    assert after(entry, Check(), Check(gone=C), at=1e6) == entry
    assert told(entry, Check(gone=A)) == [(B, "RESERVED")]
    assert after(entry, Check(gone=A), Check(gone=B), Claim("me"), at=0).holder == owner("me", 30)


def test_a_result_from_outside_serves_those_who_wait_and_leaves_the_client_its_reservation() -> None:
    entry = after(Entry(), Claim("me"), Reserve(A), at=0)
    assert told(entry, Put(None, result(C))) == [(A, "FOUND")]
    assert after(entry, Put(None, result(C)), at=1).holder == owner("me", 30)
    # It may want to make another one.
    assert after(Entry(), Put(None, result(C)), Claim("me"), at=0).holder == owner("me", 30)


def test_what_is_evicted_is_found_by_nobody_and_may_be_made_again() -> None:
    entry = after(Entry(), Put(A, result(A)))
    assert after(entry, Evict(artifact_id="another")) == entry
    entry = after(entry, Evict("wrong"))
    assert entry == Entry()
    assert told(entry, LookUp(B), Reserve(B)) == [(B, "NOT_FOUND"), (B, "RESERVED")]
    assert decide(entry, KEY, [Evict()], AT).facts == ()
    assert after(entry, Put(None, result(C))).result == result(C)


def test_evicting_leaves_those_who_wait_alone() -> None:
    entry = after(Entry(), Reserve(A), Reserve(B), Put(C, result(C), overwrites=True), Evict(), Reserve(B))
    assert (entry.holder, entry.waiters) == (A, (B,))


def test_what_is_pinned_stays_unless_it_is_said_otherwise() -> None:
    pinned = after(Entry(), Put(A, result(A)), Pin("dear"))
    assert pinned.pinned
    assert after(pinned, Pin(), Evict(), Pin(artifact_id="another"), Unpin("another")) == pinned
    assert after(pinned, Evict(pinned_too=True)) == Entry()
    assert after(pinned, Unpin(), Evict()) == Entry()
    assert after(Entry(), Pin(), Unpin()) == Entry()
    # It is this result that is pinned, not the one that takes its place.
    assert not after(pinned, Put(B, result(B), overwrites=True)).pinned
    assert after(pinned, Change(CachedResult(artifact_id="artifact of run0", revision=1))).pinned


def test_what_is_too_old_is_made_again_unless_it_is_pinned() -> None:
    rules = Rules(max_age=timedelta(seconds=10))
    entry = after(Entry(), Put(A, result(A)), at=5)
    assert told(entry, LookUp(B), at=15, rules=rules) == [(B, "FOUND")]
    assert told(entry, LookUp(B), Reserve(B), at=15.1, rules=rules) == [(B, "NOT_FOUND"), (B, "RESERVED")]
    assert told(entry, LookUp(B), at=1e6) == [(B, "FOUND")]
    assert after(entry, Put(B, result(B)), at=16, rules=rules).result == result(B)
    assert after(entry, Pin(), at=16, rules=rules) == entry
    pinned = after(entry, Pin(), at=6, rules=rules)
    assert told(pinned, LookUp(B), Reserve(B), at=1e6, rules=rules) == [(B, "FOUND"), (B, "FOUND")]
    assert after(pinned, Put(B, result(B)), at=1e6, rules=rules).result == result(A)


def test_since_when_there_is_a_result() -> None:
    entry = after(Entry(), Put(A, result(A)), at=5)
    entry = after(entry, Put(B, result(B), overwrites=True), at=7)
    assert (entry.created_at, entry.cached_at) == (moment(5), moment(7))
    entry = after(entry, Evict(), Put(B, result(B)), at=9)
    assert (entry.created_at, entry.cached_at) == (moment(9), moment(9))


def test_an_artifact_that_changes_changes_where_it_is_the_result() -> None:
    made = result(A)
    made.input_hashes.add(name="x", hash="h")
    made.inputs.uri = "s3://bucket/inputs.pb"
    entry = after(Entry(), Put(A, made))
    changed = CachedResult(artifact_id=made.artifact_id, outputs=DataRef(uri="s3://bucket/other"), revision=2)
    entry = after(entry, Change(changed))
    assert entry.result is not None
    assert entry.result.outputs.uri == "s3://bucket/other"
    assert (entry.result.input_hashes, entry.result.inputs) == (made.input_hashes, made.inputs)
    assert not entry.result.HasField("source")
    late = CachedResult(artifact_id=made.artifact_id, outputs=DataRef(uri="s3://bucket/late"), revision=1)
    assert decide(entry, KEY, [Change(changed), Change(late)], AT).facts == ()
    assert after(entry, Change(CachedResult(artifact_id="another", revision=9))) == entry


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


TEXTS = st.text(st.sampled_from("a\0:1é"), max_size=3)


@given(st.lists(TEXTS, min_size=2, max_size=3), st.lists(TEXTS, min_size=2, max_size=3))
def test_different_names_have_different_hashes(here: list[str], there: list[str]) -> None:
    assert (subjects.hash_of(*here) == subjects.hash_of(*there)) == (here == there)


@pytest.mark.parametrize(
    ("here", "there"), [("a\0", "a"), ("a\0b", "ab"), ("é" * 1000, "é" * 1001), ("a" * 400 + "b", "a" * 400 + "c")]
)
def test_different_texts_are_different_in_the_tables(here: str, there: str) -> None:
    assert clipped(here) != clipped(there)
    assert clipped(clipped(here)) == clipped(here)
    assert "\0" not in clipped(here)
    assert len(clipped(here).encode()) <= 400


def test_no_execution_has_a_name_that_no_subject_can_have() -> None:
    assert subjects.execution(("p", "d", "x")) is not None
    for name in ("", "é" * 1500, "x" * 3000):
        assert subjects.execution(("p", "d", name)) is None
