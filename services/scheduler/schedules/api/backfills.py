"""The calls about backfills."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final

import grpc
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.scheduler.v1.schedule_service_pb2 import (
    CancelBackfillRequest,
    CancelBackfillResponse,
    CreateBackfillRequest,
    CreateBackfillResponse,
    GetBackfillRequest,
    GetBackfillResponse,
    ListBackfillsRequest,
    ListBackfillsResponse,
)
from flightlog_protos.scheduler.v1.schedules_pb2 import SchedulePolicy
from flightlog_read import parse_page
from flightlog_rpc import (
    CallContext,
    RpcError,
    failed_precondition,
    invalid,
    missing,
    missing_entity,
    not_found,
)
from flightlog_types import prototext, validation
from flightlog_types.schedule_policies import BadPolicy, schedule_policy
from services.scheduler.schedules.api import shown
from services.scheduler.schedules.backfill import Progress, fold
from services.scheduler.schedules.commands import CancelBackfill, CreateBackfill, Refusal, Refused
from services.scheduler.schedules.launch_plans import LaunchPlans
from services.scheduler.schedules.position import ScheduleKey
from services.scheduler.schedules.projection.queries import Queries
from services.scheduler.schedules.reactions import Reactions
from services.scheduler.schedules.shell import Shell
from services.scheduler.subjects import BackfillKey

LISTED: Final = 100
MOST: Final = 1000
"""Of what one answer holds."""

_CODES: Final = {
    Refusal.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.NOT_NOW: grpc.StatusCode.FAILED_PRECONDITION,
    Refusal.EXISTS: grpc.StatusCode.ALREADY_EXISTS,
}


class Backfills:
    """Creating backfills, looking at them, cancelling them.

    Args:
        policy: of launch plans that say nothing about how their schedule is kept.
        most_ticks: that a backfill may have.
    """

    def __init__(
        self,
        shell: Shell,
        reactions: Reactions,
        launch_plans: LaunchPlans,
        queries: Queries,
        policy: SchedulePolicy,
        most_ticks: int,
    ) -> None:
        self._shell = shell
        self._reactions = reactions
        self._launch_plans = launch_plans
        self._queries = queries
        self._policy = policy
        self._most_ticks = most_ticks

    async def create(self, request: CreateBackfillRequest, call: CallContext) -> CreateBackfillResponse:
        """CreateBackfill: it runs by itself from now on."""
        launch_plan = await self._launch_plan(request)
        begin, end = _moment(request, "from"), _moment(request, "to")
        spec = await self._launch_plans.spec(launch_plan)
        if spec is None:
            raise missing_entity("LAUNCH_PLAN", prototext(launch_plan))
        try:
            policy = schedule_policy(spec.annotations.values, self._policy)
        except BadPolicy as error:
            raise invalid(f"launch plan {launch_plan.name}: {error}") from None
        key = BackfillKey(launch_plan.project, launch_plan.domain, request.id or _new_id())
        if request.id:
            validation.require_execution_name(request.id)
        command = CreateBackfill(
            id=key.id,
            launch_plan=launch_plan,
            schedule=spec.entity_metadata.schedule,
            time_zone=policy.time_zone,
            begin=begin,
            end=end,
            since=await self._since(launch_plan),
            reverse=request.reverse,
            parallelism=request.parallelism,
            overwrite=request.overwrite,
            stop_on_failure=request.stop_on_failure,
            most_ticks=self._most_ticks,
        )
        await self._tell(key, command, call)
        return CreateBackfillResponse(backfill=shown.backfill(key, await self._progress(key)))

    async def list(self, request: ListBackfillsRequest, call: CallContext) -> ListBackfillsResponse:
        """ListBackfills: the newest first."""
        page = parse_page(min(request.limit or LISTED, MOST), request.token, "ListBackfills")
        found = await self._queries.backfills(request.project, request.domain, page)
        return ListBackfillsResponse(
            backfills=[shown.backfill(key, progress) for key, stands in found if (progress := fold([stands]))],
            token=page.next_token(len(found)),
        )

    async def get(self, request: GetBackfillRequest, call: CallContext) -> GetBackfillResponse:
        """GetBackfill: how far it is, and a page of its ticks."""
        key = _key(request)
        page = parse_page(min(request.limit or MOST, MOST), request.token, "GetBackfill")
        progress = await self._progress(key)
        ticks = await self._queries.backfilled_ticks(key, page)
        return GetBackfillResponse(
            backfill=shown.backfill(key, progress), ticks=ticks, token=page.next_token(len(ticks))
        )

    async def cancel(self, request: CancelBackfillRequest, call: CallContext) -> CancelBackfillResponse:
        """CancelBackfill: nothing more is asked for; what runs goes on, or is terminated."""
        key = _key(request)
        shown.require_reason(request.reason)
        await self._progress(key)
        await self._tell(key, CancelBackfill(request.reason, request.terminate), call)
        return CancelBackfillResponse(backfill=shown.backfill(key, await self._progress(key)))

    async def _launch_plan(self, request: CreateBackfillRequest) -> Identifier:
        """The version that is meant: the active one unless one is named."""
        asked = request.launch_plan
        for part in ("project", "domain", "name"):
            if not getattr(asked, part):
                raise missing(f"launch_plan.{part}")
        if asked.resource_type not in (0, LAUNCH_PLAN):
            raise invalid("a backfill is of a launch plan")
        if asked.version:
            return _name(asked).version(asked.version)
        active = await self._launch_plans.active(_name(asked))
        if active is None:
            raise failed_precondition(f"no version of launch plan {asked.name} is active: name one")
        return active

    async def _since(self, launch_plan: Identifier) -> datetime | None:
        """When a version became the active one, which it still is: what its fixed rates count from."""
        await self._reactions.follow(_name(launch_plan))
        position = await self._shell.position(_name(launch_plan))
        span = None if position is None else position.active
        return span.since if span is not None and span.launch_plan.version == launch_plan.version else None

    async def _tell(self, key: BackfillKey, command: CreateBackfill | CancelBackfill, call: CallContext) -> None:
        try:
            await self._shell.tell_backfill(key, command, call.cause())
        except Refused as refused:
            raise RpcError(_CODES[refused.reason], str(refused)) from None

    async def _progress(self, key: BackfillKey) -> Progress:
        progress = await self._shell.progress(key)
        if progress is None:
            raise not_found(f"there is no backfill {key.id} in {key.project}/{key.domain}")
        return progress


def _name(launch_plan: Identifier) -> ScheduleKey:
    return ScheduleKey(launch_plan.project, launch_plan.domain, launch_plan.name)


def _key(request: GetBackfillRequest | CancelBackfillRequest) -> BackfillKey:
    for part in ("project", "domain", "id"):
        if not getattr(request, part):
            raise missing(part)
    return BackfillKey(request.project, request.domain, request.id)


def _moment(request: CreateBackfillRequest, field: str) -> datetime:
    if not request.HasField(field):
        raise missing(field)
    stamp: Timestamp = getattr(request, field)
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{field} is no moment: {error}") from None


def _new_id() -> str:
    return f"b{secrets.token_hex(10)[:19]}"
