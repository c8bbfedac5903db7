"""Durations as people write them into annotations, and as messages tell them."""

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


def go_duration(duration: timedelta) -> str:
    """A duration as Flyte's messages print it: `8s`, `1m30s`, `1h0m0s`, `500ms`, `1.5s`."""
    micros = duration // timedelta(microseconds=1)
    if micros == 0:
        return "0s"
    if micros < 1000:
        return f"{micros}µs"
    if micros < 1_000_000:
        return f"{_decimal(micros, 3)}ms"
    minutes, micros = divmod(micros, 60_000_000)
    seconds = f"{_decimal(micros, 6)}s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _decimal(value: int, digits: int) -> str:
    whole, fraction = divmod(value, 10**digits)
    tail = f"{fraction:0{digits}}".rstrip("0")
    return f"{whole}.{tail}" if tail else str(whole)
