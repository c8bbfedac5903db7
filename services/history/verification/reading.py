"""From stored bytes to what the check takes: an envelope's place in its chain, and what is wrong with it by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing, BlobStore, BlobTooLarge
from flightlog_log import LogUnavailable, Raw, Undecodable
from flightlog_log.envelopes import parse_envelope, unpack, unpack_list
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope, OffloadedFacts, Parked
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveriesForgotten
from services.history.verification.chains import Link
from services.history.verification.findings import ALTERED, PAYLOAD, UNREADABLE
from services.history.verification.stream import Fault, Message

if TYPE_CHECKING:
    from flightlog_archive.segments import Archived

PARKED = "PARKED"
"""The stream whose messages are no envelopes, and are removed when they are dealt with."""

_CLOSING = frozenset(
    f"type.googleapis.com/{fact.DESCRIPTOR.full_name}" for fact in (ExecutionDeleted, DeliveriesForgotten)
)


async def stored(blobs: BlobStore, stream: str, raws: Sequence[Raw]) -> list[Message]:
    """What the log has. Payloads are looked at; waits for nothing: raises `LogUnavailable` when they cannot be."""
    messages: list[Message] = []
    offloaded: dict[int, OffloadedFacts] = {}
    for index, raw in enumerate(raws):
        message, envelope = read(stream, raw.subject, raw.sequence, raw.data)
        messages.append(message)
        if envelope is not None and envelope.HasField("offloaded"):
            offloaded[index] = envelope.offloaded
    faults = await asyncio.gather(*(_payload(blobs, facts) for facts in offloaded.values()))
    for index, fault in zip(offloaded, faults, strict=True):
        if fault is not None:
            messages[index] = _with(messages[index], fault)
    return messages


def archived(stream: str, row: Archived) -> Message:
    """What the archive has. What was erased is known by its place in its chain and its hash alone."""
    if row.data is None:
        link = Link(row.subject, row.sequence, "", row.position or 0, row.previous_hash, row.hash)
        return Message(row.sequence, row.subject, row.hash, link, erased=True)
    message, envelope = read(stream, row.subject, row.sequence, row.data)
    if envelope is None or not envelope.HasField("offloaded"):
        return message
    if row.payload is None or sha256(row.payload).digest() != envelope.offloaded.sha256:
        text = "the archive does not have its facts" if row.payload is None else "the archive has other facts than its"
        return _with(message, Fault(PAYLOAD, text, envelope.offloaded.uri))
    return message


def read(stream: str, subject: str, sequence: int, data: bytes) -> tuple[Message, Envelope | None]:
    """What the bytes of a message say, and its envelope if they are one. Payloads are not looked at."""
    digest = sha256(data).digest()
    if stream == PARKED:
        return Message(sequence, subject, digest, None, _parked(subject, data)), None
    try:
        envelope = parse_envelope(data)
    except Undecodable as error:
        return Message(sequence, subject, digest, None, (Fault(UNREADABLE, str(error)),)), None
    closes = any(fact.type_url in _CLOSING for fact in envelope.facts)
    link = Link(subject, sequence, envelope.subject, envelope.position, envelope.previous_hash, digest, closes=closes)
    faults: tuple[Fault, ...] = ()
    try:
        facts = unpack(envelope.facts)
        if not facts and not envelope.HasField("offloaded"):
            faults = (Fault(UNREADABLE, "it has no facts"),)
    except Undecodable as error:
        faults = (Fault(UNREADABLE, str(error)),)
    return Message(sequence, subject, digest, link, faults), envelope


def _parked(subject: str, data: bytes) -> tuple[Fault, ...]:
    if not subject.startswith("parked."):
        return ()
    try:
        return () if Parked.FromString(data).stream else (Fault(UNREADABLE, "the entry is empty"),)
    except DecodeError as error:
        return (Fault(UNREADABLE, f"not a parked message: {error}"),)


async def _payload(blobs: BlobStore, facts: OffloadedFacts) -> Fault | None:
    try:
        data = await blobs.verified(DataRef(uri=facts.uri, sha256=facts.sha256, size_bytes=facts.size_bytes))
    except BlobMissing:
        return Fault(PAYLOAD, "its facts are not in the object store", facts.uri)
    except (BlobCorrupt, BlobTooLarge):
        return Fault(PAYLOAD, "its facts in the object store are not what was put there", facts.uri)
    except BlobError as error:
        raise LogUnavailable(f"{facts.uri}: {error}") from error
    try:
        count = len(unpack_list(data))
    except Undecodable as error:
        return Fault(UNREADABLE, str(error), facts.uri)
    return None if count == facts.count else Fault(ALTERED, f"it has {count} facts, not {facts.count}", facts.uri)


def _with(message: Message, fault: Fault) -> Message:
    return Message(message.sequence, message.subject, message.hash, message.link, (*message.faults, fault))
