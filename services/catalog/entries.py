"""One entry of the cache: the result it has, and who makes it. Pure: no input or output, no clock.

The first result stays, unless one is put there to take its place, or it is evicted, or too old. Of the nodes that want
a result nobody has, one holds the reservation and makes it; the others wait in the order in which they came, and are
answered in the moment that there is a result, or that its maker has ended without (engine-semantics §4.5, §4.6).

A client outside holds the reservation by its own name, for as long as it is heard of (engine-semantics §4.6, §4.7). It
waits for nothing: it asks again. A node holds it until it gives it back, or its execution is found to be over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import (
    CacheAnswer,
    CachedResult,
    CacheKey,
    ReservationEnded,
    ReservationExtended,
    ReservationGranted,
    ReservationQueued,
    ResultCached,
    ResultEvicted,
    ResultPinned,
    ResultUnpinned,
)
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

HEARTBEATS: Final = 3
"""A client that is not heard of for so many intervals holds nothing any more (engine-semantics §4.6)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set.

    Attributes:
        max_age: results older than this are found by nobody, unless they are pinned; None: they are never too old.
        heartbeat: the longest interval at which clients say that they are still there.
    """

    max_age: timedelta | None = None
    heartbeat: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Entry:
    """The fold of an entry's facts."""

    result: CachedResult | None = None
    # Since when there is this result, and since when there is one at all.
    cached_at: Timestamp | None = None
    created_at: Timestamp | None = None
    pinned: bool = False
    holder: Asker | Owner | None = None
    # Who awaits the reservation, longest waiting first. None of them is the holder; where they are, there is one.
    waiters: tuple[Asker, ...] = ()

    def found(self, at: Timestamp, rules: Rules) -> CachedResult | None:
        """The result as it is found at a time; None when there is none, or it is too old (engine-semantics §4.4)."""
        if self.result is None or self.pinned or rules.max_age is None or self.cached_at is None:
            return self.result
        age = at.ToNanoseconds() - self.cached_at.ToNanoseconds()
        return None if age > rules.max_age // timedelta(microseconds=1) * 1000 else self.result


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be recorded, who is to be told what, and what the entry is then."""

    facts: tuple[Message, ...]
    answers: tuple[CacheAnswer, ...]
    entry: Entry


def evolve(entry: Entry, fact: Message) -> Entry:
    """The entry after one more fact; one of a kind this release does not know changes nothing."""
    match fact:
        case ResultCached():
            maker = Asker.of(fact.result.source.node_execution_id)
            known = entry.result
            return Entry(
                result=fact.result,
                cached_at=fact.occurred_at,
                created_at=fact.occurred_at if known is None else entry.created_at,
                pinned=entry.pinned and known is not None and known.artifact_id == fact.result.artifact_id,
                holder=None if entry.holder == maker else entry.holder,
            )
        case ReservationGranted():
            if fact.owner:
                return replace(entry, holder=Owner(fact.owner, fact.expires_at))
            holder = Asker.of(fact.holder)
            return replace(entry, holder=holder, waiters=_without(entry.waiters, holder))
        case ReservationExtended():
            return replace(entry, holder=Owner(fact.owner, fact.expires_at))
        case ReservationQueued():
            return replace(entry, waiters=(*entry.waiters, Asker.of(fact.waiter)))
        case ReservationEnded():
            if fact.owner:
                return replace(entry, holder=None)
            node = Asker.of(fact.node)
            holder = None if entry.holder == node else entry.holder
            return replace(entry, holder=holder, waiters=_without(entry.waiters, node))
        case ResultEvicted():
            return replace(entry, result=None, cached_at=None, created_at=None, pinned=False)
        case ResultPinned():
            return replace(entry, pinned=True)
        case ResultUnpinned():
            return replace(entry, pinned=False)
        case _:
            return entry


def fold(history: Iterable[Message]) -> Entry:
    """The entry after a history from its beginning."""
    entry = Entry()
    for fact in history:
        entry = evolve(entry, fact)
    return entry


def decide(
    entry: Entry, key: CacheKey, requests: Sequence[Request], at: Timestamp, rules: Rules | None = None
) -> Outcome:
    """What follows from requests about one entry, taken in their order.

    Args:
        at: when the requests were made.
    """
    turn = _Turn(entry, key, at, rules or Rules())
    for request in requests:
        turn.take(request)
    return Outcome(tuple(turn.facts), tuple(turn.answers), turn.entry)


class _Turn:
    """One decision in the making; every fact is folded in at once."""

    def __init__(self, entry: Entry, key: CacheKey, at: Timestamp, rules: Rules) -> None:
        self.entry = entry
        self.key = key
        self.at = at
        self.rules = rules
        self.facts: list[Message] = []
        self.answers: list[CacheAnswer] = []

    def take(self, request: Request) -> None:
        match request:
            case LookUp():
                self._answer(request.asker, CacheAnswer.FOUND if self._found() is not None else CacheAnswer.NOT_FOUND)
            case Reserve():
                self._reserve(request.asker)
            case Put():
                self._put(request)
            case Release():
                self._end(request.asker)
                self._pass_on()
            case Change():
                self._change(request.result)
            case Claim():
                self._claim(request)
            case GiveBack():
                if isinstance(self.entry.holder, Owner) and self.entry.holder.name == request.owner:
                    self._lapse(lapsed=False)
            case Check():
                if self._expired() or (request.gone is not None and self.entry.holder == request.gone):
                    self._lapse()
            case Evict():
                self._evict(request)
            case Pin():
                self._pin(request)
            case Unpin():
                result = self.entry.result
                if result is not None and self.entry.pinned and request.artifact_id in ("", result.artifact_id):
                    self._record(ResultUnpinned(key=self.key, artifact_id=result.artifact_id, occurred_at=self.at))

    def _found(self) -> CachedResult | None:
        return self.entry.found(self.at, self.rules)

    def _expired(self) -> bool:
        return isinstance(self.entry.holder, Owner) and self.entry.holder.expired(self.at)

    def _reserve(self, asker: Asker) -> None:
        if self._found() is not None:
            self._answer(asker, CacheAnswer.FOUND)
            return
        if self._expired():
            self._lapse()
        if self.entry.holder in (None, asker):
            if self.entry.holder is None:
                self._grant(asker)
            self._answer(asker, CacheAnswer.RESERVED)
        else:
            if asker not in self.entry.waiters:
                self._record(ReservationQueued(key=self.key, waiter=asker.identifier, occurred_at=self.at))
            self._answer(asker, CacheAnswer.AWAITING)

    def _put(self, request: Put) -> None:
        known = self._found()
        if known is None or (request.overwrites and known.artifact_id != request.result.artifact_id):
            served = self.entry.waiters
            self._cache(request.result)
            if request.asker is not None:
                self._answer(request.asker, CacheAnswer.STORED)
            for waiter in served:
                self._answer(waiter, CacheAnswer.FOUND)
        elif request.asker is not None:
            self._end(request.asker)
            self._answer(request.asker, CacheAnswer.STORED)
            self._pass_on()

    def _change(self, result: CachedResult) -> None:
        known = self.entry.result
        if known is None or known.artifact_id != result.artifact_id or known.revision >= result.revision:
            return
        changed = CachedResult()
        changed.CopyFrom(result)
        changed.input_hashes.extend(known.input_hashes)
        changed.inputs.CopyFrom(known.inputs)
        served = self.entry.waiters
        self._cache(changed)
        for waiter in served:
            self._answer(waiter, CacheAnswer.FOUND)

    def _cache(self, result: CachedResult) -> None:
        served = [waiter.identifier for waiter in self.entry.waiters]
        self._record(ResultCached(key=self.key, result=result, served=served, occurred_at=self.at))

    def _claim(self, request: Claim) -> None:
        holder = self.entry.holder
        own = isinstance(holder, Owner) and holder.name == request.owner
        if self._expired() and not (own and not self.entry.waiters):
            self._lapse()
            own = False
        interval = self.rules.heartbeat
        if request.heartbeat is not None and timedelta() < request.heartbeat < interval:
            interval = request.heartbeat
        if not own and self.entry.holder is not None:
            return
        heartbeat, expires_at = Duration(), Timestamp()
        heartbeat.FromTimedelta(interval)
        expires_at.FromNanoseconds(self.at.ToNanoseconds() + HEARTBEATS * heartbeat.ToNanoseconds())
        kind = ReservationExtended if own else ReservationGranted
        self._record(
            kind(
                key=self.key,
                owner=request.owner,
                heartbeat_interval=heartbeat,
                expires_at=expires_at,
                occurred_at=self.at,
            )
        )

    def _evict(self, request: Evict) -> None:
        result = self.entry.result
        if result is None or request.artifact_id not in ("", result.artifact_id):
            return
        if request.pinned_too or not self.entry.pinned:
            self._record(
                ResultEvicted(key=self.key, artifact_id=result.artifact_id, reason=request.reason, occurred_at=self.at)
            )

    def _pin(self, request: Pin) -> None:
        result = self._found()
        if result is not None and not self.entry.pinned and request.artifact_id in ("", result.artifact_id):
            self._record(
                ResultPinned(key=self.key, artifact_id=result.artifact_id, reason=request.reason, occurred_at=self.at)
            )

    def _lapse(self, *, lapsed: bool = True) -> None:
        """Takes the reservation from whoever holds it, and gives it to the one that waits longest."""
        match self.entry.holder:
            case Owner() as owner:
                self._record(ReservationEnded(key=self.key, owner=owner.name, lapsed=lapsed, occurred_at=self.at))
            case Asker() as asker:
                self._record(ReservationEnded(key=self.key, node=asker.identifier, lapsed=lapsed, occurred_at=self.at))
            case None:
                pass
        self._pass_on()

    def _pass_on(self) -> None:
        if self.entry.holder is None and self.entry.waiters:
            following = self.entry.waiters[0]
            self._grant(following)
            self._answer(following, CacheAnswer.RESERVED)

    def _grant(self, asker: Asker) -> None:
        self._record(ReservationGranted(key=self.key, holder=asker.identifier, occurred_at=self.at))

    def _end(self, asker: Asker) -> None:
        if asker == self.entry.holder or asker in self.entry.waiters:
            self._record(ReservationEnded(key=self.key, node=asker.identifier, occurred_at=self.at))

    def _record(self, fact: Message) -> None:
        self.facts.append(fact)
        self.entry = evolve(self.entry, fact)

    def _answer(self, asker: Asker, kind: CacheAnswer.Kind) -> None:
        told = self.entry.result if kind in (CacheAnswer.FOUND, CacheAnswer.STORED) else None
        self.answers.append(
            CacheAnswer(node=asker.identifier, kind=kind, key=self.key, result=told, occurred_at=self.at)
        )


_REFUSALS: Final = {
    LookUp: CacheAnswer.NOT_FOUND,
    Reserve: CacheAnswer.NOT_RESERVED,
    Put: CacheAnswer.NOT_STORED,
}


def refusals(key: CacheKey, requests: Sequence[Request], reason: str, at: Timestamp) -> tuple[CacheAnswer, ...]:
    """What is told when an entry takes no facts: nothing is cached, and whoever waits for an answer goes on."""
    return tuple(
        CacheAnswer(
            node=request.asker.identifier,
            kind=_REFUSALS[type(request)],
            key=key,
            reason=reason,
            occurred_at=at,
        )
        for request in requests
        if isinstance(request, LookUp | Reserve | Put) and request.asker is not None
    )


def _without(waiters: tuple[Asker, ...], asker: Asker) -> tuple[Asker, ...]:
    return tuple(waiter for waiter in waiters if waiter != asker) if asker in waiters else waiters
