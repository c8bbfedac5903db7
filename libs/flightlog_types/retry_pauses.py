"""Pauses between the attempts of a task, as the task asks for them in its annotations.

Flyte's protocol has a number of retries and nothing on when they happen. `@task(annotations={BASE: "30s"})` says it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flyteidl.core.tasks_pb2 import TaskMetadata

from flightlog_types.durations import MAX_LENGTH, parse_duration

BASE: Final = "flightlog/retry-backoff"
"""Annotation with the pause before the first retry; it doubles with every further one."""

MOST: Final = "flightlog/retry-backoff-max"
"""Annotation with the longest pause."""

LONGEST: Final = timedelta(days=7)
"""No pause may be longer."""


class BadPause(ValueError):
    """An annotation that is no duration, or a longer one than LONGEST. `annotation` is its key."""

    def __init__(self, annotation: str, value: str) -> None:
        super().__init__(f"[{value}] is no duration up to {LONGEST.days} days, such as 500ms, 30s or 1h30m")
        self.annotation = annotation


@dataclass(frozen=True, slots=True)
class RetryPauses:
    """What a task asks for. None: what the server has configured holds."""

    base: timedelta | None
    most: timedelta | None


def retry_pauses(metadata: TaskMetadata) -> RetryPauses:
    """Reads a task's annotations. Raises BadPause."""
    annotations = metadata.metadata.annotations
    return RetryPauses(*(_duration(key, annotations[key]) if key in annotations else None for key in (BASE, MOST)))


def _duration(key: str, text: str) -> timedelta:
    pause = parse_duration(text, LONGEST)
    if pause is None:
        raise BadPause(key, text[:MAX_LENGTH])
    return pause
