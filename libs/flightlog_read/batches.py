"""Writing records into the tables of one schema: batch and checkpoint in one transaction, poison set aside.

Used by the live projector and by a rebuild, so both make the same rows.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import asyncpg

from flightlog_log import Log, Recorded, Unreadable
from flightlog_read import checkpoints
from flightlog_read.database import is_unavailable
from flightlog_read.projection import ChoosingProjection, Projection

# Commits need not wait for the disk, see projector.py. And a projection finds rows by their keys alone, but its plans
# are made while its tables are empty, and kept: without this they would read whole tables from then on.
SESSION = """
    SET synchronous_commit TO off; SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off;
"""


@dataclass(frozen=True, slots=True)
class Passed:
    """A message that a projection does not look at, as far as there is none behind it yet that it does."""

    subject: str
    sequence: int


Entry = Recorded | Unreadable | Passed
SetAside = Callable[[Entry, str], Awaitable[None]]
"""Called with an entry that cannot be applied, and why, before the checkpoint passes it."""


class _Poison(Exception):
    """`Projection.apply` failed for a reason that lies in the records."""


class BatchWriter:
    """Applies entries through one connection whose `search_path` is the schema. `sequence` is the checkpoint."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        projection: Projection,
        sequence: int,
        set_aside: SetAside,
    ) -> None:
        self.sequence = sequence
        self._connection = connection
        self._projection = projection
        self._set_aside = set_aside

    async def write(self, entries: Sequence[Entry]) -> None:
        """Applies entries and moves the checkpoint to the last one.

        A batch that fails is applied record by record, so that only the records at fault are set aside.

        Raises:
            Superseded: the tables were replaced.
            asyncpg.PostgresError, OSError: Postgres is away; nothing of this batch is written.
        """
        if not entries:
            return
        records = await self._readable(entries)
        try:
            await self._transact(records, entries[-1].sequence)
        except _Poison:
            await self._write_singly(records)
            await self.skip_to(entries[-1].sequence)

    async def write_apart(self, entries: Sequence[Entry]) -> None:
        """Applies entries as `write` does, but the checkpoint stays where it is. Raises as `write` does."""
        records = await self._readable(entries)
        try:
            await self._transact(records, self.sequence)
        except _Poison:
            for record in records:
                try:
                    await self._transact([record], self.sequence)
                except _Poison as poison:
                    await self._set_aside(record, str(poison))

    async def skip_to(self, sequence: int) -> None:
        """Moves the checkpoint without applying anything."""
        if sequence > self.sequence:
            await self._transact([], sequence)

    async def _readable(self, entries: Sequence[Entry]) -> list[Recorded]:
        """The records among the entries; what cannot be read is set aside."""
        records: list[Recorded] = []
        for entry in entries:
            if isinstance(entry, Unreadable):
                await self._set_aside(entry, entry.reason)
            elif isinstance(entry, Recorded):
                records.append(entry)
        return records

    async def _write_singly(self, records: Sequence[Recorded]) -> None:
        for record in records:
            try:
                await self._transact([record], record.sequence)
            except _Poison as poison:
                await self._set_aside(record, str(poison))
                await self.skip_to(record.sequence)

    async def _transact(self, records: Sequence[Recorded], sequence: int) -> None:
        async with self._connection.transaction():
            await checkpoints.advance(self._connection, before=self.sequence, after=sequence)
            if records:
                try:
                    await self._projection.apply(self._connection, records)
                except Exception as error:
                    if is_unavailable(error) or self._connection.is_closed():
                        raise
                    raise _Poison(f"{type(error).__name__}: {error}") from error
        self.sequence = sequence


def following(
    log: Log, projection: Projection, *, after: int, live: bool = True
) -> "aclosing[AsyncGenerator[list[Entry]]]":
    """A projection's stream, with a consumer that is gone when the block is left. Live, batches are gathered while
    nobody asks.

    A projection that looks at few messages is given those alone, and `Passed` in place of the others.
    """
    if isinstance(projection, ChoosingProjection):
        return aclosing(_chosen(log, projection, after=after, live=live))
    batches = log.follow(projection.stream, after=after, live=live, on_demand=live)
    return aclosing(cast("AsyncGenerator[list[Entry]]", batches))


async def _chosen(log: Log, projection: ChoosingProjection, *, after: int, live: bool) -> AsyncGenerator[list[Entry]]:
    async with aclosing(log.follow_stored(projection.stream, after=after, live=live, on_demand=live)) as batches:
        async for batch in batches:
            entries: list[Entry] = [await log.decoded(raw) for raw in batch if projection.looks_at(raw)]
            if not entries or entries[-1].sequence < batch[-1].sequence:
                entries.append(Passed(batch[-1].subject, batch[-1].sequence))
            yield entries
