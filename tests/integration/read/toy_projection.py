"""A projection of plain words: it counts how often each was said, and by which subject last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
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


@dataclass
class Speeches:
    """What was said to each subject, in order: rows that can be folded in memory. Nothing is expected after `end`."""

    name: str
    version: int = 1
    stream: str = STREAM
    prefix: str = ""
    columns: tuple[str, ...] = ("subject", "words", "sequence")

    @property
    def copied(self) -> dict[str, tuple[str, ...]]:
        return {"speeches": self.columns}

    def ddl(self) -> str:
        return """
            CREATE TABLE speeches (subject text PRIMARY KEY, words text[] NOT NULL, sequence bigint NOT NULL);
            CREATE INDEX speeches_sequence ON speeches (sequence) WHERE cardinality(words) > 1;
        """

    def aggregate(self, subject: str) -> Speech:
        return Speech(self, subject)

    def words(self, record: Recorded) -> list[str]:
        words = [fact.value for fact in record.facts if isinstance(fact, StringValue)]
        ours = [word.removeprefix(f"{self.prefix}-") for word in words if word.startswith(self.prefix)]
        if "poison" in ours:
            raise ValueError(f"cannot digest what {record.subject} said")
        return ours

    async def apply(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        await connection.executemany(
            "INSERT INTO speeches (subject, words, sequence) VALUES ($1, $2, $3) ON CONFLICT (subject) DO UPDATE "
            "SET words = speeches.words || excluded.words, sequence = excluded.sequence",
            [(record.subject, words, record.sequence) for record in batch if (words := self.words(record))],
        )


class Speech:
    """One subject's words."""

    def __init__(self, projection: Speeches, subject: str) -> None:
        self._projection = projection
        self._subject = subject
        self._words: list[str] = []
        self._sequence = 0

    @property
    def over(self) -> bool:
        return self._words[-1:] == ["end"]

    def apply(self, recorded: Recorded) -> None:
        words = self._projection.words(recorded)
        if words:
            self._words += words
            self._sequence = recorded.sequence

    def rows(self) -> Iterable[tuple[str, Sequence[object]]]:
        if self._words:
            yield "speeches", (self._subject, self._words, self._sequence)


async def speeches(database: Database, schema: str) -> dict[str, list[str]]:
    rows = await database.pool.fetch(f"SELECT subject, words FROM {schema}.speeches")
    return {row["subject"]: row["words"] for row in rows}


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
