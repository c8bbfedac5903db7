"""Nodes, clients, operators and time do to an entry what they like: what is found, and who makes it, stays right.

Between them and the entry is a log in miniature: what was decided because of one event is decided once, however often
the event comes. Nodes hold what they were told they hold, for as long as their execution goes on; clients what they
were told, until it expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile

from flyteidl.core.identifier_pb2 import DATASET, Identifier, TaskExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey
from services.catalog import entries
from services.catalog.entries import Outcome, Rules
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

KEY = CacheKey(dataset=Identifier(resource_type=DATASET, project="p", domain="d", name="n", version="v"), tag="t")
NODES = tuple(Asker("p", "d", f"run{number}", "n0") for number in range(5))
CLIENTS = ("x", "y")
MAX_AGE = timedelta(seconds=20)

nodes = st.sampled_from(NODES)
clients = st.sampled_from(CLIENTS)
overwriting = st.booleans()


@dataclass
class Known:
    """What is to be found, as somebody would say who has seen everything."""

    artifact: str
    at: float
    pinned: bool = False


@settings(max_examples=200, stateful_step_count=40, deadline=None)
class AnyOrder(RuleBasedStateMachine):
    """One entry, five nodes, two clients."""

    @initialize(ages=st.booleans())
    def begin(self, ages: bool) -> None:
        self.rules_of_age = Rules(max_age=MAX_AGE if ages else None)
        self.now = 100.0
        self.log: list[tuple[str, tuple[Message, ...]]] = []
        self.delivered: list[tuple[str, Sequence[Request], Timestamp, Outcome]] = []
        self.events = self.made = 0
        self.known: Known | None = None
        self.over: set[Asker] = set()
        self.told: dict[Asker, str] = {}
        self.held_until: dict[str, float] = {}

    # -- the log in miniature

    def decide(self, event: str, requests: Sequence[Request], at: Timestamp) -> Outcome:
        before = list(takewhile(lambda envelope: envelope[0] != event, self.log))
        entry = entries.fold(fact for _, facts in before for fact in facts)
        outcome = entries.decide(entry, KEY, requests, at, self.rules_of_age)
        if outcome.facts and len(before) == len(self.log):
            self.log.append((event, outcome.facts))
        return outcome

    def happens(self, *requests: Request) -> Outcome:
        self.events += 1
        event, at = f"event {self.events}", self.stamp()
        outcome = self.decide(event, requests, at)
        self.delivered.append((event, requests, at, outcome))
        for answer in outcome.answers:
            asker, kind = Asker.of(answer.node), CacheAnswer.Kind.Name(answer.kind)
            if kind in ("FOUND", "STORED"):
                assert answer.result.artifact_id == (self.known.artifact if self.known else None)
            if asker in self.over:
                continue
            if kind in ("RESERVED", "AWAITING"):
                self.told[asker] = kind
            elif kind == "STORED" or (kind == "FOUND" and self.told.get(asker) == "AWAITING"):
                self.told.pop(asker, None)
        return outcome

    def stamp(self) -> Timestamp:
        stamp = Timestamp()
        stamp.FromMilliseconds(round(self.now * 1000))
        return stamp

    def entry(self) -> entries.Entry:
        return entries.fold(fact for _, facts in self.log for fact in facts)

    def found(self) -> Known | None:
        known = self.known
        if known is None or known.pinned or self.rules_of_age.max_age is None:
            return known
        return known if self.now - known.at <= MAX_AGE.total_seconds() else None

    def artifact(self, source: Asker | None) -> CachedResult:
        self.made += 1
        made = CachedResult(artifact_id=f"artifact {self.made}")
        if source is not None:
            made.source.CopyFrom(TaskExecutionIdentifier(node_execution_id=source.identifier))
        return made

    # -- what happens

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0, 35.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(asker=nodes)
    def a_node_looks(self, asker: Asker) -> None:
        if asker in self.over:
            return
        (answer,) = self.happens(LookUp(asker)).answers
        assert (answer.kind == CacheAnswer.FOUND) == (self.found() is not None)

    @rule(asker=nodes)
    def a_node_wants_to_make_it(self, asker: Asker) -> None:
        if asker in self.over or asker in self.told:
            return
        answers = self.happens(Reserve(asker)).answers
        mine = [answer.kind for answer in answers if Asker.of(answer.node) == asker]
        assert (mine[-1] == CacheAnswer.FOUND) == (self.found() is not None)

    @rule(asker=nodes, overwrites=overwriting)
    def a_node_has_made_it(self, asker: Asker, overwrites: bool) -> None:
        if asker in self.over or (self.told.get(asker) != "RESERVED" and not overwrites):
            return
        self.puts(asker, overwrites)

    @rule(overwrites=overwriting)
    def a_client_has_made_it(self, overwrites: bool) -> None:
        self.puts(None, overwrites)

    def puts(self, asker: Asker | None, overwrites: bool) -> None:
        result = self.artifact(asker)
        first = self.found() is None or overwrites
        if first:
            self.known = Known(result.artifact_id, self.now)
        outcome = self.happens(Put(asker, result, overwrites=overwrites))
        assert outcome.entry.result is not None
        assert (outcome.entry.result.artifact_id == result.artifact_id) == first

    @rule(asker=nodes)
    def a_node_ends(self, asker: Asker) -> None:
        if asker not in self.over:
            self.told.pop(asker, None)
            self.happens(Release(asker))

    @rule(asker=nodes)
    def an_execution_ends_and_gives_nothing_back(self, asker: Asker) -> None:
        self.over.add(asker)
        self.told.pop(asker, None)

    @rule(client=clients, seconds=st.sampled_from([None, 0.5, 4.0, 60.0]))
    def a_client_wants_the_reservation(self, client: str, seconds: float | None) -> None:
        holder = self.entry().holder
        check = Check(gone=holder) if isinstance(holder, Asker) and holder in self.over else Check()
        heartbeat = None if seconds is None else timedelta(seconds=seconds)
        held = self.happens(check, Claim(client, heartbeat)).entry.holder
        assert held is not None
        self.held_until.pop(client, None)
        if isinstance(held, Owner) and held.name == client:
            self.held_until[client] = held.expires_at.ToMilliseconds() / 1000
            assert self.held_until[client] > self.now

    @rule(client=clients)
    def a_client_gives_it_back(self, client: str) -> None:
        self.held_until.pop(client, None)
        self.happens(GiveBack(client))

    @rule()
    def the_clock_looks(self) -> None:
        holder = self.entry().holder
        gone = holder if isinstance(holder, Asker) and holder in self.over else None
        self.happens(Check(gone=gone))

    @rule(pinned_too=st.booleans())
    def somebody_evicts(self, pinned_too: bool) -> None:
        if self.known is not None and (pinned_too or not self.known.pinned):
            self.known = None
        self.happens(Evict("wrong", pinned_too=pinned_too))

    @rule(pins=st.booleans())
    def somebody_pins(self, pins: bool) -> None:
        if pins:
            found = self.found()
            if found is not None:
                found.pinned = True
        elif self.known is not None:
            self.known.pinned = False
        self.happens(Pin("dear") if pins else Unpin())

    @rule(current=st.booleans())
    def a_client_changes_an_artifact(self, current: bool) -> None:
        artifact = self.known.artifact if self.known is not None and current else "artifact 0"
        self.made += 1
        if self.known is not None and artifact == self.known.artifact:
            self.known.at = self.now
        self.happens(Change(CachedResult(artifact_id=artifact, revision=self.made)))

    @rule(data=st.data())
    @precondition(lambda self: bool(self.delivered))
    def an_event_comes_again(self, data: st.DataObject) -> None:
        event, requests, at, outcome = data.draw(st.sampled_from(self.delivered))
        # Where nothing was recorded, it is decided now; otherwise it was decided then.
        if outcome.facts:
            before = list(self.log)
            assert self.decide(event, requests, at) == outcome
            assert self.log == before

    # -- what must hold

    @invariant()
    def one_at_a_time_holds_it(self) -> None:
        if not hasattr(self, "log"):
            return
        holding: list[object] = [asker for asker, kind in self.told.items() if kind == "RESERVED"]
        holding += [client for client, until in self.held_until.items() if until > self.now]
        assert len(holding) <= 1, holding

    @invariant()
    def those_who_wait_are_known(self) -> None:
        if not hasattr(self, "log"):
            return
        entry = self.entry()
        waiting = {asker for asker, kind in self.told.items() if kind == "AWAITING"}
        assert waiting == {asker for asker in entry.waiters if asker not in self.over}
        assert entry.holder is not None or not entry.waiters
        assert entry.holder not in entry.waiters

    @invariant()
    def what_is_found_is_what_was_put(self) -> None:
        if not hasattr(self, "log"):
            return
        entry, known = self.entry(), self.known
        assert (entry.result.artifact_id if entry.result is not None else None) == (known.artifact if known else None)
        found = entry.found(self.stamp(), self.rules_of_age)
        assert (found is not None) == (self.found() is not None)
        assert entry.pinned == (known is not None and known.pinned)

    def teardown(self) -> None:
        """From anywhere: once everybody is gone or has done their part, nobody waits any more."""
        if not hasattr(self, "log"):
            return
        for _ in range(4 * len(NODES)):
            self.now += 60
            self.the_clock_looks()
            self.one_at_a_time_holds_it()
            makers = [asker for asker, kind in self.told.items() if kind == "RESERVED"]
            if makers:
                self.puts(makers[0], False)
        assert not self.told
        assert not self.entry().waiters


TestAnyOrder = AnyOrder.TestCase
