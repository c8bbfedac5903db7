"""Schedules and backfills as clients see them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.scheduler.v1.schedule_service_pb2 import Backfill, Schedule, ScheduleName
from flightlog_rpc import invalid
from services.scheduler.schedules.backfill import Progress
from services.scheduler.schedules.position import Position, ScheduleKey
from services.scheduler.schedules.schedule import next_ticks
from services.scheduler.schedules.ticks import expression_of
from services.scheduler.subjects import BackfillKey

LONGEST_REASON: Final = 1000


def schedule(key: ScheduleKey, position: Position) -> Schedule:
    """One schedule with its next tick. What is paused has none to come."""
    shown = Schedule(
        name=ScheduleName(project=key.project, domain=key.domain, name=key.name),
        paused=position.paused,
        pause_reason=position.pause_reason,
        last_execution=position.last_execution,
        running=[key.execution(tick) for tick in position.running],
        waiting=[stamp(tick.due) for tick in position.waiting],
        refused=position.refused,
    )
    span = position.active
    if span is not None:
        shown.version = span.launch_plan.version
        shown.expression = expression_of(span).text
        shown.policy.CopyFrom(span.policy)
        shown.active = True
        due = None if position.paused else next(next_ticks(position), None)
        if due is not None:
            shown.next_due.FromDatetime(due)
    if position.last_due is not None:
        shown.last_due.FromDatetime(position.last_due)
    return shown


def backfill(key: BackfillKey, progress: Progress) -> Backfill:
    """One backfill with how far it is."""
    asked = progress.request
    shown = Backfill(
        id=key.id,
        project=key.project,
        domain=key.domain,
        launch_plan=asked.launch_plan,
        to=asked.to,
        reverse=asked.reverse,
        parallelism=asked.parallelism,
        overwrite=asked.overwrite,
        stop_on_failure=asked.stop_on_failure,
        state=_state(progress),
        total=asked.total,
        succeeded=progress.succeeded,
        failed=progress.failed,
        skipped=progress.skipped,
        running=len(progress.running),
        created_at=asked.occurred_at,
        cancel_reason=progress.cancel_reason,
    )
    getattr(shown, "from").CopyFrom(getattr(asked, "from"))
    return shown


def _state(progress: Progress) -> str:
    broken_off = progress.cancelled or progress.stopped
    if not progress.finished:
        return "stopping" if broken_off else "running"
    if progress.cancelled:
        return "cancelled"
    return "stopped" if progress.stopped else "finished"


def require_reason(text: str) -> None:
    """A reason is carried along by every later envelope.

    Raises:
        RpcError: INVALID_ARGUMENT when it is too long.
    """
    if len(text) > LONGEST_REASON:
        raise invalid(f"a reason has at most {LONGEST_REASON} characters")


def stamp(moment: datetime) -> Timestamp:
    """A moment as protobuf has it."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message
