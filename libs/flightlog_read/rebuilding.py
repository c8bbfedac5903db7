"""Makes all tables of a projection again from the log, beside the live ones, and puts them in their place.

In the order of events: a snapshot of the live schema is held at its checkpoint C; the log up to C is applied to the
schema `<name>__new`; both are compared table by table; the new one catches up while the projector goes on writing the
live one; at last, with the live checkpoint locked, the rest is applied and two renames in one transaction switch over.
Reads never wait. The projector finds its tables superseded and goes on with the new ones. The former tables stay as
`<name>__old`, for `roll_back`.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from zlib import crc32

import asyncpg
import structlog

from flightlog_log import Log
from flightlog_read import checkpoints
from flightlog_read.batches import SESSION, BatchWriter, Entry, following
from flightlog_read.checkpoints import Checkpoint
from flightlog_read.comparing import TableComparison, TableDigest, compare, digest_tables
from flightlog_read.database import Database
from flightlog_read.errors import ReadError
from flightlog_read.projection import Projection, check_name, fingerprint

logger = structlog.get_logger(__name__)

_BATCH = 2000
_NEAR = 500
_ROUNDS = 20
_LOCK_CLASS = 0x466C6952  # "FliR"


class RebuildRunning(ReadError):
    """Somebody else rebuilds this projection now."""

    grpc_code = "FAILED_PRECONDITION"


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """Told to the caller after every batch."""

    projection: str
    sequence: int
    target: int


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What a rebuild did.

    Attributes:
        sequence: the checkpoint of the new tables.
        compared_at: the sequence at which old and new were compared; None when there was nothing comparable (no live
        tables,
            another version, or tables ahead of the log).
        skipped: sequences no row could be made of, with the reason; the live projector has them parked.
    """

    projection: str
    sequence: int
    seconds: float
    compared_at: int | None
    tables: tuple[TableComparison, ...]
    skipped: tuple[tuple[int, str], ...] = ()

    @property
    def identical(self) -> bool:
        """Every table has the same rows, byte for byte, as the one it replaced. True when there was nothing to
        compare.
        """
        return all(table.identical for table in self.tables)


@dataclass(slots=True)
class _Work:
    """One rebuild under way."""

    log: Log
    projection: Projection
    report: Callable[[RebuildProgress], None]
    skipped: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    async def load(self, writer: BatchWriter, target: int) -> None:
        """Applies the log up to and including `target`."""
        pending: list[Entry] = []
        async with following(self.log, self.projection.stream, after=writer.sequence, live=False) as batches:
            async for batch in batches:
                pending.extend(entry for entry in batch if entry.sequence <= target)
                at_end = batch[-1].sequence >= target
                if len(pending) >= _BATCH or at_end:
                    await self._write(writer, pending, target)
                    pending = []
                if at_end:
                    break
        await self._write(writer, pending, target)
        await writer.skip_to(target)

    async def set_aside(self, entry: Entry, reason: str) -> None:
        self.skipped.append((entry.sequence, reason))

    async def _write(self, writer: BatchWriter, entries: list[Entry], target: int) -> None:
        for start in range(0, len(entries), _BATCH):
            await writer.write(entries[start : start + _BATCH])
            self.report(RebuildProgress(self.projection.name, writer.sequence, target))


async def rebuild(
    database: Database,
    log: Log,
    projection: Projection,
    report: Callable[[RebuildProgress], None] = lambda _: None,
) -> RebuildResult:
    """Rebuilds and switches, whether or not the new tables equal the old ones: the log is right. See the module's text.

    Raises:
        RebuildRunning: another rebuild of this projection is under way.
        asyncpg.PostgresError, OSError, LogUnavailable: a part went away; the live tables are untouched, call again.
    """
    started = time.monotonic()
    name = check_name(projection.name)
    fresh = f"{name}__new"
    work = _Work(log, projection, report)
    async with _connection(database, f"flightlog {name} rebuild") as writing:
        if not await writing.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCK_CLASS, crc32(name.encode()) - 2**31):
            raise RebuildRunning(f"{name} is being rebuilt already")
        await writing.execute(SESSION)
        await writing.execute(f"DROP SCHEMA IF EXISTS {fresh} CASCADE")
        await checkpoints.create(writing, fresh, projection)
        writer = BatchWriter(writing, projection, 0, work.set_aside)
        end = await log.stream_sequence(projection.stream)
        compared_at, tables = await _load_and_compare(database, work, writer, end)
        await _catch_up(database, work, writer)
        await _analyze(writing, fresh)
        await _switch(database, work, writer)
    result = RebuildResult(name, writer.sequence, time.monotonic() - started, compared_at, tables, tuple(work.skipped))
    logger.info(
        "projection.rebuilt",
        projection=name,
        sequence=result.sequence,
        seconds=round(result.seconds, 3),
        identical=result.identical,
        skipped=len(result.skipped),
    )
    return result


async def roll_back(database: Database, name: str) -> None:
    """Puts `<name>__old` back in place; the projector goes on from its checkpoint. The tables replaced become the old
    ones.

    Raises:
        ReadError: there are no old tables.
    """
    check_name(name)
    async with _connection(database, f"flightlog {name} roll-back") as connection, connection.transaction():
        if await checkpoints.find(connection, f"{name}__old") is None:
            raise ReadError(f"there are no former tables of {name}")
        await connection.execute(f"UPDATE {name}.checkpoint SET superseded = true")
        await connection.execute(f"UPDATE {name}__old.checkpoint SET superseded = false")
        await connection.execute(f"ALTER SCHEMA {name} RENAME TO {name}__swap")
        await connection.execute(f"ALTER SCHEMA {name}__old RENAME TO {name}")
        await connection.execute(f"ALTER SCHEMA {name}__swap RENAME TO {name}__old")


async def _load_and_compare(
    database: Database, work: _Work, writer: BatchWriter, end: int
) -> tuple[int | None, tuple[TableComparison, ...]]:
    name = work.projection.name
    async with _connection(database, f"flightlog {name} rebuild snapshot") as reading:
        async with reading.transaction(isolation="repeatable_read", readonly=True):
            live = await _comparable(reading, work.projection, end)
            if live is None:
                await work.load(writer, end)
                return None, ()
            await work.load(writer, live.sequence)
            before = await digest_tables(reading, name)
        after: dict[str, TableDigest] = await digest_tables(reading, f"{name}__new")
    return live.sequence, compare(before, after)


async def _comparable(connection: asyncpg.Connection, projection: Projection, end: int) -> Checkpoint | None:
    live = await checkpoints.find(connection, projection.name)
    if live is None or live.fingerprint != fingerprint(projection) or live.sequence > end:
        return None
    return live


async def _catch_up(database: Database, work: _Work, writer: BatchWriter) -> None:
    """Comes near the live checkpoint, so that little is left for the moment when it stands still."""
    for _ in range(_ROUNDS):
        async with database.pool.acquire() as connection:
            live = await checkpoints.find(connection, work.projection.name)
        end = await work.log.stream_sequence(work.projection.stream)
        target = end if live is None else min(live.sequence, end)
        if target - writer.sequence <= _NEAR:
            return
        await work.load(writer, target)


async def _switch(database: Database, work: _Work, writer: BatchWriter) -> None:
    """Locks the live checkpoint, applies the rest, renames."""
    name = work.projection.name
    async with _connection(database, f"flightlog {name} rebuild switch") as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {name}__old CASCADE")
        async with connection.transaction():
            live = await checkpoints.find(connection, name)
            if live is not None:
                # Waits for the batch that the projector is writing, and stops its next one here.
                stand = await connection.fetchval(f"SELECT sequence FROM {name}.checkpoint FOR UPDATE")
                await work.load(writer, min(int(stand or 0), await work.log.stream_sequence(work.projection.stream)))
                await connection.execute(f"UPDATE {name}.checkpoint SET superseded = true")
                await connection.execute(f"ALTER SCHEMA {name} RENAME TO {name}__old")
            await connection.execute(f"ALTER SCHEMA {name}__new RENAME TO {name}")


async def _analyze(connection: asyncpg.Connection, schema: str) -> None:
    for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema):
        await connection.execute(f'ANALYZE {schema}."{row["tablename"]}"')


@asynccontextmanager
async def _connection(database: Database, name: str) -> AsyncGenerator[asyncpg.Connection]:
    async with database.dedicated(name, on_loss=lambda: None) as connection:
        yield connection
