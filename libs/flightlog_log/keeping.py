"""What a service has taken on, by name: kept until it is done, then gone. No history.

A stream with one message a subject: keeping a name again replaces what was kept there. What is dropped is one message,
by its sequence, so that whatever was kept under the name since then stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing, BlobStore, BlobTooLarge
from flightlog_protos.log.v1.envelope_pb2 import DataRef

from . import metrics
from .connection import ApiError, Connection, parse_api
from .errors import LogUnavailable, PayloadMissing
from .reading import Reader
from .subjects import Subject, encode_token

_OFFLOADED = "Flightlog-Offloaded"
_BATCH = 512
_NOT_FOUND = frozenset({10037, 10043})
_DELETE_FAILED = 10057
_log = structlog.get_logger(__name__)
_Kept = TypeVar("_Kept", bound=Message)


@dataclass(frozen=True, slots=True)
class Kept(Generic[_Kept]):
    """What is kept under a name."""

    key: Subject
    sequence: int
    """What `Log.drop` takes."""
    message: _Kept


async def keep(connection: Connection, blobs: BlobStore, key: Subject, message: Message) -> int:
    """See `Log.keep`."""
    data = message.SerializeToString()
    headers: dict[str, str] | None = None
    if len(data) > connection.settings.offload_above_bytes:
        try:
            reference = await blobs.put_content(_folder(blobs, key.stream, key.parts), data)
        except BlobError as error:
            raise LogUnavailable(f"{key}: {error}") from error
        data, headers = reference.SerializeToString(), {_OFFLOADED: "1"}

    async def attempt() -> int:
        return int(parse_api(await connection.request(str(key), data, headers))["seq"])

    return await connection.patiently(attempt)


async def drop(connection: Connection, key: Subject, sequence: int) -> None:
    """See `Log.drop`."""
    try:
        await connection.api(f"STREAM.MSG.DELETE.{key.stream}", {"seq": sequence, "no_erase": True})
    except ApiError as error:
        # Gone already: dropped before, or replaced by what was kept later. How that is answered depends on where in
        # the server's files it lay.
        gone = error.err_code == _DELETE_FAILED and "no message found" in str(error)
        if error.err_code not in _NOT_FOUND and not gone:
            raise


async def erase_kept(blobs: BlobStore, stream: str, parts: Sequence[str]) -> None:
    """See `Log.erase_kept`."""
    folder = _folder(blobs, stream, parts)
    try:
        for entry in await blobs.entries(folder):
            await blobs.delete(f"{folder}/{entry.name}")
    except BlobError as error:
        raise LogUnavailable(f"{folder} cannot be emptied: {error}") from error


async def kept(reader: Reader, blobs: BlobStore, stream: str, message_type: type[_Kept]) -> AsyncIterator[Kept[_Kept]]:
    """See `Log.kept`."""
    unreadable = metrics.kept_unreadable_total.labels(stream)
    sequence = 0
    while batch := await reader.messages_after(stream, f"{stream.lower()}.>", sequence, _BATCH):
        for raw in batch:
            sequence, data = raw.sequence, raw.data
            try:
                if _OFFLOADED in raw.headers:
                    data = await _payload(blobs, raw.subject, DataRef.FromString(data))
                message = message_type.FromString(data)
            except (DecodeError, PayloadMissing) as error:
                # It stays, for somebody to look at; what else is kept must not wait for that.
                unreadable.inc()
                _log.error("kept.unreadable", subject=raw.subject, sequence=sequence, reason=str(error))
                continue
            yield Kept(Subject.parse(raw.subject), sequence, message)


def _folder(blobs: BlobStore, stream: str, parts: Sequence[str]) -> str:
    return blobs.uri("flightlog/kept", stream.lower(), *map(encode_token, parts))


async def _payload(blobs: BlobStore, subject: str, reference: DataRef) -> bytes:
    try:
        return await blobs.verified(reference)
    except (BlobMissing, BlobCorrupt, BlobTooLarge) as error:
        raise PayloadMissing(f"what is kept as {subject}: {error}") from error
    except BlobError as error:
        raise LogUnavailable(f"what is kept as {subject}: {error}") from error
