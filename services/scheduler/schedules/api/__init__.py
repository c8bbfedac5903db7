"""ScheduleService."""

from __future__ import annotations

from collections.abc import Mapping

from flightlog_rpc import Implementation
from services.scheduler.schedules.api.backfills import Backfills
from services.scheduler.schedules.api.schedules import Schedules

_SERVICE = "/flightlog.scheduler.v1.ScheduleService/"


def methods(schedules: Schedules, backfills: Backfills) -> Mapping[str, Implementation]:
    """Full method name -> what answers it."""
    return {
        f"{_SERVICE}ListSchedules": schedules.list,
        f"{_SERVICE}GetSchedule": schedules.get,
        f"{_SERVICE}PauseSchedule": schedules.pause,
        f"{_SERVICE}ResumeSchedule": schedules.resume,
        f"{_SERVICE}CreateBackfill": backfills.create,
        f"{_SERVICE}ListBackfills": backfills.list,
        f"{_SERVICE}GetBackfill": backfills.get,
        f"{_SERVICE}CancelBackfill": backfills.cancel,
    }
