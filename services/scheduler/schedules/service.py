"""Schedules and backfills as a whole: their consumers, tables and calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_rpc import Implementation
from services.scheduler.schedules.api import methods
from services.scheduler.schedules.api.backfills import Backfills
from services.scheduler.schedules.api.schedules import Schedules as ScheduleCalls
from services.scheduler.schedules.commands import Limits
from services.scheduler.schedules.launch_plans import LaunchPlans
from services.scheduler.schedules.projection.apply import SchedulesProjection
from services.scheduler.schedules.projection.queries import Queries
from services.scheduler.schedules.reactions import Reactions
from services.scheduler.schedules.settings import ScheduleSettings
from services.scheduler.schedules.shell import Shell


class Schedules:
    """What `python -m services.scheduler` runs of schedules. `clock` says what time it is."""

    def __init__(
        self,
        log: Log,
        database: Database,
        settings: ScheduleSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        limits = Limits(
            missed_after=settings.missed_after,
            fired_at_once=settings.fired_at_once,
            considered_at_once=settings.considered_at_once,
            waiting=settings.waiting,
        )
        launch_plans = LaunchPlans(log)
        self.shell = Shell(log, limits, clock)
        self.reactions = Reactions(log, self.shell, launch_plans, settings.policy, settings.max_in_flight)
        self.projector = Projector(database, log, SchedulesProjection())
        queries = Queries(log, database, self.projector)
        self._schedules = ScheduleCalls(self.shell, self.reactions, queries)
        self._backfills = Backfills(
            self.shell, self.reactions, launch_plans, queries, settings.policy, settings.backfill_ticks
        )

    async def run(self) -> None:
        """Keep schedules and backfills going, and the tables, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.projector.run())
            group.create_task(self.reactions.run())

    def methods(self) -> Mapping[str, Implementation]:
        """ScheduleService."""
        return methods(self._schedules, self._backfills)
