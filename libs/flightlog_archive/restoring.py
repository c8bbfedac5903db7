"""A log from its archive alone: every stream that is archived, under its own sequences.

What is not archived follows from what is: alarms, and what launchers have taken on, are made again by the consumers,
which begin at the start of each stream and find everything done that was done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from flightlog_blobs import BlobStore
from flightlog_log import Raw, Restoration
from flightlog_log.envelopes import parse_envelope
from flightlog_log.restoring import is_placeholder

from .archive import STREAMS, Archive
from .errors import ArchiveError
from .manifest import Manifest
from .segments import Archived


class NothingArchived(ArchiveError):
    """There is no archive at that place."""


class AnotherArchive(ArchiveError):
    """A restore that was cut off had begun with another archive."""


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """Told to the caller after every batch."""

    stream: str
    sequence: int
    target: int


@dataclass(frozen=True, slots=True)
class RestoredStream:
    """What was given back of a stream."""

    stream: str
    messages: int
    erased: int
    """Messages that had been erased: their sequences stay empty."""
    payloads: int
    """Facts that had to be put back into the object store."""
    sequence: int
    """The last one."""


async def restore(
    archive: Archive,
    restoration: Restoration,
    blobs: BlobStore,
    report: Callable[[RestoreProgress], None] = lambda _: None,
) -> list[RestoredStream]:
    """Fill an empty log. One that was cut off is called again, and goes on where it was.

    Args:
        blobs: where offloaded facts are looked for, and put back when they are not there.

    Raises:
        NothingArchived: no stream is archived there.
        AnotherArchive: what the log has been given so far is not what is archived there.
        ArchiveError: something in the archive is missing or damaged; the log stays marked as being restored.
        BlobError, LogUnavailable: a part went away.
    """
    manifests = [await archive.manifest(stream) for stream in STREAMS]
    if not any(manifest.segments for manifest in manifests):
        raise NothingArchived(f"nothing is archived at {archive.root}")
    for manifest in manifests:
        await _check_begun(archive, manifest, restoration)
    restored: list[RestoredStream] = []
    for manifest in manifests:
        stream, target = manifest.stream, manifest.sequence
        messages = erased = payloads = 0
        async for batch in archive.read(stream, after=await restoration.position(stream), until=target):
            kept = [one for one in batch if one.data is not None]
            payloads += await _put_payloads(blobs, kept)
            await restoration.put(stream, [_raw(one) for one in kept])
            messages += len(kept)
            erased += len(batch) - len(kept)
            report(RestoreProgress(stream, batch[-1].sequence, target))
        await restoration.fill(stream, target)
        restored.append(RestoredStream(stream, messages, erased, payloads, target))
    await restoration.finish()
    return restored


async def _check_begun(archive: Archive, manifest: Manifest, restoration: Restoration) -> None:
    """Raises `AnotherArchive` unless the last message that was given back is the archive's at that place."""
    stream, position = manifest.stream, await restoration.position(manifest.stream)
    given = await restoration.latest(stream) if position else None
    if position <= manifest.sequence and given is None:
        return
    batches = [batch async for batch in archive.read(stream, after=position - 1, until=position)]
    rows = [row for batch in batches for row in batch]
    # What has been erased since was given back before; where nothing is archived, nothing was.
    if given is None or is_placeholder(given):
        same = all(row.data is None for row in rows)
    else:
        same = any(row.hash == sha256(given.data).digest() for row in rows)
    if position > manifest.sequence or not same:
        raise AnotherArchive(
            f"{stream} has been restored up to {position} from another archive than {archive.root}: "
            "go on with that one, or empty the log"
        )


def _raw(archived: Archived) -> Raw:
    assert archived.data is not None
    return Raw(archived.subject, archived.sequence, archived.data, archived.headers)


async def _put_payloads(blobs: BlobStore, messages: Sequence[Archived]) -> int:
    count = 0
    for message in messages:
        if message.payload is None or message.data is None:
            continue
        uri = parse_envelope(message.data).offloaded.uri
        if await blobs.get_or_none(uri) != message.payload:
            await blobs.put(uri, message.payload)
            count += 1
    return count
