"""Keeps the tables of a projection up with the log, and lets reads wait for their writes.

One process at a time writes a projection: the one that holds its advisory lock. The lock and the writes share one
connection, so a process that lost the lock cannot write. The others stand by and take over when that connection ends.

The checkpoint moves in the transaction of its batch, so a crash of this process or of Postgres at any moment leaves
tables that match the checkpoint. Commits do not wait for the disk (`synchronous_commit = off`): what a crash of
Postgres takes back, it takes back together with the checkpoint, and the log gives it again. Nobody is told of a
sequence that Postgres may have lost: when the connection ends, the watermark is unknown until the checkpoint is read
anew.
"""

import asyncio
import time
from collections.abc import Sequence
from zlib import crc32

import asyncpg
import structlog

from flightlog_log import Log, LogUnavailable, Recorded
from flightlog_read import checkpoints, metrics
from flightlog_read.batches import SESSION, BatchWriter, Entry, following
from flightlog_read.checkpoints import Checkpoint, NewerTables, Superseded
from flightlog_read.database import Database, is_unavailable
from flightlog_read.errors import StaleRead
from flightlog_read.loading import LoadFailed, Loading
from flightlog_read.projection import BulkProjection, ChoosingProjection, Projection, check_name, fingerprint
from flightlog_read.rebuilding import RebuildRunning, rebuild
from flightlog_read.waiting import Watermark

logger = structlog.get_logger(__name__)

MAX_BATCH = 500
# Between two batches while no read waits: a transaction of ten records costs little more than one of one.
_GATHER_SECONDS = 0.03
# The same where most messages are passed over, so that there is mostly nothing but the checkpoint to write.
_GATHER_CHOOSING_SECONDS = 0.25
_STANDBY_SECONDS = (0.02, 0.5)
_COMMAND_SECONDS = 60.0
_LAG_SECONDS = 5.0
_RETRY_SECONDS = (0.05, 2.0)
_POLL_SECONDS = (0.002, 0.05)
_LOCK_CLASS = 0x466C6967  # "Flig": our half of the advisory lock space


class _ConnectionLost(Exception):
    """The dedicated connection ended."""


class Projector:
    """Follows one stream into one schema.

    >>> projector = Projector(database, log, RegistryProjection())
    >>> async with asyncio.TaskGroup() as group:
    ...     group.create_task(projector.run())
    ...     await projector.wait_for(await log.last_sequence(subject))
    """

    def __init__(self, database: Database, log: Log, projection: Projection, *, loading: Loading | None = None) -> None:
        self._loading = loading or Loading()
        self._rebuilding = False
        self._database = database
        self._log = log
        self._projection = projection
        self._schema = check_name(projection.name)
        self._fingerprint = fingerprint(projection)
        self._counters = metrics.Counters.of(self._schema)
        self._mark = Watermark()
        self._leading = False
        self._serving = asyncio.Event()
        self._polling = asyncio.Lock()

    @property
    def applied(self) -> int:
        """The last sequence this process knows to be visible; -1 when it cannot say."""
        return self._mark.sequence

    async def run(self) -> None:
        """Projects until cancelled. Failures of Postgres and of the log are waited out."""
        delay = _RETRY_SECONDS[0]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_lag())
            while True:
                started = time.monotonic()
                try:
                    await self._lead_once()
                except Superseded:
                    logger.info("projection.superseded", projection=self._schema)
                except (_ConnectionLost, LoadFailed, LogUnavailable, NewerTables, RebuildRunning) as error:
                    logger.warning("projection.interrupted", projection=self._schema, error=str(error))
                except Exception as error:  # the edge of the projector's task: nothing may end it
                    if is_unavailable(error):
                        logger.warning("projection.interrupted", projection=self._schema, error=str(error))
                    else:
                        logger.exception("projection.failed", projection=self._schema)
                delay = _RETRY_SECONDS[0] if time.monotonic() - started > 5 else min(delay * 2, _RETRY_SECONDS[1])
                await asyncio.sleep(delay)

    async def wait_until_serving(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109
        """Returns when the tables exist in the shape this process reads, here or by another process's work.

        While this process rebuilds them, time does not count.

        Raises:
            StaleRead: that did not happen in time.
        """
        while not self._serving.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._serving.wait()
            except TimeoutError:
                if not self._rebuilding:
                    raise StaleRead(f"the tables of {self._schema} are not ready") from None

    async def wait_for(self, sequence: int, timeout: float = 10.0) -> None:  # noqa: ASYNC109
        """Returns when reads see everything up to `sequence` (DESIGN §4: read your writes).

        Raises:
            StaleRead: not within `timeout` seconds.
        """
        if sequence <= self._mark.sequence or sequence <= 0:
            return
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                while sequence > self._mark.sequence:
                    if self._leading:
                        await self._mark.wait(sequence)
                    elif await self._polled_until(sequence):
                        return
        except TimeoutError:
            raise StaleRead(f"the tables of {self._schema} have not reached sequence {sequence} yet") from None
        finally:
            self._counters.wait_seconds.observe(time.perf_counter() - started)

    async def _polled_until(self, sequence: int) -> bool:
        """Without the lock only the checkpoint in Postgres tells: it is asked every time. False: leading now."""
        delay = _POLL_SECONDS[0]
        await self._serving.wait()  # before that, tables of another version may be there
        while not self._leading:
            if await self._found_at() >= sequence:
                return True
            await asyncio.sleep(delay)
            delay = min(delay * 2, _POLL_SECONDS[1])
        return False

    async def _found_at(self) -> int:
        """The checkpoint of the tables this process reads, -1 when they are not to be had now."""
        async with self._polling:
            try:
                async with self._database.pool.acquire() as connection:
                    found = await checkpoints.find(connection, self._schema)
            except Exception as error:
                if not is_unavailable(error) and not isinstance(error, asyncpg.UndefinedTableError):
                    raise
                return -1
        return found.sequence if found is not None and found.fingerprint == self._fingerprint else -1

    async def _lead_once(self) -> None:
        lost = asyncio.get_running_loop().create_future()

        def on_loss() -> None:
            self._mark.forget()
            if not lost.done():
                lost.set_result(None)

        async with self._database.dedicated(
            f"flightlog {self._schema} projector", on_loss=on_loss, command_seconds=_COMMAND_SECONDS
        ) as connection:
            work = asyncio.ensure_future(self._lead(connection))
            try:
                await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    raise _ConnectionLost("the connection to Postgres ended")
                work.result()
            finally:
                self._leading = False
                self._mark.forget()
                self._counters.leading.set(0)
                work.cancel()
                await asyncio.wait({work})
                if not work.cancelled():
                    work.exception()  # raised above, or of no interest after the connection's end

    async def _lead(self, connection: asyncpg.Connection) -> None:
        await self._take_lock(connection)
        await connection.execute(SESSION)
        checkpoint = await self._prepare(connection)
        await connection.execute(f"SET search_path TO {self._schema}")
        writer = BatchWriter(connection, self._projection, checkpoint.sequence, self._park)
        self._mark.advance(checkpoint.sequence)
        self._leading = True
        self._serving.set()
        self._counters.leading.set(1)
        logger.info("projection.following", projection=self._schema, sequence=checkpoint.sequence)
        gather = _GATHER_CHOOSING_SECONDS if isinstance(self._projection, ChoosingProjection) else _GATHER_SECONDS
        async with following(self._log, self._projection, after=checkpoint.sequence) as batches:
            async for batch in batches:
                for start in range(0, len(batch), MAX_BATCH):
                    await self._write(writer, batch[start : start + MAX_BATCH])
                await self._mark.wanted(gather)

    async def _take_lock(self, connection: asyncpg.Connection) -> None:
        standing_by = False
        delay = _STANDBY_SECONDS[0]  # our own former connection may hold it for another moment
        while not await connection.fetchval(
            "SELECT pg_try_advisory_lock($1, $2)", _LOCK_CLASS, _lock_key(self._schema)
        ):
            if not standing_by and delay >= _STANDBY_SECONDS[1]:
                logger.info("projection.standing_by", projection=self._schema)
                standing_by = True
            found = await checkpoints.find(connection, self._schema)
            if found is not None and found.fingerprint == self._fingerprint:
                self._serving.set()
            await asyncio.sleep(delay)
            delay = min(delay * 2, _STANDBY_SECONDS[1])

    async def _prepare(self, connection: asyncpg.Connection) -> Checkpoint:
        """Finds the tables, makes them, or rebuilds them when they are of another version or ahead of the log."""
        found = await checkpoints.find(connection, self._schema)
        if found is None:
            await connection.execute(f"DROP SCHEMA IF EXISTS {self._schema}")
            if await self._worth_loading():
                return await self._rebuilt(connection, "there are no tables, and the log is long", park=True)
            return await checkpoints.create(connection, self._schema, self._projection)
        reason = ""
        if found.version > self._projection.version:
            raise NewerTables(
                f"the tables are of version {found.version}, this process writes {self._projection.version}"
            )
        if found.fingerprint != self._fingerprint:
            reason = f"version {found.fingerprint} is not {self._fingerprint}"
        elif found.sequence > (end := await self._log.stream_sequence(self._projection.stream)):
            reason = f"the tables are at {found.sequence}, the log ends at {end}"
        if not reason:
            return found
        return await self._rebuilt(connection, reason, park=False)

    async def _worth_loading(self) -> bool:
        """Whether the log is so long that tables that begin empty had better be filled by several processes."""
        if not isinstance(self._projection, BulkProjection):
            return False
        return await self._log.stream_sequence(self._projection.stream) >= max(1, self._loading.from_messages)

    async def _rebuilt(self, connection: asyncpg.Connection, reason: str, *, park: bool) -> Checkpoint:
        """With `park`, what was set aside is parked: nobody has done that before."""
        logger.warning("projection.rebuilding", projection=self._schema, reason=reason)
        self._rebuilding = True
        try:
            result = await rebuild(self._database, self._log, self._projection, loading=self._loading)
        finally:
            self._rebuilding = False
        for sequence, why in result.skipped if park else ():
            await self._park_at(sequence, why)
        rebuilt = await checkpoints.find(connection, self._schema)
        if rebuilt is None:
            raise Superseded("the rebuilt tables are gone again")
        return rebuilt

    async def _write(self, writer: BatchWriter, entries: Sequence[Entry]) -> None:
        started = time.perf_counter()
        await writer.write(entries)
        self._mark.advance(writer.sequence)
        self._counters.batch_seconds.observe(time.perf_counter() - started)
        self._counters.applied.inc(len(entries))
        self._counters.position.set(writer.sequence)
        newest = entries[-1]
        if isinstance(newest, Recorded):
            recorded_at = newest.envelope.recorded_at
            self._counters.lag_seconds.set(max(0.0, time.time() - recorded_at.seconds - recorded_at.nanos / 1e9))

    async def _park(self, entry: Entry, reason: str) -> None:
        await self._park_at(entry.sequence, reason, subject=entry.subject)

    async def _park_at(self, sequence: int, reason: str, **where: str) -> None:
        logger.error("projection.parked", projection=self._schema, sequence=sequence, reason=reason, **where)
        self._counters.parked.inc()
        await self._log.park(self._projection.stream, sequence, consumer=f"projection-{self._schema}", reason=reason)

    async def _watch_lag(self) -> None:
        end = applied = 0

        def lag() -> int:
            # Asked for when the page is read: tables that caught up since the last look are not behind.
            return max(0, end - max(applied, self._mark.sequence))

        self._counters.lag_messages.set_function(lag)
        while True:
            try:
                found = self._mark.sequence if self._leading else await self._found_at()
                # While Postgres is away the tables are where they were, and the log goes on.
                applied = found if found >= 0 else applied
                end = await self._log.stream_sequence(self._projection.stream)
            except LogUnavailable as error:
                logger.debug("projection.lag_unknown", projection=self._schema, error=str(error))
            await asyncio.sleep(_LAG_SECONDS)


def _lock_key(schema: str) -> int:
    return crc32(schema.encode()) - 2**31
