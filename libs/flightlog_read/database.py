"""The connection to Postgres: one pool for reads, dedicated connections for whoever writes a projection."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, TypeAlias, cast

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from pydantic import BaseModel, ConfigDict, Field, field_serializer

from flightlog_read.errors import DatabaseUnavailable

logger = structlog.get_logger(__name__)

Connection: TypeAlias = "asyncpg.Connection | PoolConnectionProxy"
"""A connection of one's own or one borrowed from the pool; both have the same methods."""

SESSION_SETTINGS = {"TimeZone": "UTC", "jit": "off"}
"""Compiling a plan costs more than any of our queries; time zone UTC makes rows read the same everywhere."""


class DatabaseSettings(BaseModel):
    """Where Postgres is, and how many connections a service keeps."""

    model_config = ConfigDict(extra="forbid")

    dsn: str
    """libpq URI, such as `postgresql://user:password@host/name` or `…?host=/socket/dir`."""
    pool_min: Annotated[int, Field(ge=0)] = 0
    """Connections kept open although nobody reads. They are opened on demand anyway, and stay open once they are."""
    pool_max: Annotated[int, Field(ge=1)] = 8
    connect_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a starting service waits for a Postgres that is starting too."""
    command_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A statement of a read that takes longer is cancelled."""

    @field_serializer("dsn", when_used="json")
    def _masked(self, dsn: str) -> str:
        return mask_password(dsn)


class _Reading(asyncpg.Connection):
    """A pooled connection that is given back without a round trip.

    The driver would reset session settings, locks and listeners on every release; reads leave none behind. Open
    transactions are still rolled back.
    """

    def get_reset_query(self) -> str:
        return ""


class Database:
    """Postgres as a service sees it. `pool` serves reads; after a restart of Postgres it connects again by itself.

    Statements on the pool must leave no session state behind (`SET`, advisory locks, `LISTEN`): use `dedicated` for
    those.
    """

    def __init__(self, settings: DatabaseSettings, pool: asyncpg.Pool) -> None:
        self.settings = settings
        self.pool = pool
        self.loading = asyncio.Lock()
        """Held by whoever fills tables from the start of a log."""

    @classmethod
    async def connect(cls, settings: DatabaseSettings) -> "Database":
        """Opens the pool, waiting up to `connect_seconds` for a Postgres that is not there yet.

        Raises:
            DatabaseUnavailable: Postgres did not answer in that time.
        """
        deadline = time.monotonic() + settings.connect_seconds
        while True:
            try:
                pool = await asyncpg.create_pool(
                    settings.dsn,
                    min_size=settings.pool_min,
                    max_size=settings.pool_max,
                    connection_class=_Reading,
                    max_inactive_connection_lifetime=0,
                    command_timeout=settings.command_seconds,
                    server_settings={**SESSION_SETTINGS, "application_name": "flightlog"},
                )
                try:
                    await pool.fetchval("SELECT 1")
                except BaseException:
                    pool.terminate()
                    raise
                return cls(settings, pool)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                if time.monotonic() >= deadline:
                    raise DatabaseUnavailable(f"Postgres does not answer: {error}") from error
                logger.info("database.waiting", error=str(error))
                await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Closes the pool; statements that still run after two seconds are cut off."""
        try:
            await asyncio.wait_for(self.pool.close(), 2)
        except TimeoutError:
            self.pool.terminate()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Connection]:
        """Borrows a connection; a Postgres that is away becomes `DatabaseUnavailable` instead of a driver's error.

        >>> async with database.reading() as connection:
        ...     row = await connection.fetchrow("SELECT * FROM registry.tasks WHERE id = $1", id)
        """
        try:
            async with self.pool.acquire() as connection:
                yield connection
        except Exception as error:
            if is_unavailable(error):
                raise DatabaseUnavailable("the database is not available now") from error
            raise

    @asynccontextmanager
    async def dedicated(
        self, name: str, *, on_loss: Callable[[], None], command_seconds: float | None = None
    ) -> AsyncGenerator[asyncpg.Connection]:
        """A connection of one's own, for locks and long writes.

        Args:
            name: shown in `pg_stat_activity`.
            on_loss: called once when the connection ends, for whatever reason.
            command_seconds: after this a statement raises `TimeoutError`: the server may be gone without a word.
        """
        connection = cast(
            "asyncpg.Connection",
            await asyncpg.connect(
                self.settings.dsn,
                timeout=10,
                command_timeout=command_seconds,
                server_settings={**SESSION_SETTINGS, "application_name": name},
            ),
        )
        connection.add_termination_listener(lambda _: on_loss())
        try:
            yield connection
        finally:
            # Not a polite close: it would wait for a server that may be gone. Ending the socket frees the locks as
            # well.
            connection.terminate()

    async def side_by_side(
        self, name: str, jobs: Iterable[Callable[[Connection], Awaitable[None]]], *, at_once: int
    ) -> None:
        """Does long work on connections of its own, `at_once` jobs at a time, begun in their order.

        Raises what the first job that fails raises; the others are cancelled.
        """
        waiting = deque(jobs)

        async def work() -> None:
            async with self.dedicated(name, on_loss=lambda: None) as connection:
                while waiting:
                    await waiting.popleft()(connection)

        working = [asyncio.create_task(work()) for _ in range(min(at_once, len(waiting)))]
        try:
            await asyncio.gather(*working)
        finally:
            for one in working:
                one.cancel()
            await asyncio.gather(*working, return_exceptions=True)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error means "Postgres is away or busy now", so that trying again later makes sense."""
    if isinstance(error, OSError | TimeoutError | asyncpg.PostgresConnectionError | asyncpg.InternalClientError):
        return True
    if isinstance(error, asyncpg.InterfaceError):
        # The driver's word for a connection that went away under a statement; its other uses are wrong calls.
        return "closed" in str(error) or "closing" in str(error) or "released back" in str(error)
    state = getattr(error, "sqlstate", None)
    # 53 insufficient resources, 57P shutting down or starting, 40 rolled back (deadlock, serialization), 55P03 lock
    # timeout.
    return isinstance(state, str) and (state.startswith(("08", "53", "57P", "40")) or state == "55P03")


def mask_password(dsn: str) -> str:
    """The connection string without its password."""
    scheme, separator, rest = dsn.partition("://")
    account, at, place = rest.rpartition("@")
    if not at or ":" not in account:
        return dsn
    return f"{scheme}{separator}{account.partition(':')[0]}:***@{place}"
