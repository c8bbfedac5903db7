"""What is kept at hand of an entry: as much as is needed to decide once, however long its history gets."""

from __future__ import annotations

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Head, Recorded
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey, ReservationExtended, ReservationQueued
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from services.catalog.keeping import SERVICE, Kept, by_itself
from services.catalog.requests import Owner

KEY = CacheKey(tag="t")


def recorded(number: int, fact: Message, cause: Cause) -> Recorded:
    envelope = Envelope(actor=cause.actor, causation_id=cause.causation_id)
    return Recorded("catalog.00.x", number, envelope, (fact,), Head(number, number, b""))


def test_heartbeats_leave_nothing_behind_but_the_last_one() -> None:
    kept = Kept()
    for number in range(1, 1001):
        beat = ReservationExtended(key=KEY, owner="a client", expires_at=Timestamp(seconds=number))
        kept = kept.on([recorded(number, beat, Cause.request("somebody", "flytekit", "127.0.0.1:1"))])
    assert kept == Kept(Head(1000, 1000, b""), kept.entry, frozenset())
    assert kept.entry.holder == Owner("a client", Timestamp(seconds=1000))


def test_what_may_come_again_is_remembered() -> None:
    asking = recorded(7, ReservationQueued(key=KEY, waiter=NodeExecutionIdentifier(node_id="n0")), Cause.service("x"))
    asking.envelope.event_id = "the question"
    kept = Kept().on([recorded(1, asking.facts[0], Cause.service(SERVICE, asking))])
    assert kept.causes == {"the question"}
    kept = kept.on([recorded(2, ReservationExtended(key=KEY, owner="o"), by_itself("c", "the alarm"))])
    assert kept.causes == {"the question", "the alarm"}
    assert kept.on([]) is kept
