"""The queue of a project and domain: who has a place in which limit, who waits. Pure: no input or output, no clock.

An execution needs a place in all its limits at once, or waits. Those who wait are looked at in the order in which they
were created. Whoever finds a limit full keeps all that were created later from that limit, and from no other: so each
limit is first come, first served, and a full one stops nobody who does not need it. That could let others pass for ever
an execution that needs two limits which are never free in the same moment. So once the first in line has been overtaken
`PATIENCE` times, it keeps the places that are free until the others are too.

By what is done without room (`ConcurrencyLimit.behavior`):

- SKIP: the execution is not created. Its place is taken before it is (`Take`), and given back when it never came to be
  (`Leave` of what nobody claimed). One that was created although its place is lost waits like any other.
- WAIT: it is created and stands in line (`Enter`).
- REPLACE: likewise, but those of this limit that came first are terminated, as many as must go; what is left to wait
  for is their end. A waiting one may be replaced like a running one: the newest is the one that is wanted.

Nobody runs without `PlaceGiven`, and only the end of an execution that exists gives its places back; both are facts of
one aggregate. So at no point of its history are there more than a limit allows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from immutables import Map

from flightlog_protos.execution.v1 import admission_pb2 as facts
from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit

PATIENCE: Final = 100
"""How many may overtake the first in line before it keeps what is free for itself."""

Standing = Literal["refused", "taken", "waiting", "running", "gone"]


@dataclass(frozen=True, slots=True)
class Take:
    """Keep a place for an execution that is to be refused where there is no room, before it is created.

    With `records`, a refusal is recorded: it is the last word.
    """

    execution: str
    limits: Sequence[ConcurrencyLimit]
    records: bool = True


@dataclass(frozen=True, slots=True)
class Enter:
    """The execution exists. `arrived`: the sequence of its first envelope."""

    execution: str
    limits: Sequence[ConcurrencyLimit]
    arrived: int


@dataclass(frozen=True, slots=True)
class Leave:
    """The execution has ended. With `unclaimed`: none was created; it stays if one has said meanwhile that it was."""

    execution: str
    unclaimed: bool = False


Command = Take | Enter | Leave


@dataclass(frozen=True, slots=True)
class Member:
    """An execution in the queue. The messages held here are never changed."""

    execution: str
    limits: tuple[ConcurrencyLimit, ...]
    since: Timestamp
    arrived: int = 0
    created: bool = False
    # It has a place in each of its limits.
    holds: bool = False
    # For whom it is terminated.
    reclaimed_by: str = ""

    @property
    def in_line(self) -> bool:
        """Whether it is to be given places as soon as there are some."""
        return self.created and not self.holds and not self.reclaimed_by


@dataclass(frozen=True, slots=True)
class Queue:
    """The fold of a queue's facts."""

    members: Map[str, Member] = field(default_factory=Map)
    # Those in line: when they arrived, and their names.
    line: tuple[tuple[int, str], ...] = ()
    # By the name of a limit: how many are in the queue because of it, hold a place of it, stand in line for it.
    standing: Map[str, int] = field(default_factory=Map)
    held: Map[str, int] = field(default_factory=Map)
    awaited: Map[str, int] = field(default_factory=Map)
    # How many in line replace others.
    replacing: int = 0
    # How many have passed the first in line.
    overtaken: int = 0

    @property
    def first(self) -> Member | None:
        """The first in line."""
        return self.members[self.line[0][1]] if self.line else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be recorded, and how the execution stands then.

    Args:
        full: because of which limit it is refused.
    """

    facts: tuple[Message, ...]
    queue: Queue
    standing: Standing
    full: ConcurrencyLimit | None = None


def evolve(queue: Queue, fact: Message) -> Queue:
    """The queue after one more fact; one of a kind this release does not know changes nothing."""
    match fact:
        case facts.PlaceTaken():
            return put(queue, Member(fact.execution, tuple(fact.limits), fact.occurred_at, holds=fact.holds))
        case facts.PlaceAwaited():
            return put(queue, Member(fact.execution, tuple(fact.limits), fact.occurred_at, fact.arrived, created=True))
        case facts.PlaceGiven():
            member = Member(
                fact.execution, tuple(fact.limits), fact.occurred_at, fact.arrived, created=True, holds=True
            )
            return put(replace(queue, overtaken=_overtaken(queue, member)), member)
        case facts.PlaceReclaimed():
            before = queue.members.get(fact.execution)
            return queue if before is None else put(queue, replace(before, reclaimed_by=fact.by))
        case facts.PlaceReleased():
            return _without(queue, fact.execution)
        case _:
            return queue


def decide(queue: Queue, command: Command, at: Timestamp, patience: int = PATIENCE) -> Decision:
    """What follows from a command. No facts: there is nothing to record.

    Args:
        at: when it is given.
        patience: see `PATIENCE`.
    """
    turn = _Turn(queue, at, patience)
    match command:
        case Take():
            full = turn.take(command)
            if full is not None:
                return Decision(tuple(turn.facts), turn.queue, "refused", full)
        case Enter():
            turn.enter(command)
        case Leave():
            turn.leave(command)
    return Decision(tuple(turn.facts), turn.queue, _standing(turn.queue.members.get(command.execution)))


def _standing(member: Member | None) -> Standing:
    if member is None:
        return "gone"
    if not member.created:
        return "taken"
    return "running" if member.holds else "waiting"


class _Turn:
    """One decision in the making; every fact is folded in at once."""

    def __init__(self, queue: Queue, at: Timestamp, patience: int) -> None:
        self.queue = queue
        self.at = at
        self.patience = patience
        self.facts: list[Message] = []

    def take(self, command: Take) -> ConcurrencyLimit | None:
        """Returns the limit because of which it is refused."""
        known = self.queue.members.get(command.execution)
        if known is not None:
            if known.created or known.limits == tuple(command.limits):
                return None
            self._release(known, unclaimed=True)
        for limit in command.limits:
            if limit.behavior == ConcurrencyLimit.SKIP and self.queue.standing.get(limit.name, 0) >= limit.max:
                if command.records:
                    self._record(facts.PlaceRefused(execution=command.execution, limit=limit, occurred_at=self.at))
                return limit
        # Whoever stands in line for one of its limits was there before.
        room = all(
            not self.queue.awaited.get(limit.name, 0) and self.queue.held.get(limit.name, 0) < limit.max
            for limit in command.limits
        )
        self._record(
            facts.PlaceTaken(execution=command.execution, limits=command.limits, holds=room, occurred_at=self.at)
        )
        return None

    def enter(self, command: Enter) -> None:
        known = self.queue.members.get(command.execution)
        if known is not None and known.created:
            return
        if known is not None and known.limits != tuple(command.limits):
            # Another request of this name took the place.
            self._release(known, unclaimed=True)
            known = None
        if known is not None and known.holds:
            self._record(
                facts.PlaceGiven(
                    execution=command.execution, limits=command.limits, arrived=command.arrived, occurred_at=self.at
                )
            )
        else:
            self._record(
                facts.PlaceAwaited(
                    execution=command.execution, limits=command.limits, arrived=command.arrived, occurred_at=self.at
                )
            )
        self._admit()

    def leave(self, command: Leave) -> None:
        known = self.queue.members.get(command.execution)
        if known is not None and not (command.unclaimed and known.created):
            self._release(known, unclaimed=not known.created)
            self._admit()

    def _admit(self) -> None:
        """Gives places to all who stand in line and find room."""
        queue = self.queue
        line, awaited, replacing = queue.line, set(queue.awaited), queue.replacing
        # Limits that somebody further ahead waits for, and places that the first in line keeps.
        closed: set[str] = set()
        kept: dict[str, int] = {}
        wanted = self._wanted() if replacing else Counter[str]()
        for place, (_, execution) in enumerate(line):
            member = self.queue.members[execution]
            if not member.in_line:
                continue
            if _replaces(member):
                self._reclaim(member, closed, kept, wanted)
            lacking = [limit for limit in member.limits if limit.name in closed or not self._has_room(limit, kept)]
            if not lacking:
                self._record(
                    facts.PlaceGiven(
                        execution=execution, limits=member.limits, arrived=member.arrived, occurred_at=self.at
                    )
                )
                continue
            if place == 0 and self.queue.overtaken >= self.patience:
                kept = {limit.name: 1 for limit in member.limits}
            closed.update(limit.name for limit in lacking)
            if not replacing and closed >= awaited:
                return

    def _has_room(self, limit: ConcurrencyLimit, kept: dict[str, int], gone: Sequence[Member] = ()) -> bool:
        held = self.queue.held.get(limit.name, 0) + kept.get(limit.name, 0)
        return held - sum(1 for member in gone if _needs(member, limit.name)) < limit.max

    def _wanted(self) -> Counter[str]:
        """How many need a limit and are not terminated, by its name."""
        staying = (member for member in self.queue.members.values() if member.created and not member.reclaimed_by)
        return Counter(limit.name for member in staying for limit in member.limits)

    def _reclaim(self, member: Member, closed: set[str], kept: dict[str, int], wanted: Counter[str]) -> None:
        """Has older ones terminated in whose stead this one comes, unless it would have to wait all the same."""
        bound = [limit for limit in member.limits if limit.behavior != ConcurrencyLimit.REPLACE]
        crowded = any(wanted[limit.name] > limit.max for limit in member.limits if limit not in bound)
        if not crowded or any(limit.name in closed for limit in bound):
            return
        replaced: dict[str, tuple[Member, ConcurrencyLimit]] = {}
        for limit in member.limits:
            if limit.behavior == ConcurrencyLimit.REPLACE:
                others = [
                    other
                    for other in self.queue.members.values()
                    if other.created
                    and not other.reclaimed_by
                    and other.arrived < member.arrived
                    and _needs(other, limit.name)
                ]
                surplus = len(others) - (limit.max - 1)
                for other in sorted(others, key=_age)[: max(surplus, 0)]:
                    replaced.setdefault(other.execution, (other, limit))
        going = [other for other in self.queue.members.values() if other.holds and other.reclaimed_by]
        going += [other for other, _ in replaced.values() if other.holds]
        if not all(self._has_room(limit, kept, going) for limit in bound):
            return
        for other, limit in replaced.values():
            wanted.subtract(own.name for own in other.limits)
            self._record(
                facts.PlaceReclaimed(execution=other.execution, by=member.execution, limit=limit, occurred_at=self.at)
            )

    def _release(self, member: Member, *, unclaimed: bool) -> None:
        self._record(facts.PlaceReleased(execution=member.execution, unclaimed=unclaimed, occurred_at=self.at))

    def _record(self, fact: Message) -> None:
        self.facts.append(fact)
        self.queue = evolve(self.queue, fact)


def _age(member: Member) -> tuple[bool, int, int]:
    """Who has run longest comes first, and those who do not run yet last."""
    return not member.holds, member.since.ToNanoseconds() if member.holds else 0, member.arrived


def _needs(member: Member, limit: str) -> bool:
    return any(own.name == limit for own in member.limits)


def _overtaken(queue: Queue, member: Member) -> int:
    """How often the first in line has been overtaken once this one is given a place."""
    first = queue.first
    if first is None or first.execution == member.execution:
        return queue.overtaken
    shares = any(_needs(first, limit.name) for limit in member.limits)
    return queue.overtaken + (shares and member.arrived > first.arrived)


def put(queue: Queue, member: Member) -> Queue:
    """The queue with this member, in the place of what it was before."""
    queue = _without(queue, member.execution)
    line, first = queue.line, queue.first
    if member.in_line:
        entry = (member.arrived, member.execution)
        at = bisect_left(line, entry)
        line = (*line[:at], entry, *line[at:])
    return replace(
        queue,
        members=queue.members.set(member.execution, member),
        line=line,
        standing=_counted(queue.standing, member.limits, 1),
        held=_counted(queue.held, member.limits, 1) if member.holds else queue.held,
        awaited=_counted(queue.awaited, member.limits, 1) if member.in_line else queue.awaited,
        replacing=queue.replacing + (member.in_line and _replaces(member)),
        overtaken=queue.overtaken if first is not None and line[0][1] == first.execution else 0,
    )


def _without(queue: Queue, execution: str) -> Queue:
    member = queue.members.get(execution)
    if member is None:
        return queue
    line, overtaken = queue.line, queue.overtaken
    if member.in_line:
        at = bisect_left(line, (member.arrived, execution))
        overtaken = overtaken if at else 0
        line = (*line[:at], *line[at + 1 :])
    return replace(
        queue,
        members=queue.members.delete(execution),
        line=line,
        standing=_counted(queue.standing, member.limits, -1),
        held=_counted(queue.held, member.limits, -1) if member.holds else queue.held,
        awaited=_counted(queue.awaited, member.limits, -1) if member.in_line else queue.awaited,
        replacing=queue.replacing - (member.in_line and _replaces(member)),
        overtaken=overtaken,
    )


def _replaces(member: Member) -> bool:
    return any(limit.behavior == ConcurrencyLimit.REPLACE for limit in member.limits)


def _counted(counts: Map[str, int], limits: Iterable[ConcurrencyLimit], by: int) -> Map[str, int]:
    for limit in limits:
        count = counts.get(limit.name, 0) + by
        counts = counts.set(limit.name, count) if count else counts.delete(limit.name)
    return counts
