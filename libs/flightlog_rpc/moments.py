"""Moments of the past, as people and clients write them."""

import re
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

_SEQUENCE = re.compile(r"[0-9]{1,19}")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a call asks about: a time or a sequence, and how that was written."""

    text: str
    time: Timestamp | None = None
    sequence: int = 0


def moment_of(text: str) -> Moment | None:
    """A moment as it is written; None when the text is none.

    >>> moment_of("42").sequence
    42
    """
    if _SEQUENCE.fullmatch(text):
        return Moment(text, sequence=int(text))
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    stamp = Timestamp()
    try:
        stamp.FromDatetime(datetime.fromisoformat(f"{day}T{clock}{zone.upper()}"))
    except (ValueError, OverflowError):
        return None
    # Envelopes are recorded with nanoseconds, which no datetime holds.
    stamp.nanos = int((fraction or "0").ljust(9, "0"))
    return Moment(text, time=stamp)
