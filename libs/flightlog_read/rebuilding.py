"""Makes all tables of a projection again from the log, beside the live ones, and puts them in their place.

In the order of events: a snapshot of the live schema is held at its checkpoint C; the log up to C is applied to the
schema `<name>__new`; both are compared table by table; the new one catches up while the projector goes on writing the
live one; at last, with the live checkpoint locked, the rest is applied and two renames in one transaction switch over.
Reads never wait. The projector finds its tables superseded and goes on with the new ones. The former tables stay as
`<name>__old`, for `roll_back`.

Projections of one stream can be rebuilt together: the log is read and decoded once for all of them. Those that can be
folded in memory are filled by several processes (`loading`), the others by this one, as the live projector does it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

import asyncpg
import structlog

from flightlog_log import Log
from flightlog_read import checkpoints
from flightlog_read.batches import SESSION, BatchWriter, Entry, following
from flightlog_read.checkpoints import Checkpoint
from flightlog_read.comparing import TableComparison, TableDigest, compare, digest_table, digest_tables, tables_of
from flightlog_read.database import Connection, Database
from flightlog_read.errors import ReadError
from flightlog_read.loading import Filling, Loading, load
from flightlog_read.loading_process import Target
from flightlog_read.projection import BulkProjection, Projection, check_name, fingerprint

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
    """Told to the caller after every batch, and when another step begins."""

    projection: str
    sequence: int
    target: int
    step: str = "reading the log"


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What a rebuild did.

    Attributes:
        sequence: the checkpoint of the new tables.
        seconds: how long it took, together with what was rebuilt at the same time.
        compared_at: the sequence at which old and new were compared; None when there was nothing comparable (no live
            tables, another version, or tables ahead of the log).
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
    """One projection's rebuild under way."""

    log: Log
    projection: Projection
    report: Callable[[RebuildProgress], None]
    connection: asyncpg.Connection
    """Writes the new tables."""
    snapshot: asyncpg.Connection
    """Sees the live tables as they were when the rebuild began."""
    live: Checkpoint | None
    """Where they were; None when they cannot be compared with."""
    target: int
    """The log up to here is applied before old and new are compared."""
    skipped: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    tables: tuple[TableComparison, ...] = ()
    writer: BatchWriter = field(init=False)

    def __post_init__(self) -> None:
        self.writer = BatchWriter(self.connection, self.projection, 0, self.set_aside)

    @property
    def name(self) -> str:
        return self.projection.name

    @property
    def fresh(self) -> str:
        return f"{self.name}__new"

    def filling(self, projection: BulkProjection) -> Filling:
        """These tables as `load` takes them."""
        return Filling(Target(projection, self.fresh, self.target), self.connection, self.writer, self.tell, self.skip)

    async def apply(self, target: int) -> None:
        """Applies the log up to and including `target`, in this process."""
        pending: list[Entry] = []
        async with following(self.log, self.projection, after=self.writer.sequence, live=False) as batches:
            async for batch in batches:
                pending.extend(entry for entry in batch if entry.sequence <= target)
                at_end = batch[-1].sequence >= target
                if len(pending) >= _BATCH or at_end:
                    await self._write(pending, target)
                    pending = []
                if at_end:
                    break
        await self._write(pending, target)
        await self.writer.skip_to(target)

    async def set_aside(self, entry: Entry, reason: str) -> None:
        self.skip(entry.sequence, reason)

    def skip(self, sequence: int, reason: str) -> None:
        self.skipped.append((sequence, reason))

    def tell(self, sequence: int, step: str) -> None:
        self.report(RebuildProgress(self.name, sequence, self.target, step))

    async def _write(self, entries: list[Entry], target: int) -> None:
        for start in range(0, len(entries), _BATCH):
            await self.writer.write(entries[start : start + _BATCH])
            self.report(RebuildProgress(self.name, self.writer.sequence, target))


async def rebuild(
    database: Database,
    log: Log,
    projection: Projection,
    report: Callable[[RebuildProgress], None] = lambda _: None,
    *,
    loading: Loading | None = None,
) -> RebuildResult:
    """Rebuilds and switches, whether or not the new tables equal the old ones: the log is right. See the module's text.

    Raises:
        RebuildRunning: another rebuild of this projection is under way.
        LoadFailed: a process that helped ended; the live tables are untouched, call again.
        asyncpg.PostgresError, OSError, LogUnavailable: a part went away; the live tables are untouched, call again.
    """
    (result,) = await rebuild_together(database, log, [projection], report, loading=loading)
    return result


async def rebuild_together(
    database: Database,
    log: Log,
    projections: Sequence[Projection],
    report: Callable[[RebuildProgress], None] = lambda _: None,
    *,
    loading: Loading | None = None,
) -> tuple[RebuildResult, ...]:
    """Rebuilds projections of one stream at the same time, and switches one after the other. Raises as `rebuild`."""
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        works = [
            await stack.enter_async_context(_begun(database, log, projection, report)) for projection in projections
        ]
        await _fill_and_compare(database, log, works, loading or Loading())
        await asyncio.gather(*(_analyze(work.connection, work.fresh) for work in works))
        for work in works:
            await _catch_up(database, work)
            work.tell(work.writer.sequence, "switching")
            await _switch(database, work)
    results = tuple(
        RebuildResult(
            work.name,
            work.writer.sequence,
            time.monotonic() - started,
            None if work.live is None else work.live.sequence,
            work.tables,
            tuple(sorted(work.skipped)),
        )
        for work in works
    )
    for result in results:
        logger.info(
            "projection.rebuilt",
            projection=result.projection,
            sequence=result.sequence,
            seconds=round(result.seconds, 3),
            identical=result.identical,
            skipped=len(result.skipped),
        )
    return results


@dataclass(frozen=True, slots=True)
class Beside:
    """Tables that were made from the log, and the live ones as they were at the same place.

    Attributes:
        connection: sees the tables that were made, in `schema`.
        snapshot: sees the live tables; None when they cannot be compared: there are none, they are of another version,
            or ahead of the log.
        sequence: the place.
        skipped: sequences no row could be made of, with the reason.
    """

    projection: Projection
    schema: str
    connection: asyncpg.Connection
    snapshot: asyncpg.Connection | None
    sequence: int
    skipped: tuple[tuple[int, str], ...]


@asynccontextmanager
async def made_beside(
    database: Database,
    log: Log,
    projections: Sequence[Projection],
    report: Callable[[RebuildProgress], None] = lambda _: None,
    *,
    loading: Loading | None = None,
) -> AsyncGenerator[list[Beside]]:
    """Makes tables of projections of one stream as a rebuild does, and drops them at the end of the block.

    The live ones stay as they are. Raises as `rebuild`.
    """
    async with AsyncExitStack() as stack:
        works = [
            await stack.enter_async_context(_begun(database, log, projection, report)) for projection in projections
        ]
        try:
            await _fill(database, log, works, loading or Loading())
            yield [
                Beside(
                    work.projection,
                    work.fresh,
                    work.connection,
                    None if work.live is None else work.snapshot,
                    work.target,
                    tuple(sorted(work.skipped)),
                )
                for work in works
            ]
        finally:
            for work in works:
                if not work.connection.is_closed():
                    await work.connection.execute(f"DROP SCHEMA IF EXISTS {work.fresh} CASCADE")


@asynccontextmanager
async def _begun(
    database: Database, log: Log, projection: Projection, report: Callable[[RebuildProgress], None]
) -> AsyncGenerator[_Work]:
    """Empty tables, and a snapshot of the live ones for as long as the block lasts."""
    name = check_name(projection.name)
    async with (
        _connection(database, f"flightlog {name} rebuild") as writing,
        _connection(database, f"flightlog {name} rebuild snapshot") as reading,
    ):
        if not await writing.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCK_CLASS, crc32(name.encode()) - 2**31):
            raise RebuildRunning(f"{name} is being rebuilt already")
        await writing.execute(SESSION)
        await writing.execute(f"DROP SCHEMA IF EXISTS {name}__new CASCADE")
        await checkpoints.create(writing, f"{name}__new", projection)
        end = await log.stream_sequence(projection.stream)
        await reading.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        live = await _comparable(reading, projection, end)
        if live is None:
            await reading.execute("ROLLBACK")
        yield _Work(log, projection, report, writing, reading, live, end if live is None else live.sequence)


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


async def _fill_and_compare(database: Database, log: Log, works: Sequence[_Work], loading: Loading) -> None:
    """Brings the new tables to where the live ones were, and compares."""
    # The snapshot does not change: it is read meanwhile.
    before = [asyncio.create_task(_digest_live(work)) for work in works]
    try:
        await _fill(database, log, works, loading)
        after = await _digest_made(database, works, loading.processes)
        for work, live, made in zip(works, before, after, strict=True):
            work.tables = compare(await live, made)
    finally:
        for digest in before:
            digest.cancel()
        await asyncio.wait(before)


async def _fill(database: Database, log: Log, works: Sequence[_Work], loading: Loading) -> None:
    """Brings the new tables to where the live ones were."""
    in_bulk = [
        work.filling(work.projection)
        for work in works
        if isinstance(work.projection, BulkProjection) and work.target >= loading.from_messages
    ]
    if in_bulk:
        await load(database, log, loading, works[0].projection.stream, in_bulk)
    for work in works:
        if work.writer.sequence < work.target:
            await work.apply(work.target)


async def _digest_live(work: _Work) -> dict[str, TableDigest]:
    if work.live is None:
        return {}
    digests = await digest_tables(work.snapshot, work.name)
    await work.snapshot.execute("COMMIT")
    return digests


async def _digest_made(database: Database, works: Sequence[_Work], at_once: int) -> list[dict[str, TableDigest]]:
    digests: list[dict[str, TableDigest]] = [{} for _ in works]

    async def digest(number: int, table: str, connection: Connection) -> None:
        digests[number][table] = await digest_table(connection, works[number].fresh, table)

    jobs: list[Callable[[Connection], Awaitable[None]]] = []
    for number, work in enumerate(works):
        if work.live is not None:
            work.tell(work.target, "comparing")
            jobs += [partial(digest, number, table) for table in await tables_of(work.connection, work.fresh)]
    await database.side_by_side("flightlog compare", jobs, at_once=at_once)
    return digests


async def _comparable(connection: asyncpg.Connection, projection: Projection, end: int) -> Checkpoint | None:
    live = await checkpoints.find(connection, projection.name)
    if live is None or live.fingerprint != fingerprint(projection) or live.sequence > end:
        return None
    return live


async def _catch_up(database: Database, work: _Work) -> None:
    """Comes near the live checkpoint, so that little is left for the moment when it stands still."""
    for _ in range(_ROUNDS):
        async with database.pool.acquire() as connection:
            live = await checkpoints.find(connection, work.name)
        end = await work.log.stream_sequence(work.projection.stream)
        target = end if live is None else min(live.sequence, end)
        if target - work.writer.sequence <= _NEAR:
            return
        await work.apply(target)


async def _switch(database: Database, work: _Work) -> None:
    """Locks the live checkpoint, applies the rest, renames."""
    name = work.name
    async with _connection(database, f"flightlog {name} rebuild switch") as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {name}__old CASCADE")
        async with connection.transaction():
            live = await checkpoints.find(connection, name)
            if live is not None:
                # Waits for the batch that the projector is writing, and stops its next one here.
                stand = await connection.fetchval(f"SELECT sequence FROM {name}.checkpoint FOR UPDATE")
                await work.apply(min(int(stand or 0), await work.log.stream_sequence(work.projection.stream)))
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
