"""Whose an envelope is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope
from services.history.audit.actors import made_by_service


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (Actor(subject="execution", method="service"), True),
        (Actor(subject="service", method="none", client="service"), False),
        (Actor(method="services"), False),
        (Actor(), False),
    ],
)
def test_an_envelope_is_a_services_when_its_actor_says_so(actor: Actor, expected: bool) -> None:
    envelope = Envelope(event_id="1", subject="\x12\x07service", actor=actor)
    assert made_by_service(envelope.SerializeToString()) is expected


@given(st.binary(max_size=100))
def test_bytes_that_are_no_envelope_are_no_services(data: bytes) -> None:
    assert not made_by_service(data + b"\xff")
