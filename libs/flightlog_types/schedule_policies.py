"""How a schedule is to be kept, as its launch plan asks for it in its annotations.

Flyte's Schedule says when. What happens after downtime, while an earlier run goes on, in which zone, and how far ticks
are spread is said by `LaunchPlan.get_or_create(…, annotations=Annotations({CATCH_UP: "latest"}))`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from flightlog_protos.scheduler.v1.schedules_pb2 import CatchUp, Overlap, SchedulePolicy
from flightlog_types.durations import parse_duration

CATCH_UP: Final = "flightlog.schedule/catch-up"
"""Annotation: `all`, `latest` or `none` of the ticks that nobody was there for."""

OVERLAP: Final = "flightlog.schedule/overlap"
"""Annotation: `allow`, `skip`, `wait` or `replace` while an earlier run goes on."""

JITTER: Final = "flightlog.schedule/jitter"
"""Annotation: each tick fires up to this much later."""

TIME_ZONE: Final = "flightlog.schedule/time-zone"
"""Annotation: IANA name of the zone that a cron expression is in."""

LONGEST_JITTER: Final = timedelta(days=1)

CATCH_UPS: Final[Mapping[str, CatchUp]] = {
    "all": CatchUp.CATCH_UP_ALL,
    "latest": CatchUp.CATCH_UP_LATEST,
    "none": CatchUp.CATCH_UP_NONE,
}
OVERLAPS: Final[Mapping[str, Overlap]] = {
    "allow": Overlap.OVERLAP_ALLOW,
    "skip": Overlap.OVERLAP_SKIP,
    "wait": Overlap.OVERLAP_WAIT,
    "replace": Overlap.OVERLAP_REPLACE,
}
_MAX_SHOWN: Final = 64


class BadPolicy(ValueError):
    """An annotation that says nothing that can be done. `annotation` is its key."""

    def __init__(self, annotation: str, value: str, expected: str) -> None:
        super().__init__(f"[{value[:_MAX_SHOWN]}] is no value of {annotation}: expected {expected}")
        self.annotation = annotation


def schedule_policy(annotations: Mapping[str, str], default: SchedulePolicy) -> SchedulePolicy:
    """What a launch plan asks for; `default` holds for what it says nothing about.

    Raises:
        BadPolicy: naming the first annotation that cannot be.
    """
    policy = SchedulePolicy()
    policy.CopyFrom(default)
    if CATCH_UP in annotations:
        text = annotations[CATCH_UP]
        if text not in CATCH_UPS:
            raise BadPolicy(CATCH_UP, text, "all, latest or none")
        policy.catch_up = CATCH_UPS[text]
    if OVERLAP in annotations:
        text = annotations[OVERLAP]
        if text not in OVERLAPS:
            raise BadPolicy(OVERLAP, text, "allow, skip, wait or replace")
        policy.overlap = OVERLAPS[text]
    if JITTER in annotations:
        text = annotations[JITTER]
        jitter = parse_duration(text, LONGEST_JITTER)
        if jitter is None:
            raise BadPolicy(JITTER, text, "a duration up to a day, such as 30s or 5m")
        policy.jitter.FromTimedelta(jitter)
    if TIME_ZONE in annotations:
        text = annotations[TIME_ZONE]
        if not is_time_zone(text):
            raise BadPolicy(TIME_ZONE, text, "an IANA name, such as Europe/Berlin")
        policy.time_zone = text
    return policy


def is_time_zone(name: str) -> bool:
    """Whether this names a zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
