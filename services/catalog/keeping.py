"""Entries on the log: load one, decide about it, append what was decided."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from weakref import WeakValueDictionary

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Conflict, Head, Log, Recorded, Subject
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_protos.log.v1.envelope_pb2 import Actor
from services.catalog import entries, subjects
from services.catalog.entries import Entry, Outcome, Rules
from services.catalog.requests import Request

SERVICE = "catalog"
_KEPT = 4096
_EMPTY = Entry()


def now() -> Timestamp:
    """The time of a new fact, in microseconds: what the tables can tell apart."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC))
    return stamp


def by_itself(correlation_id: str, causation_id: str) -> Cause:
    """The cause of what the catalog does because of the clock or of a client, not of an execution's envelope."""
    return Cause(Actor(subject=SERVICE, method="service", client=SERVICE), correlation_id, causation_id)


def told_already(actor: Actor) -> bool:
    """Whether those who wait were told when a decision was made: where an execution's envelope was its cause."""
    return actor.subject == SERVICE and actor.method == "service" and not actor.client


@dataclass(frozen=True, slots=True)
class Kept:
    """What has been read of an entry: its fold, up to where, and because of which events it was decided about.

    Of those only such as may come again: what a client asks for is asked once, and one that extends its reservation
    does so a hundred thousand times.
    """

    head: Head = Head.EMPTY
    entry: Entry = _EMPTY
    causes: frozenset[str] = frozenset()

    def on(self, records: Iterable[Recorded]) -> Kept:
        """With the records that follow."""
        head, entry, causes = self.head, self.entry, set[str]()
        for record in records:
            head = record.head
            if record.envelope.actor.method == "service":
                causes.add(record.envelope.causation_id)
            for fact in record.facts:
                entry = entries.evolve(entry, fact)
        return Kept(head, entry, self.causes | causes if causes else self.causes) if head != self.head else self


class Entries:
    """All entries of the cache. Any number of processes may decide about one: the log lets one of them be first.

    What has been read of an entry is kept, as far as there is room: one that a client extends for days is long.

    Args:
        at_once: entries looked at side by side.
    """

    def __init__(self, log: Log, rules: Rules, *, at_once: int = 256) -> None:
        self._log = log
        self.rules = rules
        self._looking = asyncio.Semaphore(at_once)
        # Who reads a long history reads it for all others who want the same entry.
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._read: OrderedDict[str, Kept] = OrderedDict()

    async def entry(self, key: CacheKey) -> Entry:
        """An entry as it is now. Raises `LogError`."""
        subject = subjects.entry(key)
        async with self._lane(subject), self._looking:
            return (await self._latest(subject)).entry

    async def change(
        self, key: CacheKey, requests: Sequence[Request], cause: Cause, *, at: Timestamp | None = None
    ) -> Outcome:
        """Decide about an entry and record it.

        Where the entry has been decided about because of the same event before, nothing is recorded again, and the
        outcome is what it was then.

        Args:
            at: when the requests were made; now, if it is not said.

        Raises:
            LogError: the entry cannot be read, or takes no facts.
        """
        subject = subjects.entry(key)
        async with self._lane(subject), self._looking:
            while True:
                try:
                    return await self._decide(subject, key, requests, cause, at or now())
                except Conflict:
                    continue

    def _lane(self, subject: Subject) -> asyncio.Lock:
        return self._lanes.setdefault(subject.text, asyncio.Lock())

    async def _decide(
        self, subject: Subject, key: CacheKey, requests: Sequence[Request], cause: Cause, at: Timestamp
    ) -> Outcome:
        """Raises `Conflict` when another envelope came first: of another process."""
        read = await self._latest(subject)
        if cause.causation_id in read.causes:
            records = await self._log.load(subject)
            before = takewhile(lambda record: record.envelope.causation_id != cause.causation_id, records)
            return entries.decide(Kept().on(before).entry, key, requests, at, self.rules)
        outcome = entries.decide(read.entry, key, requests, at, self.rules)
        if outcome.facts:
            recorded = await self._log.append(subject, outcome.facts, head=read.head, cause=cause)
            self._keep(subject, read.on([recorded]))
        return outcome

    async def _latest(self, subject: Subject) -> Kept:
        read = self._read.get(subject.text, Kept())
        latest = read.on(await self._log.load(subject, after=read.head))
        if latest is not read:
            self._keep(subject, latest)
        return latest

    def _keep(self, subject: Subject, read: Kept) -> None:
        self._read[subject.text] = read
        self._read.move_to_end(subject.text)
        if len(self._read) > _KEPT:
            self._read.popitem(last=False)
