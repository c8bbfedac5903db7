"""Primitive values as texts: what raw containers read from files and write to them (k8s-contract §1.13).

Written are the forms of Flyte's CoPilot. Read are those and, of dates and durations, what Python's `str` and
`isoformat` give, because that is what flytekit reads when it runs such a task locally.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from flyteidl.core import literals_pb2, types_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_SECOND: Final = 1_000_000_000
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_LONGEST_SECONDS: Final = 315_576_000_000
_NUMBER: Final = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_UNIT: Final = r"(?:ns|us|µs|μs|ms|s|m|h)"
_GO_DURATION: Final = re.compile(rf"[+-]?(?:0|(?:{_NUMBER}{_UNIT})+)")
_GO_PART: Final = re.compile(rf"({_NUMBER})({_UNIT})")
_PYTHON_DURATION: Final = re.compile(r"(?:(-?[0-9]+) days?, )?([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?")
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def primitive_text(primitive: literals_pb2.Primitive) -> str:
    """The text of a primitive; `null` for one without a value."""
    match primitive.WhichOneof("value"):
        case "integer":
            return str(primitive.integer)
        case "float_value":
            return _float_text(primitive.float_value)
        case "string_value":
            return primitive.string_value
        case "boolean":
            return "true" if primitive.boolean else "false"
        case "datetime":
            return moment_text(primitive.datetime)
        case "duration":
            return duration_text(primitive.duration)
        case _:
            return "null"


def primitive_of(simple_type: types_pb2.SimpleType, text: str) -> literals_pb2.Primitive:
    """The primitive that a text stands for. Raises `ValueError`."""
    reader = _READERS.get(simple_type)
    if reader is None:
        raise ValueError(f"{types_pb2.SimpleType.Name(simple_type)} has no text form")
    return reader(text)


def nanoseconds(duration: Duration) -> int:
    """A duration in nanoseconds."""
    return duration.seconds * _SECOND + duration.nanos


def moment_text(moment: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits of a second as it has."""
    text = datetime.fromtimestamp(moment.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    year, _, rest = text.partition("-")  # strftime leaves the zeros of early years out
    return f"{year:0>4}-{rest}{_fraction(moment.nanos, 9)}Z"


def duration_text(duration: Duration) -> str:
    """As Go writes it: `1h0m1.5s`, `20ms`, `0s`."""
    total = nanoseconds(duration)
    sign, total = ("-", -total) if total < 0 else ("", total)
    if total == 0:
        return "0s"
    for unit, size, digits in (("ns", 1, 0), ("µs", 1_000, 3), ("ms", 1_000_000, 6)):
        if total < size * 1000:
            return f"{sign}{total // size}{_fraction(total % size, digits)}{unit}"
    minutes, rest = divmod(total, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest // _SECOND}{_fraction(rest % _SECOND, 9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _fraction(value: int, digits: int) -> str:
    return f".{value:0{digits}}".rstrip("0") if value else ""


def _float_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _integer(text: str) -> literals_pb2.Primitive:
    value = int(text) if _INTEGER.fullmatch(text) else None
    if value is None or not -(1 << 63) <= value < 1 << 63:
        raise ValueError("is no integer of 64 bits")
    return literals_pb2.Primitive(integer=value)


def _float(text: str) -> literals_pb2.Primitive:
    if not _FLOAT.fullmatch(text):
        raise ValueError("is no number")
    return literals_pb2.Primitive(float_value=float(text))


def _boolean(text: str) -> literals_pb2.Primitive:
    if text not in _BOOLEANS:
        raise ValueError("is neither true nor false")
    return literals_pb2.Primitive(boolean=_BOOLEANS[text])


def _string(text: str) -> literals_pb2.Primitive:
    return literals_pb2.Primitive(string_value=text)


def _moment(text: str) -> literals_pb2.Primitive:
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError("is no date and time, such as 2025-01-31T12:00:00Z")
    day, time, fraction, zone = found.groups()
    try:
        # Without a zone it is UTC, as in flytekit.
        moment = datetime.fromisoformat(f"{day}T{time}{(zone or 'Z').upper()}")
        since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is no date and time: {error}") from None
    primitive = literals_pb2.Primitive()
    primitive.datetime.seconds = since.days * 86400 + since.seconds
    primitive.datetime.nanos = int(f"{fraction or '':0<9}"[:9])
    return primitive


def _duration(text: str) -> literals_pb2.Primitive:
    if _GO_DURATION.fullmatch(text):
        total = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _GO_PART.findall(text))
        total = -total if text.startswith("-") else total
    elif found := _PYTHON_DURATION.fullmatch(text):
        days, hours, minutes, seconds, fraction = found.groups()
        total = ((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)
        total = total * _SECOND + int(f"{fraction or '':0<9}")
    else:
        raise ValueError("is no duration, such as 1h30m or 300ms")
    if abs(total) > _LONGEST_SECONDS * _SECOND:
        raise ValueError("is longer than a duration may be")
    primitive = literals_pb2.Primitive()
    # Seconds and nanoseconds have the same sign.
    sign, total = (-1, -total) if total < 0 else (1, total)
    primitive.duration.seconds, primitive.duration.nanos = (sign * part for part in divmod(total, _SECOND))
    return primitive


_READERS: Final[Mapping[types_pb2.SimpleType, Callable[[str], literals_pb2.Primitive]]] = {
    types_pb2.INTEGER: _integer,
    types_pb2.FLOAT: _float,
    types_pb2.BOOLEAN: _boolean,
    types_pb2.STRING: _string,
    types_pb2.DATETIME: _moment,
    types_pb2.DURATION: _duration,
}
