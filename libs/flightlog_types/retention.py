"""How long executions of a project are kept after their end: a label of the project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from flightlog_types.invalid import InvalidArgument

RETENTION_LABEL: Final = "flightlog.retention"
FOR_EVER: Final = "forever"
_SHAPE: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def retention_of(labels: Mapping[str, str], default: timedelta | None) -> timedelta | None:
    """How long, by a project's labels: `30d`, `12h`; None: for ever, which `forever` says too.

    Raises:
        InvalidArgument: the label says neither.
    """
    text = labels.get(RETENTION_LABEL)
    if text is None:
        return default
    if text == FOR_EVER:
        return None
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise InvalidArgument(
            f"invalid label {RETENTION_LABEL}: [{text}] is neither a number of seconds, minutes, hours or days, "
            f"as in 12h or 30d, nor {FOR_EVER}"
        )
    return int(found[1]) * _UNITS[found[2]]
