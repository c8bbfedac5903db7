"""Entries on the log: load one, decide about it, append what was decided."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Conflict, Head, Log, Recorded
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_protos.log.v1.envelope_pb2 import Actor
from services.catalog import entries, subjects
from services.catalog.entries import Entry, Outcome, Request, Rules

SERVICE = "catalog"


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


class Entries:
    """All entries of the cache. Any number of processes may decide about one: the log lets one of them be first.

    Args:
        at_once: entries looked at side by side.
    """

    def __init__(self, log: Log, rules: Rules, *, at_once: int = 256) -> None:
        self._log = log
        self.rules = rules
        self._looking = asyncio.Semaphore(at_once)

    async def entry(self, key: CacheKey) -> Entry:
        """An entry as it is now. Raises `LogError`."""
        async with self._looking:
            return _fold(await self._log.load(subjects.entry(key)))

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
        async with self._looking:
            while True:
                try:
                    return await self._decide(key, requests, cause, at or now())
                except Conflict:
                    continue

    async def _decide(self, key: CacheKey, requests: Sequence[Request], cause: Cause, at: Timestamp) -> Outcome:
        """Raises `Conflict` when another envelope came first."""
        subject = subjects.entry(key)
        records = await self._log.load(subject)
        before = list(takewhile(lambda record: record.envelope.causation_id != cause.causation_id, records))
        outcome = entries.decide(_fold(before), key, requests, at, self.rules)
        if outcome.facts and len(before) == len(records):
            head = records[-1].head if records else Head.EMPTY
            await self._log.append(subject, outcome.facts, head=head, cause=cause)
        return outcome


def _fold(records: Sequence[Recorded]) -> Entry:
    return entries.fold(fact for record in records for fact in record.facts)
