"""What a method knows of its caller."""

import pytest

from flightlog_rpc import CallContext
from flightlog_rpc.context import peer_address

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5000", "127.0.0.1:5000"),
        ("ipv6:%5B::1%5D:5000", "[::1]:5000"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
        ("", ""),
    ],
)
def test_peer_is_written_as_people_write_addresses(peer: str, address: str) -> None:
    assert peer_address(peer) == address


def test_the_cause_of_a_call_names_client_address_and_trace() -> None:
    context = CallContext.of([("user-agent", "grpc-python/1.85"), ("traceparent", TRACE)], "ipv4:10.0.0.7:1234")
    cause = context.cause()
    assert cause.actor.client == "grpc-python/1.85"
    assert cause.actor.address == "10.0.0.7:1234"
    assert not cause.actor.verified
    assert cause.traceparent == TRACE


def test_two_calls_have_two_correlation_ids() -> None:
    context = CallContext.of([], "ipv4:10.0.0.7:1234")
    assert context.cause().correlation_id != context.cause().correlation_id


def test_a_forwarded_call_keeps_the_first_client_and_shows_the_way_it_came() -> None:
    context = CallContext.of(
        [
            ("user-agent", "grpc-python-asyncio/1.85"),
            ("flightlog-forwarded-user-agent", "flytectl"),
            ("x-forwarded-for", "192.0.2.1:9"),
        ],
        "ipv4:127.0.0.1:5000",
    )
    assert context.user_agent == "flytectl"
    assert context.peer == "192.0.2.1:9, 127.0.0.1:5000"


def test_metadata_values_are_read_as_text() -> None:
    context = CallContext.of([("flightlog-as-of", "17"), ("x-bin", b"\xff")], "")
    assert context.value("flightlog-as-of") == "17"
    assert context.value("x-bin") == "�"
    assert context.value("absent") == ""
