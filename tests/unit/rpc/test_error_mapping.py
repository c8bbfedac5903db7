"""What clients see of an error: code, a message that fits the trailers, typed details."""

import asyncpg
import grpc
import pytest
from flyteidl.admin.event_pb2 import EventFailureReason
from google.protobuf.any_pb2 import Any
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing
from flightlog_log import Conflict, LogUnavailable
from flightlog_read import InvalidQuery, StaleRead
from flightlog_rpc import RpcError, failed_precondition, invalid, missing, missing_entity
from flightlog_rpc.errors import (
    DETAILS_KEY,
    MAX_DETAILS_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_BYTES_WITH_DETAILS,
    cut,
    encoded_length,
    to_wire,
    translate,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (invalid("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (InvalidQuery("invalid value for limit"), grpc.StatusCode.INVALID_ARGUMENT),
        (StaleRead("late"), grpc.StatusCode.UNAVAILABLE),
        (LogUnavailable("down"), grpc.StatusCode.UNAVAILABLE),
        (BlobError("down"), grpc.StatusCode.UNAVAILABLE),
        (Conflict("execution.00.p.d.n", 3), grpc.StatusCode.ABORTED),
        (TimeoutError(), grpc.StatusCode.UNAVAILABLE),
        (ConnectionRefusedError(), grpc.StatusCode.UNAVAILABLE),
        (FileNotFoundError("/run/.s.PGSQL.5432"), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.CannotConnectNowError("starting"), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.ConnectionDoesNotExistError("gone"), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.CharacterNotInRepertoireError("0x00"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_planned_error_has_its_code(error: Exception, code: grpc.StatusCode) -> None:
    translated = translate(error)
    assert translated is not None
    assert translated.code is code


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), asyncpg.UndefinedColumnError("x"), BlobMissing("x"), BlobCorrupt("x")]
)
def test_an_unplanned_error_has_none(error: Exception) -> None:
    assert translate(error) is None


class Claims(Exception):
    def __init__(self, grpc_code: object) -> None:
        super().__init__("text")
        self.grpc_code = grpc_code


@pytest.mark.parametrize("code", ["UNKNOWN", "OK", "nonsense", 3, None])
def test_no_exception_can_ask_for_unknown_or_nonsense(code: object) -> None:
    assert translate(Claims(code)) is None


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.OK])
def test_unknown_and_ok_never_reach_the_wire_as_a_refusal(code: grpc.StatusCode) -> None:
    assert to_wire(RpcError(code, "x")).code is grpc.StatusCode.INTERNAL


def test_words_for_missing_things_are_flytes() -> None:
    assert missing("typed interface").message == "missing typed interface"
    assert missing_entity("TASK", 'project:"p"').message == 'missing entity of type TASK with identifier project:"p"'


def test_details_travel_as_a_status_with_the_same_code_and_message() -> None:
    reason = EventFailureReason()
    reason.already_in_terminal_state.current_phase = "SUCCEEDED"
    wire = to_wire(failed_precondition("already finished", reason))
    ((key, value),) = wire.trailers
    assert key == DETAILS_KEY
    assert isinstance(value, bytes)
    status = Status.FromString(value)
    assert (status.code, status.message) == (9, "already finished")
    unpacked = EventFailureReason()
    assert status.details[0].Unpack(unpacked)
    assert unpacked == reason


def test_details_too_large_for_the_trailers_are_left_out() -> None:
    wire = to_wire(invalid("x", Any(value=b"x" * MAX_DETAILS_BYTES)))
    assert wire.trailers == ()


def test_a_long_message_is_cut_further_when_details_repeat_it() -> None:
    text = "x" * 100_000
    assert encoded_length(to_wire(invalid(text)).message) <= MAX_MESSAGE_BYTES
    assert encoded_length(to_wire(invalid(text, Any())).message) <= MAX_MESSAGE_BYTES_WITH_DETAILS


@given(st.text(max_size=300), st.integers(min_value=20, max_value=400))
def test_a_cut_message_fits_and_begins_like_the_whole(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert encoded_length(short) <= limit
    assert short == text.encode("utf-8", "replace").decode() or text.startswith(short.removesuffix(" [cut]"))


@given(st.text(alphabet="a\n%é\U0001f600", max_size=200))
def test_a_message_that_fits_is_left_alone(text: str) -> None:
    assert cut(text, encoded_length(text)) == text
