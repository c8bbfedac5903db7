"""What becomes of a service's copies of personal data whose keys are destroyed: its tables, and what it has in memory.

One process of the service makes the tables anew, beside the live ones: the log gives these fields no more. Every
process forgets what it has folded or kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import asyncpg
import structlog

from flightlog_log import Log, LogUnavailable, Recorded
from flightlog_protos.registry.v1.facts_pb2 import KeyDestroyed
from flightlog_read.database import Database, is_unavailable
from flightlog_read.projection import Projection, check_name
from flightlog_read.rebuilding import RebuildRunning, rebuild

logger = structlog.get_logger(__name__)

_STREAM: Final = "REGISTRY"
_SUBJECTS: Final = "registry.*.project.*"
_FACTS: Final = frozenset({KeyDestroyed.DESCRIPTOR.name})


class Shredding:
    """Follows the destruction of keys.

    Args:
        service: whose tables these are; one of its processes at a time rebuilds them.
        projections: those with personal data.
        forget: given a project, forgets what this process has of its personal data in memory.
    """

    def __init__(
        self,
        log: Log,
        database: Database,
        service: str,
        projections: Sequence[Projection],
        forget: Sequence[Callable[[str], Awaitable[None]]] = (),
    ) -> None:
        self._log = log
        self._database = database
        self._durable = f"shredding-{service}"
        self._projections = projections
        self._forget = forget

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self._log.consume(_STREAM, self._durable, self.take, facts=_FACTS, subjects=_SUBJECTS, max_in_flight=1)
            )
            if self._forget:
                group.create_task(self._follow())

    async def take(self, recorded: Recorded) -> None:
        """Destroy the keys, if whoever said so died before it did, and make the tables without what they opened.

        Raises `LogUnavailable` while the log, the object store or Postgres is away, or somebody else rebuilds.
        """
        destroyed = [fact for fact in recorded.facts if isinstance(fact, KeyDestroyed)]
        for fact in destroyed:
            await self._log.keys.destroy(fact.project, fact.key_ids)
        if not destroyed or not self._projections:
            return
        # Until then other processes may write rows with what they still know how to open.
        await asyncio.sleep(self._log.keys.seconds)
        for projection in self._projections:
            try:
                await rebuild(self._database, self._log, projection)
                await self._drop_former(projection.name)
            except (RebuildRunning, asyncpg.PostgresError, OSError) as error:
                if not isinstance(error, RebuildRunning) and not is_unavailable(error):
                    raise
                raise LogUnavailable(f"the tables of {projection.name} cannot be made anew now: {error}") from error
            logger.info("projection.shredded", projection=projection.name, projects=[one.project for one in destroyed])

    async def _drop_former(self, name: str) -> None:
        """The tables that were replaced have what is to be gone."""
        async with self._database.pool.acquire() as connection:
            await connection.execute(f"DROP SCHEMA IF EXISTS {check_name(name)}__old CASCADE")

    async def _follow(self) -> None:
        while True:
            try:
                after = await self._log.stream_sequence(_STREAM)
                break
            except LogUnavailable as error:
                logger.warning("shredding.waiting", reason=str(error))
        async for batch in self._log.follow(_STREAM, after=after, subjects=_SUBJECTS):
            for entry in batch:
                for fact in entry.facts if isinstance(entry, Recorded) else ():
                    if isinstance(fact, KeyDestroyed):
                        await self._log.keys.destroy(fact.project, fact.key_ids)
                        for forget in self._forget:
                            await forget(fact.project)
