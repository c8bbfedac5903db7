"""Envelopes: what one append is made of, how its bytes become facts again, and how one is chained to the next."""

from __future__ import annotations

import importlib
import os
import pkgutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import ClassVar
from uuid import UUID

from google.protobuf import symbol_database
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope, FactList

from .errors import BrokenChain, Undecodable

SCHEMA_VERSION = 1
_OURS = "flightlog"
_PROTOS = "flightlog_protos"
_TYPE_PREFIX = "type.googleapis.com/"
_UUID_V7_VARIANT = (7 << 76) | (0b10 << 62)
_UUID_RANDOM_BITS = ~((0xF << 76) | (0b11 << 62))


def new_id() -> str:
    """A UUIDv7: ids made later sort later (to the millisecond)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return str(UUID(int=value & _UUID_RANDOM_BITS | _UUID_V7_VARIANT))


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an append happens: who asked, and which event or command led to it."""

    actor: Actor
    correlation_id: str
    causation_id: str
    traceparent: str = ""

    @staticmethod
    def service(name: str, because: Recorded | None = None) -> Cause:
        """A service acts by itself, because of an event it saw; it inherits that event's correlation and trace."""
        actor = Actor(subject=name, method="service")
        if because is None:
            correlation_id = new_id()
            return Cause(actor, correlation_id, correlation_id)
        envelope = because.envelope
        return Cause(actor, envelope.correlation_id, envelope.event_id, envelope.traceparent)

    @staticmethod
    def request(subject: str, client: str, address: str, traceparent: str = "") -> Cause:
        """Somebody outside asked. Until authentication lands the subject is a claim, so the actor is unverified."""
        correlation_id = new_id()
        actor = Actor(subject=subject, method="none", client=client, address=address)
        return Cause(actor, correlation_id, correlation_id, traceparent)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a subject: what an append must follow."""

    EMPTY: ClassVar[Head]

    sequence: int
    """Stream sequence of the subject's last message; 0 when there is none."""
    position: int
    """Number of envelopes on the subject."""
    hash: bytes
    """SHA-256 of the last envelope's bytes."""


Head.EMPTY = Head(0, 0, b"")


@dataclass(slots=True)
class Recorded:
    """An envelope on the log. Nobody changes one; to have Python see to that would double what it costs to make it."""

    subject: str
    sequence: int
    """Sequence in its stream."""
    envelope: Envelope
    """As it lies on the stream, with its personal data; `facts` is empty there when they were offloaded."""
    facts: tuple[Message, ...]
    end: Head | bytes = field(repr=False, compare=False)
    """See `head`: that, or the message as it lies on the stream, as long as nobody has asked."""
    redelivered: bool = field(default=False, compare=False)
    """It was handed to this consumer before, and that failed or was given up, perhaps with half of it done; or it was
    handed to nobody knows whom: it is from before the log was restored."""

    @property
    def head(self) -> Head:
        """What the next append to the subject must follow. Most readers never ask, and hashing costs."""
        end = self.end
        if isinstance(end, bytes):
            end = self.end = head_after(self.sequence, self.envelope, end)
        return end

    @property
    def event_id(self) -> str:
        return self.envelope.event_id

    @property
    def occurred_at(self) -> datetime:
        return self.envelope.occurred_at.ToDatetime(UTC)

    @property
    def recorded_at(self) -> datetime:
        return self.envelope.recorded_at.ToDatetime(UTC)

    @property
    def traceparent(self) -> str:
        return self.envelope.traceparent

    @property
    def erased(self) -> bool:
        """Its personal data cannot be read any more: the key is destroyed. Those fields are empty."""
        return self.envelope.HasField("sealed")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message on a stream whose facts cannot be had: not an envelope, an unknown fact, a lost payload."""

    subject: str
    sequence: int
    reason: str
    message: bytes


def pack(facts: Iterable[Message]) -> list[Any]:
    """Facts as they lie in an envelope."""
    return [
        Any(type_url=_TYPE_PREFIX + fact.DESCRIPTOR.full_name, value=fact.SerializeToString(deterministic=True))
        for fact in facts
    ]


def unpack(packed: Iterable[Any]) -> tuple[Message, ...]:
    """The facts again. Raises `Undecodable` for a type this process has no code for, and for damaged bytes."""
    facts: list[Message] = []
    for item in packed:
        url = item.type_url
        kind = _classes_by_url.get(url)
        if kind is None:
            kind = _classes_by_url[url] = message_class(url.rpartition("/")[2])
        try:
            facts.append(kind.FromString(item.value))
        except DecodeError as error:
            raise Undecodable(f"{kind.DESCRIPTOR.full_name}: {error}") from error
    return tuple(facts)


def message_class(name: str) -> type[Message]:
    """The class of a fact by its full name. Raises `Undecodable` when this process has no code for it."""
    known = _classes.get(name)
    if known is None:
        known = _found(name)
        if known is None:
            _import_messages_beside(name)
            known = _found(name)
        if known is None:
            raise Undecodable(f"no message type {name!r} is known here")
        _classes[name] = known
    return known


def _found(name: str) -> type[Message] | None:
    try:
        return symbol_database.Default().GetSymbol(name)
    except KeyError:
        return None


@lru_cache(maxsize=256)
def _import_package(name: str) -> None:
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError:
        return
    for module in pkgutil.iter_modules(package.__path__, f"{name}."):
        if module.name.endswith("_pb2"):
            importlib.import_module(module.name)


def _import_messages_beside(name: str) -> None:
    """An envelope may hold facts that its reader has no use for, and has not imported: another reader's."""
    ours, *package = name.split(".")[:-1] or [""]
    if ours == _OURS and package and all(part.isidentifier() for part in package):
        _import_package(".".join((_PROTOS, *package)))


_classes: dict[str, type[Message]] = {}
_classes_by_url: dict[str, type[Message]] = {}


def parse_envelope(data: bytes) -> Envelope:
    """Raises `Undecodable`."""
    try:
        envelope = Envelope.FromString(data)
    except DecodeError as error:
        raise Undecodable(f"not an envelope: {error}") from error
    if not envelope.event_id:
        raise Undecodable("not an envelope: it has no event id")
    if envelope.schema_version > SCHEMA_VERSION:
        raise Undecodable(f"envelope version {envelope.schema_version}; this process knows up to {SCHEMA_VERSION}")
    return envelope


def unpack_list(data: bytes) -> tuple[Message, ...]:
    """Facts of an offloaded payload. Raises `Undecodable`."""
    try:
        return unpack(FactList.FromString(data).facts)
    except DecodeError as error:
        raise Undecodable(f"not a list of facts: {error}") from error


def names_of(facts: Sequence[Message]) -> str:
    """Value of the header Flightlog-Facts: short names, distinct, in order of first appearance."""
    if len(facts) == 1:
        return facts[0].DESCRIPTOR.name
    return ",".join(dict.fromkeys(fact.DESCRIPTOR.name for fact in facts))


def head_after(sequence: int, envelope: Envelope, data: bytes) -> Head:
    return Head(sequence, envelope.position, sha256(data).digest())


def timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def timestamp_now() -> Timestamp:
    nanoseconds = time.time_ns()
    return Timestamp(seconds=nanoseconds // 1_000_000_000, nanos=nanoseconds % 1_000_000_000)


def verify_chain(records: Sequence[Recorded], *, after: Head = Head.EMPTY) -> None:
    """Check that the records are all envelopes of one subject from `after` on, unaltered and without a gap.

    Raises `BrokenChain` naming the first position that does not follow. The last record is vouched for by nothing but a
    later one, or by a head kept elsewhere.
    """
    previous = after
    for record in records:
        envelope = record.envelope
        if envelope.subject != record.subject:
            raise BrokenChain(record.subject, envelope.position, f"the envelope belongs to {envelope.subject}")
        if envelope.position != previous.position + 1:
            raise BrokenChain(record.subject, previous.position + 1, f"found position {envelope.position} instead")
        if envelope.previous_hash != previous.hash:
            raise BrokenChain(record.subject, envelope.position, "its predecessor is not the one it was appended after")
        if record.sequence <= previous.sequence:
            raise BrokenChain(record.subject, envelope.position, f"sequence {record.sequence} is not a later one")
        previous = record.head
