"""A projection of plain words: it counts how often each was said, and by which subject last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue

from flightlog_log import Cause, Head, Log, Recorded, Subject
from flightlog_read import Connection, Database, Projector

STREAM = "REGISTRY"


@dataclass
class Words:
    """`poison` is a word it cannot digest."""

    name: str
    version: int = 1
    stream: str = STREAM
    prefix: str = ""
    poison: str = "poison"
    batches: list[int] = field(default_factory=list)

    def ddl(self) -> str:
        return f"""
            CREATE TABLE words (word text PRIMARY KEY, said bigint NOT NULL, sequence bigint NOT NULL);
            ALTER TABLE words ADD COLUMN v{self.version} int;
            CREATE TABLE log (sequence bigint PRIMARY KEY, subject text NOT NULL);
            CREATE INDEX ON log (subject);
        """

    async def apply(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        self.batches.append(len(batch))
        rows: list[tuple[str, int]] = []
        for record in batch:
            for fact in record.facts:
                if isinstance(fact, StringValue) and fact.value.startswith(self.prefix):
                    if fact.value.endswith(self.poison):
                        raise ValueError(f"cannot digest {fact.value!r}")
                    rows.append((fact.value, record.sequence))
        await connection.executemany(
            "INSERT INTO words (word, said, sequence) VALUES ($1, 1, $2) ON CONFLICT (word) DO UPDATE "
            "SET said = words.said + 1, sequence = excluded.sequence WHERE words.sequence < excluded.sequence",
            rows,
        )
        await connection.executemany(
            "INSERT INTO log (sequence, subject) VALUES ($1, $2)",
            [(record.sequence, record.subject) for record in batch],
        )


async def say(log: Log, subject: Subject, *words: str) -> int:
    """Appends each word as an envelope of its own; the sequence of the last."""
    head: Head = await log.head(subject)
    for word in words:
        head = (await log.append(subject, [StringValue(value=word)], head=head, cause=Cause.service("test"))).head
    return head.sequence


async def said(database: Database, schema: str) -> dict[str, int]:
    rows = await database.pool.fetch(f"SELECT word, said FROM {schema}.words")
    return {row["word"]: row["said"] for row in rows}


@asynccontextmanager
async def running(*projectors: Projector) -> AsyncIterator[None]:
    """Runs projectors while the block lasts."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(projector.run()) for projector in projectors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
