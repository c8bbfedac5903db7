"""Executions go when they have been over for as long as their project keeps them. One process at a time looks.

How long that is, the project's label `flightlog.retention` says, else the setting `retention.default`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

import structlog
from prometheus_client import Counter

from flightlog_log import Cause, Log, LogError, LogUnavailable, Subject
from flightlog_read import Database
from flightlog_read.database import is_unavailable
from flightlog_types import InvalidArgument
from flightlog_types.retention import retention_of
from services.execution import subjects
from services.execution.engine import BrokenHistory, DeleteExecution, Refused
from services.execution.lookup import Lookup
from services.execution.settings import RetentionSettings
from services.execution.shell import Shell
from services.execution.subjects import ExecutionKey

_PROJECTS: Final = "registry.*.project.*"
# Those that were created lately are not even looked at: the index finds the others.
_OLD_ENOUGH: Final = """SELECT execution_domain, execution_name FROM execution.executions
    WHERE state = ANY('{0,1}') AND execution_project = $1 AND execution_domain = ANY($2) AND created_at < $3
    AND updated_at < $3 AND phase = ANY('{SUCCEEDED,FAILED,ABORTED,TIMED_OUT}') ORDER BY created_at LIMIT $4"""
_SOON_SECONDS: Final = 5.0
_BEGINNING: Final = datetime.fromtimestamp(0, UTC)
"""Nothing is older: who keeps for longer than since then keeps all."""
_log = structlog.get_logger(__name__)
_failed = Counter("flightlog_expired_unreadable_total", "Executions that were to be deleted and could not be read")
_expired = Counter("flightlog_executions_expired_total", "Executions deleted because they were kept long enough")


class Retention:
    """Deletes what is old enough."""

    LOCK: Final = (0x466C6944, crc32(b"retention") - 2**31)  # "FliD"
    """The advisory lock of Postgres that the one who looks holds."""

    def __init__(
        self,
        log: Log,
        database: Database,
        shell: Shell,
        lookup: Lookup,
        settings: RetentionSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._database = database
        self._shell = shell
        self._lookup = lookup
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Look, now and then, until cancelled."""
        while True:
            more = False
            try:
                more = await self.look()
            except LogError as error:
                _log.warning("retention.interrupted", reason=str(error))
            except Exception as error:
                if not is_unavailable(error):
                    raise
                _log.warning("retention.interrupted", reason=str(error))
            pause = self._settings.pause.total_seconds()
            await asyncio.sleep(min(pause, _SOON_SECONDS) if more else pause)

    async def look(self) -> bool:
        """Delete what is old enough, up to a limit for each project; whether there may be more.

        False too where another process looks at this moment.
        """
        async with self._database.dedicated("flightlog retention", on_loss=lambda: None) as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *self.LOCK):
                return False
            counts = [await self._look_at(project) for project in await self._projects()]
        return any(count >= self._settings.at_once for count in counts)

    async def _projects(self) -> list[str]:
        return [Subject.parse(one).parts[1] for one in await self._log.subjects(subjects.REGISTRY, _PROJECTS)]

    async def _look_at(self, project: str) -> int:
        """How many of a project are deleted now."""
        kept_for, now = await self._kept_for(project), self._clock()
        if kept_for is None or kept_for >= now - _BEGINNING:
            return 0
        before = now - kept_for
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(
                _OLD_ENOUGH, project, list(self._lookup.domains), before, self._settings.at_once
            )
        keys = [(project, row["execution_domain"], row["execution_name"]) for row in rows]
        count = sum([await self._delete(key, kept_for) for key in keys])
        if count:
            _log.info("retention.deleted", project=project, executions=count)
        return count

    async def _kept_for(self, project: str) -> timedelta | None:
        labels = await self._lookup.labels(project)
        try:
            return retention_of(labels, self._settings.default)
        except InvalidArgument as error:
            # Set before labels were checked for it: whoever set it meant that something be kept.
            _log.error("retention.unclear", project=project, reason=str(error))
            return None

    async def _delete(self, key: ExecutionKey, kept_for: timedelta) -> bool:
        """Whether it is deleted now."""
        command = DeleteExecution(f"kept for {kept_for} after its end", "")
        try:
            await self._shell.dispatch(key, command, Cause.service("execution"))
        except Refused as refused:
            # Somebody deleted it meanwhile, and the tables do not say so yet.
            _log.info("retention.needless", execution="/".join(key), reason=refused.reason.name)
            return True
        except LogUnavailable:
            raise
        except (LogError, BrokenHistory) as error:
            # The others must not stay because of one that cannot be read.
            _failed.inc()
            _log.error("retention.unreadable", execution="/".join(key), reason=str(error))
            return False
        _expired.inc()
        return True
