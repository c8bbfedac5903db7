"""Appending: one envelope, on disk before it is acknowledged, stored once whatever happens on the way.

Every try of one append carries the same expected sequence and the same event id as message id. When an answer got lost,
the next try is refused, either as a duplicate or because the subject has moved on; then the first message behind the
expected head tells whether it was our own that moved it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from hashlib import sha256
from typing import Any

from google.protobuf.message import Message

from flightlog_blobs import BlobError, BlobStore
from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope, FactList, OffloadedFacts
from flightlog_telemetry import current_traceparent, span_from

from . import metrics
from .connection import ApiError, Connection, parse_api
from .envelopes import (
    SCHEMA_VERSION,
    Cause,
    Head,
    Recorded,
    head_after,
    names_of,
    new_id,
    pack,
    parse_envelope,
    timestamp,
    timestamp_now,
)
from .errors import BrokenChain, Conflict, LogUnavailable
from .keys import Keys
from .personal import project_of, seal, take_out
from .reading import Reader
from .subjects import stream_of
from .verbatim import IMPORTED, IMPORTED_AT

_WRONG_LAST_SEQUENCE = frozenset({10071, 10164})


class Appender:
    """Writes envelopes through one connection."""

    def __init__(self, connection: Connection, reader: Reader, blobs: BlobStore, keys: Keys) -> None:
        self._connection = connection
        self._reader = reader
        self._blobs = blobs
        self._keys = keys
        self._seals = connection.settings.personal_data.sealed
        self._limit = connection.settings.offload_above_bytes

    async def append(
        self, subject: str, facts: Sequence[Message], head: Head, cause: Cause, occurred_at: datetime | None
    ) -> Recorded:
        """See `Log.append`."""
        started = time.perf_counter()
        stream = stream_of(subject)
        names = names_of(facts)
        with _span(subject, names, cause):
            envelope = await self._envelope(subject, facts, cause, occurred_at)
            envelope.position = head.position + 1
            envelope.previous_hash = head.hash
            data = envelope.SerializeToString()
            headers = {
                "Nats-Msg-Id": envelope.event_id,
                "Nats-Expected-Last-Subject-Sequence": str(head.sequence),
                **_headers(names, envelope),
            }
            sequence = await self._store(subject, data, headers, head)
        if envelope.HasField("sealed"):
            envelope.actor.CopyFrom(cause.actor)
            envelope.ClearField("sealed")
        metrics.append_total.labels(stream).inc()
        metrics.append_seconds.observe(time.perf_counter() - started)
        return Recorded(
            subject, sequence, envelope, tuple(facts), Head(sequence, head.position + 1, sha256(data).digest())
        )

    async def publish(
        self, subject: str, facts: Sequence[Message], cause: Cause, message_id: str, occurred_at: datetime | None
    ) -> int:
        """See `Log.publish`."""
        names = names_of(facts)
        with _span(subject, names, cause):
            envelope = await self._envelope(subject, facts, cause, occurred_at)
            data = envelope.SerializeToString()
            headers = {"Nats-Msg-Id": message_id, **_headers(names, envelope)}

            async def attempt() -> dict[str, Any]:
                return parse_api(await self._connection.request(subject, data, headers))

            acknowledgement = await self._connection.patiently(attempt)
        metrics.append_total.labels(stream_of(subject)).inc()
        return int(acknowledgement["seq"])

    async def put_back(self, subject: str, data: bytes, head: Head) -> Head:
        """See `Log.put_back`."""
        envelope = parse_envelope(data)
        if (envelope.subject, envelope.position, envelope.previous_hash) != (subject, head.position + 1, head.hash):
            raise BrokenChain(subject, head.position + 1, "the envelope that is to be put back does not belong there")
        headers = {
            # Another one than its own: the server may yet know that from when it was appended.
            "Nats-Msg-Id": f"{IMPORTED}-{envelope.event_id}",
            "Nats-Expected-Last-Subject-Sequence": str(head.sequence),
            IMPORTED_AT: timestamp_now().ToJsonString(),
            **_headers(IMPORTED, envelope),
        }
        return head_after(await self._store(subject, data, headers, head), envelope, data)

    async def publish_back(self, subject: str, data: bytes) -> int:
        """See `Log.publish_back`."""
        envelope = parse_envelope(data)
        headers = {
            "Nats-Msg-Id": f"{IMPORTED}-{envelope.event_id}",
            IMPORTED_AT: timestamp_now().ToJsonString(),
            **_headers(IMPORTED, envelope),
        }

        async def attempt() -> dict[str, Any]:
            return parse_api(await self._connection.request(subject, data, headers))

        return int((await self._connection.patiently(attempt))["seq"])

    async def _store(self, subject: str, data: bytes, headers: dict[str, str], head: Head) -> int:
        """Sequence of the stored message. Raises `Conflict`, `LogUnavailable`."""
        maybe_stored = False

        async def attempt() -> int:
            nonlocal maybe_stored
            try:
                answer = await self._connection.request(subject, data, headers)
                return int(parse_api(answer)["seq"])
            except LogUnavailable:
                maybe_stored = True
                raise
            except ApiError as error:
                if error.err_code not in _WRONG_LAST_SEQUENCE:
                    raise
                if maybe_stored:
                    first = await self._reader.first_after(subject, head.sequence)
                    if first is None:
                        # The leader knows of a message there: the replica that answered lags.
                        raise LogUnavailable(f"{subject}: the nearest replica lags") from None
                    first_headers = first.headers or {}
                    if first_headers.get("Nats-Msg-Id") == headers["Nats-Msg-Id"]:
                        return int(first_headers["Nats-Sequence"])
                metrics.append_conflicts.labels(stream_of(subject)).inc()
                raise Conflict(subject, head.sequence) from None

        return await self._connection.patiently(attempt)

    async def _envelope(
        self, subject: str, facts: Sequence[Message], cause: Cause, occurred_at: datetime | None
    ) -> Envelope:
        if not facts:
            raise ValueError(f"{subject}: an append needs at least one fact")
        now = timestamp_now()
        envelope = Envelope(
            event_id=new_id(),
            schema_version=SCHEMA_VERSION,
            subject=subject,
            occurred_at=timestamp(occurred_at) if occurred_at is not None else now,
            recorded_at=now,
            actor=cause.actor,
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            # Whoever reacts continues from this append; without tracing, what was handed in is handed on.
            traceparent=current_traceparent() or cause.traceparent,
        )
        packed = pack(await self._without_personal_data(envelope, facts) if self._seals else facts)
        if sum(len(item.value) for item in packed) > self._limit:
            envelope.offloaded.CopyFrom(await self._offload(subject, FactList(facts=packed), len(packed)))
        else:
            envelope.facts.extend(packed)
        return envelope

    async def _without_personal_data(self, envelope: Envelope, facts: Sequence[Message]) -> Sequence[Message]:
        """The facts to be stored; what was taken out of them, and of the actor, is in the envelope, sealed."""
        taken = take_out(envelope.actor, facts)
        if taken is None:
            return facts
        personal, rest = taken
        project = project_of(envelope.subject, facts)
        # Refused calls name projects that nobody has: these get no keys.
        found = await self._keys.current(project, make=stream_of(envelope.subject) != "AUDIT") if project else None
        if found is None:
            return facts
        key_id, key = found
        envelope.sealed.CopyFrom(seal(personal, project, key_id, key, envelope.event_id))
        if personal.HasField("actor"):
            envelope.actor.CopyFrom(Actor(method=envelope.actor.method))
        return rest

    async def _offload(self, subject: str, facts: FactList, count: int) -> OffloadedFacts:
        prefix = "flightlog/facts/" + stream_of(subject).lower()
        try:
            reference = await self._blobs.put_content(prefix, facts.SerializeToString())
        except BlobError as error:
            raise LogUnavailable(f"{subject}: facts cannot be put into the object store: {error}") from error
        return OffloadedFacts(uri=reference.uri, sha256=reference.sha256, size_bytes=reference.size_bytes, count=count)


def _headers(names: str, envelope: Envelope) -> dict[str, str]:
    headers = {"Flightlog-Facts": names}
    if envelope.traceparent:
        headers["traceparent"] = envelope.traceparent
    return headers


def _span(subject: str, names: str, cause: Cause) -> AbstractContextManager[Any]:
    """The span of an append: within the one we are in, else continuing the cause's trace."""
    parent = current_traceparent() or cause.traceparent
    return span_from(parent, f"append {stream_of(subject)}", kind="producer", subject=subject, facts=names)
