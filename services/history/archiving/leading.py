"""One archiver at a time: the process that holds an advisory lock in Postgres, as with projectors.

The lock belongs to a connection. Before each manifest the archiver asks that connection whether it is still there; so a
process that was cut off stops, and what it had written so far is no part of the archive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from flightlog_archive import ArchiveTaken
from flightlog_read import Database
from flightlog_read.database import is_unavailable

_LOCK = (0x466C6967, 0x41726368)  # "Flig", our half of the lock space, and "Arch"
_DISPLACE = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = $1::bigint::oid AND objid = $2::bigint::oid
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_STANDBY_SECONDS = (0.05, 2.0)
_COMMAND_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class Leadership:
    """That this process alone writes the archive."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def confirm(self) -> None:
        """Raises `ArchiveTaken` when it may have ended."""
        try:
            await self._connection.execute("SELECT 1")
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise ArchiveTaken("the connection that holds the lock has ended") from error


@asynccontextmanager
async def leadership(database: Database, *, displace: bool = False) -> AsyncGenerator[Leadership]:
    """Waits until no other process writes the archive, and keeps others from it while the block is being run.

    With `displace` it is taken from who has it: that one stops at its next manifest, and goes on when we are done.
    """
    async with database.dedicated(
        "flightlog archiver", on_loss=lambda: None, command_seconds=_COMMAND_SECONDS
    ) as connection:
        delay = _STANDBY_SECONDS[0]
        if displace:
            await connection.execute(_DISPLACE, *_LOCK)
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *_LOCK):
            if delay >= _STANDBY_SECONDS[1] / 2:
                _log.debug("archive.standing_by")
            await asyncio.sleep(delay)
            delay = min(delay * 2, _STANDBY_SECONDS[1])
        yield Leadership(connection)
