"""One entry of the cache: the result it has, and who makes it. Pure: no input or output, no clock.

The first result stays, unless one is put there to take its place. Of the nodes that want a result nobody has, one holds
the reservation and makes it; the others wait in the order in which they came, and are answered in the moment that there
is a result, or that its maker has ended without (engine-semantics §4.5, §4.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import (
    CacheAnswer,
    CachedResult,
    CacheKey,
    ReservationEnded,
    ReservationGranted,
    ReservationQueued,
    ResultCached,
)


class Asker(NamedTuple):
    """A node of an execution."""

    project: str
    domain: str
    execution: str
    node_id: str

    @staticmethod
    def of(node: NodeExecutionIdentifier) -> Asker:
        execution = node.execution_id
        return Asker(execution.project, execution.domain, execution.name, node.node_id)

    @property
    def identifier(self) -> NodeExecutionIdentifier:
        execution = WorkflowExecutionIdentifier(project=self.project, domain=self.domain, name=self.execution)
        return NodeExecutionIdentifier(execution_id=execution, node_id=self.node_id)


@dataclass(frozen=True, slots=True)
class LookUp:
    """Is there a result?"""

    asker: Asker


@dataclass(frozen=True, slots=True)
class Reserve:
    """Is there a result, and if not: am I the one to make it?"""

    asker: Asker


@dataclass(frozen=True, slots=True)
class Put:
    """Here is a result."""

    asker: Asker
    result: CachedResult
    overwrites: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """I make no result, and wait for none."""

    asker: Asker


Request = LookUp | Reserve | Put | Release


@dataclass(frozen=True, slots=True)
class Entry:
    """The fold of an entry's facts."""

    result: CachedResult | None = None
    holder: Asker | None = None
    # Who awaits the reservation, longest waiting first. None of them is the holder.
    waiters: tuple[Asker, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be recorded, and who is to be told what."""

    facts: tuple[Message, ...]
    answers: tuple[CacheAnswer, ...]


def evolve(entry: Entry, fact: Message) -> Entry:
    """The entry after one more fact; one of a kind this release does not know changes nothing."""
    match fact:
        case ResultCached():
            maker = Asker.of(fact.result.source.node_execution_id)
            return Entry(result=fact.result, holder=None if entry.holder == maker else entry.holder)
        case ReservationGranted():
            holder = Asker.of(fact.holder)
            return replace(entry, holder=holder, waiters=_without(entry.waiters, holder))
        case ReservationQueued():
            return replace(entry, waiters=(*entry.waiters, Asker.of(fact.waiter)))
        case ReservationEnded():
            node = Asker.of(fact.node)
            holder = None if entry.holder == node else entry.holder
            return replace(entry, holder=holder, waiters=_without(entry.waiters, node))
        case _:
            return entry


def fold(history: Iterable[Message]) -> Entry:
    """The entry after a history from its beginning."""
    entry = Entry()
    for fact in history:
        entry = evolve(entry, fact)
    return entry


def decide(entry: Entry, key: CacheKey, requests: Sequence[Request], at: Timestamp) -> Outcome:
    """What follows from requests about one entry, taken in their order.

    Args:
        at: when the requests were made.
    """
    turn = _Turn(entry, key, at)
    for request in requests:
        match request:
            case LookUp():
                turn.look_up(request)
            case Reserve():
                turn.reserve(request)
            case Put():
                turn.put(request)
            case Release():
                turn.release(request)
    return Outcome(tuple(turn.facts), tuple(turn.answers))


class _Turn:
    """One decision in the making; every fact is folded in at once."""

    def __init__(self, entry: Entry, key: CacheKey, at: Timestamp) -> None:
        self.entry = entry
        self.key = key
        self.at = at
        self.facts: list[Message] = []
        self.answers: list[CacheAnswer] = []

    def look_up(self, request: LookUp) -> None:
        self._answer(request.asker, CacheAnswer.FOUND if self.entry.result is not None else CacheAnswer.NOT_FOUND)

    def reserve(self, request: Reserve) -> None:
        asker = request.asker
        if self.entry.result is not None:
            self._answer(asker, CacheAnswer.FOUND)
        elif self.entry.holder in (None, asker):
            if self.entry.holder is None:
                self._grant(asker)
            self._answer(asker, CacheAnswer.RESERVED)
        else:
            if asker not in self.entry.waiters:
                self._record(ReservationQueued(key=self.key, waiter=asker.identifier, occurred_at=self.at))
            self._answer(asker, CacheAnswer.AWAITING)

    def put(self, request: Put) -> None:
        known = self.entry.result
        if known is None or (request.overwrites and known.artifact_id != request.result.artifact_id):
            served = self.entry.waiters
            self._record(
                ResultCached(
                    key=self.key,
                    result=request.result,
                    served=[waiter.identifier for waiter in served],
                    occurred_at=self.at,
                )
            )
            self._answer(request.asker, CacheAnswer.STORED)
            for waiter in served:
                self._answer(waiter, CacheAnswer.FOUND)
        else:
            self._end(request.asker)
            self._answer(request.asker, CacheAnswer.STORED)

    def release(self, request: Release) -> None:
        self._end(request.asker)
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
        if not isinstance(request, Release)
    )


def _without(waiters: tuple[Asker, ...], asker: Asker) -> tuple[Asker, ...]:
    return tuple(waiter for waiter in waiters if waiter != asker) if asker in waiters else waiters
