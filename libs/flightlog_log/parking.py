"""What no consumer could digest: kept with the reason, looked at, and tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from flightlog_protos.log.v1.envelope_pb2 import Parked

from .connection import ApiError, Connection, parse_api
from .envelopes import new_id, timestamp_now
from .errors import LogError
from .metrics import parked_total
from .reading import Reader
from .subjects import encode_token

_MESSAGE_NOT_FOUND = 10037
REDRIVEN_SEQUENCE = "Flightlog-Sequence"


@dataclass(frozen=True, slots=True)
class ParkedEntry:
    """A parked message. Of anything else that lies among them only sequence, reason and bytes are known."""

    sequence: int
    """Its sequence among the parked: what `Log.redrive` takes."""
    stream: str
    subject: str
    original_sequence: int
    consumer: str
    reason: str
    deliveries: int
    parked_at: datetime
    message: bytes
    """Its bytes on the original stream."""


async def park(
    connection: Connection, reader: Reader, stream: str, sequence: int, *, consumer: str, reason: str, deliveries: int
) -> None:
    """See `Log.park`."""
    found = await reader.message(stream, sequence)
    subject, data = found if found is not None else ("", b"")
    entry = Parked(
        stream=stream,
        subject=subject,
        sequence=sequence,
        consumer=consumer,
        reason=reason,
        deliveries=deliveries,
        parked_at=timestamp_now(),
        message=data,
    )
    headers = {"Nats-Msg-Id": new_id()}
    name = f"parked.{stream}.{encode_token(consumer)}"

    async def attempt() -> None:
        parse_api(await connection.request(name, entry.SerializeToString(), headers))

    await connection.patiently(attempt)
    parked_total.labels(stream, consumer).inc()


async def parked(reader: Reader) -> AsyncIterator[ParkedEntry]:
    """See `Log.parked`."""
    last = await reader.stream_sequence("PARKED")
    sequence = 0
    while sequence < last:
        message = await reader.first_after("parked.>", sequence)
        if message is None:
            return
        sequence = int((message.headers or {})["Nats-Sequence"])
        yield _entry(sequence, message.data)


async def redrive(connection: Connection, reader: Reader, sequence: int) -> None:
    """See `Log.redrive`."""
    found = await reader.message("PARKED", sequence)
    if found is None or not found[0].startswith("parked."):
        raise LogError(f"nothing is parked at {sequence}")
    entry = _entry(sequence, found[1])
    if not entry.stream:
        raise LogError(entry.reason)
    try:
        await connection.api(f"CONSUMER.INFO.{entry.stream}.{entry.consumer}")
    except ApiError as error:
        if error.code == 404:
            raise LogError(
                f"{entry.consumer} is no durable consumer of {entry.stream}: nothing to give it to"
            ) from error
        raise
    headers = {"Nats-Msg-Id": new_id(), REDRIVEN_SEQUENCE: str(entry.original_sequence)}

    async def attempt() -> None:
        parse_api(await connection.request(redriven_subject(entry.stream, entry.consumer), b"", headers))

    await connection.patiently(attempt)
    await connection.api("STREAM.MSG.DELETE.PARKED", {"seq": sequence, "no_erase": True})


def redriven_subject(stream: str, consumer: str) -> str:
    """Where a consumer is told which messages to try again."""
    return f"redriven.{stream}.{encode_token(consumer)}"


def _entry(sequence: int, data: bytes) -> ParkedEntry:
    try:
        parked = Parked.FromString(data)
    except DecodeError:
        parked = Parked()
    if not parked.stream:
        parked = Parked(reason="what lies here is no parked message: no process of ours put it there", message=data)
    return ParkedEntry(
        sequence=sequence,
        stream=parked.stream,
        subject=parked.subject,
        original_sequence=parked.sequence,
        consumer=parked.consumer,
        reason=parked.reason,
        deliveries=parked.deliveries,
        parked_at=parked.parked_at.ToDatetime(UTC),
        message=parked.message,
    )
