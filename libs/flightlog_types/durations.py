"""Durations as people write them into annotations."""

import re
from datetime import timedelta
from typing import Final

_SHAPE: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+|0")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_LENGTH: Final = 32


def parse_duration(text: str, longest: timedelta) -> timedelta | None:
    """`500ms`, `30s`, `1h30m`; None for what is none, or is a longer one than `longest`."""
    if len(text) > MAX_LENGTH or not _SHAPE.fullmatch(text):
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return timedelta(seconds=seconds) if seconds <= longest.total_seconds() else None
