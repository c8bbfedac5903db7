"""Moments in the metadata of calls."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_rpc import METHODS, SERVED, CallContext, RpcError, as_of
from flightlog_rpc.moments import moment_of

GET = "/flyteidl.service.AdminService/GetExecution"


def call(*metadata: tuple[str, str]) -> CallContext:
    return CallContext.of(metadata, "ipv4:127.0.0.1:1")


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("2026-01-31T12:00:00Z", 1769860800, 0),
        ("2026-01-31t12:00:00z", 1769860800, 0),
        ("2026-01-31T14:30:00+02:30", 1769860800, 0),
        ("2026-01-31T10:00:00.5-02:00", 1769860800, 500_000_000),
        ("2026-01-31T12:00:00.123456789Z", 1769860800, 123456789),
        ("1969-12-31T23:59:59.25Z", -1, 250_000_000),
    ],
)
def test_times_have_a_zone_and_up_to_nine_digits(text: str, seconds: int, nanos: int) -> None:
    moment = moment_of(text)
    assert moment is not None
    assert moment.time == Timestamp(seconds=seconds, nanos=nanos)


@pytest.mark.parametrize("text", ["0", "1", "42", "0042", str(2**63 - 1)])
def test_digits_alone_are_a_sequence(text: str) -> None:
    moment = moment_of(text)
    assert moment is not None
    assert (moment.time, moment.sequence) == (None, int(text))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "now", "-1", "+1", "1.5", "0x10", "4 2", "٤٢", "9" * 20),
        *("2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-02-30T12:00:00Z", "2026-01-31T25:00:00Z"),
        *("2026-01-31T12:00:00.Z", "2026-01-31T12:00:00.1234567891Z", "2026-01-31T12:00Z", "0000-01-01T00:00:00Z"),
        *("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2026-01-31T12:00:00Z\n"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    assert moment_of(text) is None
    with pytest.raises(RpcError) as refused:
        as_of.asked(GET, call((as_of.METADATA, text)))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.message.startswith(f"invalid value for flightlog-as-of: {text!r} is neither a time")


def test_a_call_without_the_metadata_asks_about_now() -> None:
    for method in METHODS:
        assert as_of.asked(method, call(("user-agent", "x"))) is None


def test_every_read_of_the_surface_is_answered_as_of_a_moment_and_nothing_else_is() -> None:
    assert set(METHODS) >= as_of.ANSWERED
    services = ("AdminService", "DataProxyService", "SignalService")
    served = [method for method in SERVED if method.split("/")[1].rpartition(".")[2] in services]
    reading = ("Get", "List", "CreateDownload")
    reads = {method for method in served if method.rpartition("/")[2].startswith(reading)}
    # This one makes what it does not find.
    reads.remove("/flyteidl.service.SignalService/GetOrCreateSignal")
    assert reads == as_of.ANSWERED
    for method in set(METHODS) - as_of.ANSWERED:
        with pytest.raises(RpcError) as refused:
            as_of.asked(method, call((as_of.METADATA, "1")))
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert method.rpartition("/")[2] in refused.value.message
