"""Filling the tables of projections from the start of a log, fast: several processes fold, each row is written once.

This process reads the stream once and hands each message to the process whose partition it is; those decode, fold
(`folding.Share`) and copy rows into tables that have no indexes. Then the indexes are made, and what is late is applied
as the live projector would. The checkpoint stays at 0 until all of that is done, so whoever finds such tables after a
crash knows that they are worth nothing.

Memory does not depend on how long the log is: a process holds the aggregates that go on (`Loading.most_bytes` of
their messages) and a block of rows, usually 200 to 300 MB in all. What is late waits in a temporary file.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import IO, cast
from zlib import crc32

import asyncpg
import structlog

from flightlog_log import PARTITIONS, Log, Raw
from flightlog_read import indexes
from flightlog_read.batches import BatchWriter, Entry
from flightlog_read.capacity import processes
from flightlog_read.database import Database, DatabaseSettings
from flightlog_read.errors import DatabaseUnavailable, ReadError
from flightlog_read.folding import FACTS
from flightlog_read.loading_process import (
    HEADER,
    Answer,
    Done,
    Failed,
    Late,
    Order,
    Read,
    Sent,
    SetAside,
    Target,
    frame,
)

logger = structlog.get_logger(__name__)

_COMMAND = "from flightlog_read.loading_process import main; main()"
_LATE_BATCH = 500
_READ_AT_ONCE = 4000
_MOST_PROCESSES = 8
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
_PROCESS_BYTES = 256 * 1024 * 1024
_OWN_BYTES = 512 * 1024 * 1024

Source = Callable[[str], AsyncGenerator[list[Raw]]]
"""All messages of a stream from its first to the end that it has now, in order, as they are stored."""


class LoadFailed(ReadError):
    """A process that folded ended before its work was done; nothing but unfinished tables is left of it."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How tables are filled from a long log.

    Attributes:
        processes: how many fold; as many as there are processors and a container has memory for, at most eight.
        from_messages: a log that is shorter is applied by one process as the live projector does: starting others
            takes a second.
        most_bytes: see `folding.AggregateShare`; of each process.
        source: where the log is read from; None: the stream itself.
    """

    processes: int = field(
        default_factory=lambda: processes(_MOST_PROCESSES, each_bytes=_PROCESS_BYTES, own_bytes=_OWN_BYTES)
    )
    from_messages: int = 20_000
    most_bytes: int = 64 * 1024 * 1024
    source: Source | None = None


@dataclass(slots=True)
class Filling:
    """Tables under way, as this process sees them."""

    target: Target
    connection: asyncpg.Connection
    writer: BatchWriter
    report: Callable[[int, str], None]
    """Told the sequence that was reached, and what is being done."""
    skip: Callable[[int, str], None]
    """Told the sequence of a message that no row can be made of, and why."""


async def load(database: Database, log: Log, loading: Loading, stream: str, fillings: Sequence[Filling]) -> None:
    """Fills the tables, which are empty and at checkpoint 0, each up to its target's sequence.

    One at a time: a service that keeps tables of many streams has not memory for all of their processes at once.

    Raises:
        LoadFailed, DatabaseUnavailable: the tables are to be thrown away.
        asyncpg.PostgresError, OSError, LogUnavailable: likewise.
    """
    async with database.loading:
        await _load(database, log, loading, stream, fillings)


async def _load(database: Database, log: Log, loading: Loading, stream: str, fillings: Sequence[Filling]) -> None:
    statements = {one.target.schema: await indexes.take_off(one.connection, one.target.schema) for one in fillings}
    with tempfile.TemporaryFile(prefix="flightlog-load-") as spool:
        run = _Run(database, log, loading, stream, fillings, spool)
        with _few_collections():
            await run.fold()
        for filling in fillings:
            filling.report(filling.target.until, "making indexes")
        await indexes.put_back(database, statements, at_once=loading.processes)
        await run.apply_late()
    for filling in fillings:
        await filling.writer.skip_to(filling.target.until)


@dataclass(slots=True)
class _Worker:
    """A process, and how far it is."""

    process: Process
    read: int = 0
    done: bool = False


@dataclass(slots=True)
class _Run:
    database: Database
    log: Log
    loading: Loading
    stream: str
    fillings: Sequence[Filling]
    spool: IO[bytes]
    late: int = 0
    workers: list[_Worker] = field(default_factory=list[_Worker])

    async def fold(self) -> None:
        """Has all rows written that need nothing but their aggregate's envelopes in order."""
        order = Order(
            tuple(filling.target for filling in self.fillings),
            self.log.settings,
            self.log.blob_settings,
            DatabaseSettings(dsn=self.database.settings.dsn, pool_min=0, pool_max=1),
            self.loading.most_bytes,
        )
        async with AsyncExitStack() as stack:
            for _ in range(self.loading.processes):
                self.workers.append(_Worker(await stack.enter_async_context(_process())))
            try:
                async with asyncio.TaskGroup() as group:
                    for worker in self.workers:
                        group.create_task(self._listen(worker))
                    group.create_task(self._feed(order))
            except BaseExceptionGroup as failures:
                # The first is the cause of the others.
                raise _first(failures) from None

    async def apply_late(self) -> None:
        """Applies what is left, as the live projector would."""
        if not self.late:
            return
        logger.info("load.late", stream=self.stream, messages=self.late)
        self.spool.seek(0)
        batches: list[list[Entry]] = [[] for _ in self.fillings]
        for _ in range(self.late):
            number, raw = cast("tuple[int, Raw]", pickle.load(self.spool))
            entry = await self.log.decoded(raw)
            batches[number].append(entry)
            if len(batches[number]) >= _LATE_BATCH:
                await self._apply(number, batches[number])
                batches[number] = []
        for number, batch in enumerate(batches):
            await self._apply(number, batch)

    async def _apply(self, number: int, batch: Sequence[Entry]) -> None:
        filling = self.fillings[number]
        filling.report(filling.target.until, "applying late messages")
        await filling.writer.write_apart(batch)

    async def _feed(self, order: Order) -> None:
        until = max(filling.target.until for filling in self.fillings)
        for worker in self.workers:
            await _send(worker, order)
        source = self.loading.source or self._log_itself
        async with aclosing(source(self.stream)) as batches:
            async for batch in batches:
                end = batch[-1].sequence
                shares: list[list[Sent]] = [[] for _ in self.workers]
                for raw in batch:
                    if raw.sequence <= until:
                        shares[_partition(raw.subject) % len(shares)].append(
                            (raw.subject, raw.sequence, raw.data, raw.headers.get(FACTS, ""))
                        )
                for worker, share in zip(self.workers, shares, strict=True):
                    await _send(worker, (min(end, until), share))
                if end >= until:
                    break
        for worker in self.workers:
            await _send(worker, None)

    def _log_itself(self, stream: str) -> AsyncGenerator[list[Raw]]:
        return self.log.follow_stored(stream, after=0, live=False, batch=_READ_AT_ONCE)

    async def _listen(self, worker: _Worker) -> None:
        stream = worker.process.stdout
        assert stream is not None
        while not worker.done:
            try:
                header = await stream.readexactly(HEADER.size)
                answer: Answer = pickle.loads(await stream.readexactly(HEADER.unpack(header)[0]))
            except asyncio.IncompleteReadError:
                raise LoadFailed(f"a loading process ended with {await worker.process.wait()}") from None
            self._take(worker, answer)

    def _take(self, worker: _Worker, answer: Answer) -> None:
        match answer:
            case Read(sequence):
                worker.read = sequence
                reached = min(one.read for one in self.workers)
                for filling in self.fillings:
                    filling.report(min(reached, filling.target.until), "reading the log")
            case Late(number, messages):
                self.late += len(messages)
                for message in messages:
                    pickle.dump((number, message), self.spool)
            case SetAside(number, sequence, reason):
                self.fillings[number].skip(sequence, reason)
            case Failed(reason, unavailable):
                raise DatabaseUnavailable(reason) if unavailable else LoadFailed(reason)
            case Done():
                worker.done = True


@contextmanager
def _few_collections() -> Generator[None]:
    """What is read here is handed on and gone at once; to look for cycles among it costs a sixth of reading it."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@asynccontextmanager
async def _process() -> AsyncGenerator[Process]:
    # The same modules as here, wherever they were found.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _COMMAND), stdin=PIPE, stdout=PIPE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _send(worker: _Worker, value: object) -> None:
    stream = worker.process.stdin
    assert stream is not None
    try:
        stream.write(frame(value))
        await stream.drain()
    except (BrokenPipeError, ConnectionResetError):
        raise LoadFailed(f"a loading process ended with {await worker.process.wait()}") from None


def _partition(subject: str) -> int:
    token = subject.split(".", 2)[1]
    return int(token) if token.isdecimal() else crc32(subject.encode()) % PARTITIONS


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
