"""The calls about schedules."""

from __future__ import annotations

from itertools import islice
from typing import Final

from flightlog_protos.scheduler.v1.schedule_service_pb2 import (
    GetScheduleRequest,
    GetScheduleResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    PauseScheduleRequest,
    PauseScheduleResponse,
    ResumeScheduleRequest,
    ResumeScheduleResponse,
    ScheduleName,
)
from flightlog_read import parse_page
from flightlog_rpc import CallContext, failed_precondition, missing, not_found
from services.scheduler.schedules.api import shown
from services.scheduler.schedules.commands import Command, Pause, Refused, Resume
from services.scheduler.schedules.position import Position, ScheduleKey, fold
from services.scheduler.schedules.projection.queries import Queries
from services.scheduler.schedules.reactions import Reactions
from services.scheduler.schedules.schedule import next_ticks
from services.scheduler.schedules.shell import Shell

LISTED: Final = 100
MOST: Final = 1000
"""Of what one answer holds."""


class Schedules:
    """Looking at schedules, pausing and resuming them.

    A launch plan that was activated just now has its schedule in the next call about it: what the registry decided and
    the consumer has not taken in yet is taken in first.
    """

    def __init__(self, shell: Shell, reactions: Reactions, queries: Queries) -> None:
        self._shell = shell
        self._reactions = reactions
        self._queries = queries

    async def list(self, request: ListSchedulesRequest, call: CallContext) -> ListSchedulesResponse:
        """ListSchedules: in the order of their names, those of deactivated launch plans too."""
        page = parse_page(min(request.limit or LISTED, MOST), request.token, "ListSchedules")
        await self._reactions.caught_up()
        found = await self._queries.schedules(request.project, request.domain, page)
        return ListSchedulesResponse(
            schedules=[shown.schedule(key, fold([stands])) for key, stands in found], token=page.next_token(len(found))
        )

    async def get(self, request: GetScheduleRequest, call: CallContext) -> GetScheduleResponse:
        """GetSchedule."""
        key = _key(request.name)
        position = await self._position(key)
        upcoming = () if position.paused else islice(next_ticks(position), min(request.next, MOST))
        past = await self._queries.past_ticks(key, min(request.past, MOST)) if request.past else []
        return GetScheduleResponse(
            schedule=shown.schedule(key, position), next=[shown.stamp(due) for due in upcoming], past=past
        )

    async def pause(self, request: PauseScheduleRequest, call: CallContext) -> PauseScheduleResponse:
        """PauseSchedule: ticks pass without executions."""
        key = _key(request.name)
        shown.require_reason(request.reason)
        return PauseScheduleResponse(schedule=shown.schedule(key, await self._tell(key, Pause(request.reason), call)))

    async def resume(self, request: ResumeScheduleRequest, call: CallContext) -> ResumeScheduleResponse:
        """ResumeSchedule: from now on."""
        key = _key(request.name)
        return ResumeScheduleResponse(schedule=shown.schedule(key, await self._tell(key, Resume(), call)))

    async def _tell(self, key: ScheduleKey, command: Command, call: CallContext) -> Position:
        await self._position(key)
        try:
            await self._shell.tell(key, command, call.cause())
        except Refused as refused:
            raise failed_precondition(str(refused)) from None
        return await self._position(key)

    async def _position(self, key: ScheduleKey) -> Position:
        await self._reactions.follow(key)
        position = await self._shell.position(key)
        if position is None:
            raise not_found(f"launch plan {key.name} of {key.project}/{key.domain} has no schedule")
        return position


def _key(name: ScheduleName) -> ScheduleKey:
    for part in ("project", "domain", "name"):
        if not getattr(name, part):
            raise missing(f"name.{part}")
    return ScheduleKey(name.project, name.domain, name.name)
