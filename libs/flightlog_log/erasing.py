"""Erasing: messages overwritten in the server's files, with what they keep in the object store.

Only what nobody needs any more: see `Log.consumers_behind`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from flightlog_blobs import BlobError, BlobStore
from flightlog_protos.log.v1.envelope_pb2 import Parked

from .connection import ApiError, Connection
from .envelopes import parse_envelope
from .errors import LogUnavailable, Undecodable
from .reading import Raw, Reader
from .subjects import stream_of

_BATCH = 512
_NOT_FOUND = frozenset({10037, 10043})
_DELETE_FAILED = 10057


async def erase(connection: Connection, reader: Reader, blobs: BlobStore, subject: str, before: int | None) -> int:
    """See `Log.erase`."""
    stream = stream_of(subject)
    found: list[tuple[int, str]] = []
    after = 0
    while batch := await reader.messages_after(stream, subject, after, _BATCH):
        found += [(raw.sequence, _offloaded(raw)) for raw in batch if before is None or raw.sequence < before]
        after = batch[-1].sequence
    first = await reader.first_after(subject, 0)
    begins = int((first.headers or {})["Nats-Sequence"]) if first is not None else 0
    # Facts of messages that were trimmed: the archive tells of these for as long as the server has what came after.
    for sequence, uri in found:
        if uri and sequence < begins:
            await _delete(blobs, uri)
    # The newest first: whoever reads meanwhile finds the beginning, and nothing that lacks what it follows from.
    for sequence, uri in reversed(found):
        if sequence < begins:
            break
        if uri:
            # Before the message: when this is cut off between the two, the message tells of it the next time.
            await _delete(blobs, uri)
        await _erase_one(connection, stream, sequence)
    return len(found)


async def erase_parked(connection: Connection, reader: Reader, subjects: Sequence[str]) -> int:
    """See `Log.erase_parked`."""
    wanted, count, after = frozenset(subjects), 0, 0
    while batch := await reader.messages_after("PARKED", "parked.>", after, _BATCH):
        for raw in batch:
            after = raw.sequence
            if _parked_subject(raw) in wanted:
                await _erase_one(connection, "PARKED", raw.sequence)
                count += 1
    return count


async def consumers_behind(connection: Connection, stream: str, sequence: int) -> list[str]:
    """The durable consumers of a stream that have not dealt with everything up to a sequence, by name."""
    behind: list[str] = []
    offset = 0
    while True:
        page = await connection.api(f"CONSUMER.LIST.{stream}", {"offset": offset})
        consumers: list[dict[str, Any]] = page.get("consumers") or []
        behind += [info["name"] for info in consumers if _is_behind(info, sequence)]
        offset += len(consumers)
        if not consumers or offset >= int(page.get("total", 0)):
            return behind


def _is_behind(info: dict[str, Any], sequence: int) -> bool:
    # Those of followers are not durable, and need nothing but what they have.
    if not info["config"].get("durable_name") or int(info["ack_floor"].get("stream_seq", 0)) >= sequence:
        return False
    return bool(info.get("num_pending", 0) or info.get("num_ack_pending", 0))


def _offloaded(raw: Raw) -> str:
    """Where a message keeps its facts, "" when it has them itself."""
    try:
        envelope = parse_envelope(raw.data)
    except Undecodable:
        return ""
    return envelope.offloaded.uri if envelope.HasField("offloaded") else ""


def _parked_subject(raw: Raw) -> str:
    """Whose message an entry is; "" for what is no entry."""
    try:
        return Parked.FromString(raw.data).subject
    except DecodeError:
        return ""


async def _delete(blobs: BlobStore, uri: str) -> None:
    try:
        await blobs.delete(uri)
    except BlobError as error:
        raise LogUnavailable(f"{uri} cannot be deleted: {error}") from error


async def _erase_one(connection: Connection, stream: str, sequence: int) -> None:
    try:
        await connection.api(f"STREAM.MSG.DELETE.{stream}", {"seq": sequence})
    except ApiError as error:
        # Erased before.
        gone = error.err_code == _DELETE_FAILED and "no message found" in str(error)
        if error.err_code not in _NOT_FOUND and not gone:
            raise
