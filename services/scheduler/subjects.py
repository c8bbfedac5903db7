"""Where schedules and backfills are on the log, and what they follow."""

from __future__ import annotations

from typing import NamedTuple

from flyteidl.core.identifier_pb2 import Identifier

from flightlog_log import Subject
from services.scheduler.schedules.position import ScheduleKey

SCHEDULER = "SCHEDULER"
REGISTRY = "REGISTRY"
EXECUTION = "EXECUTION"
ADMISSION = "ADMISSION"
ALARM_KIND = "schedule"
"""First part of the alarms' names: they belong to schedules."""

MAX_SUBJECT_BYTES = 2000
"""Longest encoded subject: a NATS protocol line holds 4096 bytes, an index entry of Postgres 2704."""

_SCHEDULE = "schedule"
_BACKFILL = "backfill"


class BackfillKey(NamedTuple):
    """A backfill, by the id it was given."""

    project: str
    domain: str
    id: str


def schedule(key: ScheduleKey) -> Subject | None:
    """The subject of a schedule; None when no launch plan can have this name."""
    return _fitting(SCHEDULER, _SCHEDULE, *key)


def backfill(key: BackfillKey) -> Subject | None:
    """The subject of a backfill; None when none can have this id."""
    return _fitting(SCHEDULER, _BACKFILL, *key)


def key_of(subject: str) -> ScheduleKey | BackfillKey | None:
    """What a subject of the stream SCHEDULER belongs to; None when it is neither."""
    kind, *names = Subject.parse(subject).parts
    if len(names) != 3:
        return None
    if kind == _SCHEDULE:
        return ScheduleKey(*names)
    return BackfillKey(*names) if kind == _BACKFILL else None


def activation(key: ScheduleKey) -> Subject | None:
    """Where the registry says which version of a launch plan name is active."""
    return _fitting(REGISTRY, "launch_plan_state", *key)


def schedule_of_activation(subject: str) -> ScheduleKey | None:
    """The launch plan name whose active version a subject of the stream REGISTRY speaks of, if it does."""
    kind, *names = Subject.parse(subject).parts
    return ScheduleKey(*names) if kind == "launch_plan_state" and len(names) == 3 else None


def version(launch_plan: Identifier) -> Subject | None:
    """Where the registry has a version of a launch plan; None when none can have this name."""
    return _fitting(
        REGISTRY, "launch_plan", launch_plan.project, launch_plan.domain, launch_plan.name, launch_plan.version
    )


def alarm(key: ScheduleKey) -> Subject:
    """The name of the one alarm of a schedule."""
    return Subject.of("ALARM", ALARM_KIND, *key)


def _fitting(stream: str, *parts: str) -> Subject | None:
    if not all(parts) or any("\0" in part for part in parts) or sum(map(len, parts)) > MAX_SUBJECT_BYTES:
        return None
    subject = Subject.of(stream, *parts)
    return subject if len(subject.text) <= MAX_SUBJECT_BYTES else None
