"""Primitive values as texts: the vectors are what Go prints and reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flyteidl.core import literals_pb2, types_pb2
from flyteidl.core.literals_pb2 import Primitive
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.k8s_launcher.copying.texts import primitive_of, primitive_text

_TYPES = {
    "integer": types_pb2.INTEGER,
    "float_value": types_pb2.FLOAT,
    "string_value": types_pb2.STRING,
    "boolean": types_pb2.BOOLEAN,
    "datetime": types_pb2.DATETIME,
    "duration": types_pb2.DURATION,
}
_NANOS = 1_000_000_000


def _moment(seconds: int, nanos: int = 0) -> Primitive:
    return Primitive(datetime=Timestamp(seconds=seconds, nanos=nanos))


def _duration(nanos: int) -> Primitive:
    sign = -1 if nanos < 0 else 1
    seconds, rest = divmod(abs(nanos), _NANOS)
    return Primitive(duration=Duration(seconds=sign * seconds, nanos=sign * rest))


@pytest.mark.parametrize(
    ("primitive", "text"),
    [
        (Primitive(integer=-7), "-7"),
        (Primitive(float_value=1.0), "1"),
        (Primitive(float_value=0.1), "0.1"),
        (Primitive(float_value=-2.5e-9), "-0.0000000025"),
        (Primitive(float_value=1e21), "1000000000000000000000"),
        (Primitive(float_value=float("inf")), "+Inf"),
        (Primitive(float_value=float("-inf")), "-Inf"),
        (Primitive(float_value=float("nan")), "NaN"),
        (Primitive(boolean=True), "true"),
        (Primitive(boolean=False), "false"),
        (Primitive(string_value=" a\nb "), " a\nb "),
        (_moment(0), "1970-01-01T00:00:00Z"),
        (_moment(1_735_689_600, 120_000_000), "2025-01-01T00:00:00.12Z"),
        (_moment(-62_135_596_800), "0001-01-01T00:00:00Z"),
        (_duration(0), "0s"),
        (_duration(1), "1ns"),
        (_duration(1_100), "1.1µs"),
        (_duration(2_200_000), "2.2ms"),
        (_duration(3_300_000_000), "3.3s"),
        (_duration(245 * _NANOS), "4m5s"),
        (_duration(3600 * _NANOS), "1h0m0s"),
        (_duration(-(5 * 3600 + 6 * 60) * _NANOS - 7_001_000_000), "-5h6m7.001s"),
        (Primitive(), "null"),
    ],
)
def test_text_of_a_value(primitive: Primitive, text: str) -> None:
    assert primitive_text(primitive) == text


@given(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(lambda value: Primitive(integer=value)),
        st.floats(allow_nan=False).map(lambda value: Primitive(float_value=value)),
        st.booleans().map(lambda value: Primitive(boolean=value)),
        st.builds(_moment, st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, _NANOS - 1)),
        st.integers(-(10**18), 10**18).map(_duration),
    )
)
def test_a_value_is_read_back(primitive: Primitive) -> None:
    kind = primitive.WhichOneof("value")
    assert kind is not None
    assert primitive_of(_TYPES[kind], primitive_text(primitive)) == primitive


@given(st.timedeltas(timedelta(days=-1000), timedelta(days=1000)), st.datetimes(timezones=st.just(UTC)))
def test_python_forms_are_read(duration: timedelta, moment: datetime) -> None:
    """What flytekit reads when it runs a ContainerTask locally."""
    read = primitive_of(types_pb2.DURATION, str(duration)).duration
    assert timedelta(seconds=read.seconds, microseconds=read.nanos // 1000) == duration
    for text in (moment.isoformat(), str(moment), moment.replace(tzinfo=None).isoformat()):
        assert primitive_of(types_pb2.DATETIME, text).datetime.ToDatetime(UTC) == moment


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (types_pb2.INTEGER, "1.0"),
        (types_pb2.INTEGER, "1_000"),
        (types_pb2.INTEGER, str(2**63)),
        (types_pb2.INTEGER, "٣"),
        (types_pb2.INTEGER, ""),
        (types_pb2.FLOAT, "1_0.0"),
        (types_pb2.FLOAT, "one"),
        (types_pb2.BOOLEAN, "yes"),
        (types_pb2.DATETIME, "2025-13-01T00:00:00Z"),
        (types_pb2.DATETIME, "today"),
        (types_pb2.DURATION, "1 hour"),
        (types_pb2.DURATION, "10"),
        (types_pb2.DURATION, f"{10**9}h" * 1000),
        (types_pb2.STRUCT, "{}"),
    ],
)
def test_what_is_no_such_value_is_told(kind: types_pb2.SimpleType, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        primitive_of(kind, text)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [("1h30m", 5400 * _NANOS), ("300ms", 300_000_000), ("-1.5h", -5400 * _NANOS), ("0", 0), (".5s", _NANOS // 2)],
)
def test_durations_as_go_reads_them(text: str, nanos: int) -> None:
    assert primitive_of(types_pb2.DURATION, text) == _duration(nanos)


def test_a_value_of_the_list_of_types_has_a_reader() -> None:
    assert {field.name for field in literals_pb2.Primitive.DESCRIPTOR.fields} == set(_TYPES)
