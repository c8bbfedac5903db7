"""An event as clients get it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from google.protobuf.json_format import MessageToJson, SerializeToJsonError
from google.protobuf.message import Message

from flightlog_log import Recorded, Subject, Undecodable, Unreadable, parse_envelope
from flightlog_protos.history.v1.events_pb2 import Event, Fact
from flightlog_protos.log.v1.envelope_pb2 import Envelope


def event_of(stream: str, entry: Recorded | Unreadable, *, json: bool) -> Event:
    """What happened, with all that is known about it. `json`: facts as ProtoJSON too."""
    if isinstance(entry, Recorded):
        event = _told(stream, entry.subject, entry.sequence, entry.envelope, entry.head.hash)
        event.erased = entry.erased
        event.facts.extend(_fact(fact, json=json) for fact in entry.facts)
        return event
    try:
        envelope = parse_envelope(entry.message)
    except Undecodable:
        envelope = Envelope()
    event = _told(stream, entry.subject, entry.sequence, envelope, sha256(entry.message).digest())
    event.unreadable = entry.reason
    return event


def _told(stream: str, subject: str, sequence: int, envelope: Envelope, own_hash: bytes) -> Event:
    present: dict[str, Any] = {
        name: getattr(envelope, name) for name in ("occurred_at", "recorded_at", "actor") if envelope.HasField(name)
    }
    return Event(
        stream=stream,
        sequence=sequence,
        subject=subject,
        parts=_parts(subject),
        event_id=envelope.event_id,
        position=envelope.position,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        traceparent=envelope.traceparent,
        hash=own_hash,
        previous_hash=envelope.previous_hash,
        **present,
    )


def _parts(subject: str) -> tuple[str, ...]:
    try:
        return Subject.parse(subject).parts
    except ValueError:
        return ()


def _fact(fact: Message, *, json: bool) -> Fact:
    told = Fact(type=fact.DESCRIPTOR.name)
    told.message.Pack(fact)
    if json:
        try:
            told.json = MessageToJson(fact, indent=None, ensure_ascii=False)
        except (SerializeToJsonError, TypeError, ValueError):
            # Data of a user that JSON cannot have: an infinite number in a Struct, an Any of an unknown type.
            told.json = ""
    return told
