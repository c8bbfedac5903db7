"""The columns of a segment, and how messages become rows of them.

Plain types, so that DuckDB, Spark and pandas read them without a word of ours: times are timestamps of zone UTC with
microseconds, facts are a list of structs of name and ProtoJSON. Beside what can be queried there is every message as it
lay on the log, byte for byte: that is what a restore gives back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import pyarrow as pa
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Raw, Subject, Undecodable
from flightlog_log.envelopes import parse_envelope, unpack, unpack_list
from flightlog_protos.log.v1.envelope_pb2 import Parked
from flightlog_types.aggregates import aggregate_of

_TIME = pa.timestamp("us", tz="UTC")
_SECONDS: Final = range(-62135596800, 253402300800)
"""The years 1 to 9999: what a protobuf timestamp may say, and what readers of a segment have dates for."""
_LARGEST: Final = (1 << 63) - 1

SCHEMA = pa.schema(
    [
        pa.field("stream", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("parts", pa.list_(pa.string())),
        pa.field("kind", pa.string()),
        pa.field("project", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("name", pa.string()),
        pa.field("version", pa.string()),
        pa.field("event_id", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("occurred_at", _TIME),
        pa.field("recorded_at", _TIME),
        pa.field("actor_subject", pa.string()),
        pa.field("actor_method", pa.string()),
        pa.field("actor_client", pa.string()),
        pa.field("actor_address", pa.string()),
        pa.field("actor_verified", pa.bool_()),
        pa.field("correlation_id", pa.string()),
        pa.field("causation_id", pa.string()),
        pa.field("traceparent", pa.string()),
        pa.field("previous_hash", pa.binary()),
        pa.field("hash", pa.binary(), nullable=False),
        pa.field("fact_types", pa.list_(pa.string())),
        pa.field("facts", pa.list_(pa.struct([("type", pa.string()), ("json", pa.string())]))),
        pa.field("message", pa.binary()),
        pa.field("headers", pa.map_(pa.string(), pa.string())),
        pa.field("payload", pa.binary()),
        pa.field("unreadable", pa.string()),
        pa.field("erased", pa.string()),
    ]
)

ERASED = ("facts", "message", "payload", "headers", "unreadable", "traceparent")
"""What a row loses that is erased, with all of its actor. Its place, its hash and the names of its facts stay."""

ACTOR = tuple(name for name in SCHEMA.names if name.startswith("actor_"))

REPEATING = [
    *("stream", "subject", "kind", "project", "domain", "name", "version", "correlation_id", *ACTOR),
    *("parts.list.element", "fact_types.list.element", "facts.list.element.type", "headers.key_value.key", "erased"),
]
"""Columns whose values come again and again: they are worth a dictionary."""


def record_batch(stream: str, messages: Sequence[Raw], payloads: Mapping[int, bytes | str]) -> pa.RecordBatch:
    """The rows of messages. `payloads` has offloaded facts by sequence, or the reason why they cannot be had."""
    rows = [_row(stream, message, payloads.get(message.sequence)) for message in messages]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def _row(stream: str, message: Raw, payload: bytes | str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "stream": stream,
        "sequence": message.sequence,
        "subject": message.subject,
        "hash": sha256(message.data).digest(),
        "message": message.data,
        # The server's own answers in the headers are about the request, not about the message.
        "headers": [(name, value) for name, value in message.headers.items()],
        "payload": payload if isinstance(payload, bytes) else None,
        **_named(stream, message.subject),
    }
    if stream == "PARKED":
        return row
    try:
        row |= _said(message.data, payload)
    except Undecodable as error:
        row["unreadable"] = str(error)
    return row


def _named(stream: str, subject: str) -> dict[str, Any]:
    try:
        parts = Subject.parse(subject).parts
    except ValueError:
        return {"parts": subject.split(".")[1:]}
    named = aggregate_of(stream, parts)
    return {"parts": list(parts)} | {name: value or None for name, value in named._asdict().items()}


def subjects_of(table: pa.Table) -> list[str]:
    """Whose message each row has: its subject, or that of the message that was parked."""
    subjects: list[str] = table["subject"].to_pylist()
    if not subjects or table["stream"][0].as_py() != "PARKED":
        return subjects
    return [
        subject if message is None else _parked_subject(message) or subject
        for subject, message in zip(subjects, table["message"].to_pylist(), strict=True)
    ]


def _parked_subject(message: bytes) -> str:
    try:
        return Parked.FromString(message).subject
    except DecodeError:
        return ""  # nothing that we parked; it is archived as it is


def _said(data: bytes, payload: bytes | str | None) -> dict[str, Any]:
    """What an envelope says. As it lies on the log: what is sealed there stays sealed."""
    envelope = parse_envelope(data)
    actor = envelope.actor
    said: dict[str, Any] = {
        "event_id": envelope.event_id,
        "position": envelope.position if envelope.position <= _LARGEST else None,
        "occurred_at": _microseconds(envelope.occurred_at),
        "recorded_at": _microseconds(envelope.recorded_at),
        "actor_subject": actor.subject,
        "actor_method": actor.method,
        "actor_client": actor.client,
        "actor_address": actor.address,
        "actor_verified": actor.verified,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "traceparent": envelope.traceparent,
        "previous_hash": envelope.previous_hash,
    }
    if isinstance(payload, str):
        return said | {"unreadable": payload}
    try:
        facts = unpack(envelope.facts) if payload is None else unpack_list(payload)
        said["facts"] = [
            {"type": fact.DESCRIPTOR.name, "json": MessageToJson(fact, indent=None, ensure_ascii=False)}
            for fact in facts
        ]
    except (Undecodable, TypeError, ValueError) as error:
        # TypeError: something of another type inside a fact, which this release has no code for.
        said["unreadable"] = f"{type(error).__name__}: {error}"
        said["fact_types"] = [fact.type_url.rpartition(".")[2] for fact in envelope.facts]
        return said
    said["fact_types"] = [fact["type"] for fact in said["facts"]]
    return said


def _microseconds(stamp: Timestamp) -> int | None:
    """None for what is no time: one envelope that says nonsense must not keep all others from the archive."""
    if stamp.seconds not in _SECONDS or not 0 <= stamp.nanos < 1_000_000_000:
        return None
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000
