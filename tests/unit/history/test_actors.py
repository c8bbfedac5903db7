"""Whose an envelope is, read from its bytes, is what decoding it says."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope, Sealed
from services.history.audit.actors import made_by_service

METHODS = st.sampled_from(["service", "none", "", "oidc", "services", "servic"])
ACTORS = st.builds(
    Actor,
    subject=st.sampled_from(["", "ann", "service", "\x12\x07service"]),
    method=METHODS,
    client=st.text(max_size=300),
    address=st.text(max_size=5),
    verified=st.booleans(),
)
ENVELOPES = st.builds(
    Envelope,
    event_id=st.text(max_size=200),
    schema_version=st.integers(0, 300),
    subject=st.sampled_from(["", "x" * 2000, "service", "\x12\x07service"]),
    position=st.integers(0, 2**40),
    occurred_at=st.none() | st.builds(Timestamp, seconds=st.integers(0, 2**33)),
    actor=st.none() | ACTORS,
    correlation_id=st.text(max_size=5),
    facts=st.lists(st.builds(Any, value=st.binary(max_size=20)), max_size=2),
    sealed=st.none() | st.builds(Sealed, project=st.text(max_size=5)),
)


@given(ENVELOPES)
def test_an_envelope_is_a_services_when_its_actor_is(envelope: Envelope) -> None:
    assert made_by_service(envelope.SerializeToString()) is (envelope.actor.method == "service")


@given(st.binary(max_size=100))
def test_bytes_that_are_no_envelope_raise_nothing(data: bytes) -> None:
    made_by_service(data)


@given(ENVELOPES, st.integers(0, 60))
def test_a_cut_envelope_is_nobodys_unless_its_actor_is_there(envelope: Envelope, length: int) -> None:
    if made_by_service(envelope.SerializeToString()[:length]):
        assert envelope.actor.method == "service"
