"""What an attempt left under its output prefix (engine-semantics §3.2, §3.3)."""

import asyncio
import hashlib
import re

from flyteidl.core.errors_pb2 import ErrorDocument
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobMissing, BlobStore, BlobTooLarge
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine import AttemptResult
from services.execution.futures import load_futures
from services.execution.lookup import Lookup

# Plugins whose workers may write an error each (k8s-contract §5.5).
_WITH_WORKERS = frozenset({"pytorch"})
_WORKERS_ERROR = re.compile(r"error-[^/]+\.pb")
_READ_AT_ONCE = 16


async def load_result(
    blobs: BlobStore, lookup: Lookup, output_prefix: str, *, limit: int, futures_limit: int, plugin: str = ""
) -> AttemptResult:
    """Reads outputs, error and futures, looks for a deck.

    Args:
        limit: largest outputs and error that are read, in bytes.
        futures_limit: likewise of futures.
        plugin: what ran the attempt. Where that is several workers, the error is the earliest of theirs.
    """
    (outputs, too_large), (error, unreadable), futures, deck = await asyncio.gather(
        _outputs(blobs, f"{output_prefix}/outputs.pb", limit),
        (_first_error if plugin in _WITH_WORKERS else _only_error)(blobs, output_prefix, limit),
        load_futures(blobs, lookup, f"{output_prefix}/futures.pb", futures_limit),
        blobs.stat(f"{output_prefix}/deck.html"),
    )
    return AttemptResult(
        outputs=outputs[0] if outputs else None,
        literals=outputs[1] if outputs else None,
        outputs_too_large=too_large,
        error=error,
        error_unreadable=unreadable,
        futures=futures,
        deck=deck is not None,
    )


async def _outputs(blobs: BlobStore, uri: str, limit: int) -> tuple[tuple[DataRef, LiteralMap] | None, bool]:
    try:
        data = await blobs.get(uri, limit=limit)
    except BlobMissing:
        return None, False
    except BlobTooLarge:
        return None, True
    try:
        literals = LiteralMap.FromString(data)
    except DecodeError:
        # Not outputs at all: as if they were not there.
        return None, False
    return (DataRef(uri=uri, sha256=hashlib.sha256(data).digest(), size_bytes=len(data)), literals), False


async def _only_error(blobs: BlobStore, output_prefix: str, limit: int) -> tuple[ErrorDocument | None, bool]:
    return await _error(blobs, f"{output_prefix}/error.pb", limit)


async def _first_error(blobs: BlobStore, output_prefix: str, limit: int) -> tuple[ErrorDocument | None, bool]:
    """The earliest of the workers' errors, those without a time last: the others are often only its consequences."""
    entries = await blobs.entries(output_prefix)
    names = [entry.name for entry in entries if entry.name == "error.pb" or _WORKERS_ERROR.fullmatch(entry.name)]
    turn = asyncio.Semaphore(_READ_AT_ONCE)

    async def read(name: str) -> tuple[ErrorDocument | None, bool]:
        async with turn:
            return await _error(blobs, f"{output_prefix}/{name}", limit)

    found = await asyncio.gather(*(read(name) for name in names))
    errors = [error for error, _ in found if error is not None]
    if not errors:
        return None, any(unreadable for _, unreadable in found)
    return min(errors, key=_when), False


def _when(document: ErrorDocument) -> tuple[bool, int, int]:
    at = document.error.timestamp
    return not document.error.HasField("timestamp"), at.seconds, at.nanos


async def _error(blobs: BlobStore, uri: str, limit: int) -> tuple[ErrorDocument | None, bool]:
    try:
        data = await blobs.get(uri, limit=limit)
    except BlobMissing:
        return None, False
    except BlobTooLarge:
        return None, True
    try:
        return ErrorDocument.FromString(data), False
    except DecodeError:
        return None, True
