"""Writing the archive of one stream: one writer at a time, and at every instant an archive that is whole.

A segment is written first, the manifest that names it then, and what it replaces goes last. So a crash leaves at worst
an object that no manifest names; the next writer deletes it. That nobody else writes is the caller's to see to: `guard`
is asked before each manifest, and a manifest that is not the one this writer has left stops it. What needs pyarrow is
imported when there is something to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from flightlog_blobs import BlobCorrupt, BlobMissing, BlobStore, BlobTooLarge
from flightlog_log import Raw, Undecodable
from flightlog_log.envelopes import parse_envelope
from flightlog_protos.log.v1.envelope_pb2 import DataRef

from .archive import MANIFEST, Archive
from .erasing import erased_rows, erasings_of
from .errors import ArchiveTaken, ManifestDamaged, SegmentDamaged
from .manifest import Erasing, Manifest, Segment, index_key, name_of, next_revision, noted
from .segments import Closed, close, tables_of

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 1_000
FAN_IN = 8
"""So many neighbours of about the same size become one segment: each message is rewritten a few times, not often."""

_log = structlog.get_logger(__name__)


class StreamWriter:
    """Appends to, merges and rewrites the archive of one stream. Made by `open`.

    Everything raises `ArchiveTaken` when another one has written the manifest, whatever `guard` raises, and `BlobError`
    when the object store cannot be reached; then nothing of the call has happened, or all of it.
    """

    def __init__(
        self, archive: Archive, manifest: Manifest, found: bytes, guard: Callable[[], Awaitable[None]]
    ) -> None:
        self.manifest = manifest
        self._archive = archive
        self._found = found
        self._guard = guard

    @classmethod
    async def open(
        cls, archive: Archive, stream: str, guard: Callable[[], Awaitable[None]], *, clean: bool = True
    ) -> StreamWriter:
        """Goes on behind what is archived, and deletes what a former writer left unfinished.

        Not without `clean`: who takes the place of one that is at work may see a segment whose manifest is on its way.
        Raises `ManifestDamaged` too when the manifest is lost: its segments are no leftovers.
        """
        manifest, found = await archive.manifest_and_hash(stream)
        if not found and (lost := await archive.segments_without_manifest(stream)) > 1:
            raise ManifestDamaged(f"{archive.uri(stream)} is missing, and {lost} segments are there")
        writer = cls(archive, manifest, found, guard)
        if clean:
            await writer._clean()
        return writer

    async def append(self, messages: Sequence[Raw]) -> Segment:
        """Closes a segment of the messages that follow on the stream, with facts that lie in the object store."""
        payloads = await _payloads(self._archive.blobs, messages)
        closed, erasing = await asyncio.to_thread(self._closed, messages, payloads)
        await self._put(closed)
        await self._commit(self.manifest.followed_by(closed.segment, erasing))
        return closed.segment

    def _closed(self, messages: Sequence[Raw], payloads: Mapping[int, bytes | str]) -> tuple[Closed, list[Erasing]]:
        batches = record_batches(self.manifest.stream, messages, payloads)
        erasing = [one for batch in batches for one in erasings_of(batch)]
        return close(batches, self.manifest.chain), erasing

    async def merge(self, most: int, most_bytes: int) -> bool:
        """Makes one segment of small neighbours, if there are enough of them.

        It has not more than `most` messages, and they have no more than `most_bytes` as files: all are in memory.
        Returns whether there was something to merge; there may be more then.
        """
        chosen = mergeable(self.manifest.segments, most, most_bytes)
        if not chosen:
            return False
        stream = self.manifest.stream
        tables: list[pa.Table] = []
        for segment in chosen:
            data = await self._archive.segment(stream, segment)
            tables.append(await asyncio.to_thread(tables_of, data, self._archive.uri(stream, segment.key)))
        batches = [batch for table in tables for batch in table.to_batches()]
        closed = await asyncio.to_thread(close, batches, self.manifest.chain_before(chosen[0]))
        await self._replace(chosen, closed, self.manifest)
        return True

    async def erase(self, wanted: Sequence[Erasing]) -> int:
        """Rewrites each segment that has messages of these subjects without what they say; returns how many there were.

        What is left of a message is its place, its hash and the names of its facts, so all chains go on to verify.
        """
        erased = 0
        stream = self.manifest.stream
        for segment in self.manifest.segments:
            concerned = [
                one
                for one in wanted
                if segment.first < one.before and await self._archive.may_have(stream, segment, one.subject)
            ]
            if not concerned:
                continue
            data = await self._archive.segment(stream, segment)
            table = await asyncio.to_thread(tables_of, data, self._archive.uri(stream, segment.key))
            rewritten, counts = await asyncio.to_thread(erased_rows, table, concerned)
            if not counts:
                continue
            key = name_of(segment.first, segment.last, next_revision(segment.key))
            chain = self.manifest.chain_before(segment)
            closed = await asyncio.to_thread(partial(close, rewritten.to_batches(), chain, key=key))
            notes = self.manifest.erased
            for reason, subjects, messages in counts:
                notes = noted(notes, reason, subjects, messages)
                erased += messages
            await self._replace([segment], closed, replace(self.manifest, erased=notes))
        return erased

    async def remake(self, segment: Segment, messages: Sequence[Raw]) -> Segment:
        """Makes a segment again from its messages as the log has them.

        Raises `SegmentDamaged` when those do not give the chain that the manifest has.
        """
        stream = self.manifest.stream
        payloads = await _payloads(self._archive.blobs, messages)
        key = name_of(segment.first, segment.last, next_revision(segment.key))
        chain = self.manifest.chain_before(segment)
        batches = await asyncio.to_thread(record_batches, stream, messages, payloads)
        closed = await asyncio.to_thread(partial(close, batches, chain, key=key))
        made = closed.segment
        if (made.first, made.last, made.count, made.chain) != (
            segment.first,
            segment.last,
            segment.count,
            segment.chain,
        ):
            raise SegmentDamaged(self._archive.uri(stream, segment.key), "the log has not the messages that it had")
        await self._replace([segment], closed, self.manifest)
        return made

    async def has_erased(self, done: Sequence[Erasing]) -> None:
        """Takes what has been erased, here and wherever else it was, off the list of what is still to be erased."""
        left = tuple(one for one in self.manifest.erasing if one not in done)
        if left != self.manifest.erasing:
            await self._commit(replace(self.manifest, erasing=left))

    async def _replace(self, old: Sequence[Segment], closed: Closed, manifest: Manifest) -> None:
        await self._put(closed)
        await self._commit(manifest.replaced(old, closed.segment))
        for segment in old:
            if segment.key != closed.segment.key:
                await self._delete(segment.key)

    async def _put(self, closed: Closed) -> None:
        stream, key = self.manifest.stream, closed.segment.key
        await self._archive.blobs.put(self._archive.uri(stream, key), closed.data)
        await self._archive.blobs.put(self._archive.uri(stream, index_key(key)), closed.index)

    async def _delete(self, key: str) -> None:
        for name in (key, index_key(key)):
            await self._archive.blobs.delete(self._archive.uri(self.manifest.stream, name))

    async def _commit(self, manifest: Manifest) -> None:
        stream = manifest.stream
        _, found = await self._archive.manifest_and_hash(stream)
        if found != self._found:
            raise ArchiveTaken(f"the manifest of {stream} is no longer the one that was left there")
        await self._guard()
        data = manifest.to_json()
        await self._archive.blobs.put(self._archive.uri(stream), data)
        self.manifest, self._found = manifest, sha256(data).digest()

    async def _clean(self) -> None:
        stream = self.manifest.stream
        named = {MANIFEST}
        for segment in self.manifest.segments:
            named |= {segment.key, index_key(segment.key)}
        for entry in await self._archive.blobs.entries(self._archive.uri(stream, "").rstrip("/")):
            if entry.name not in named:
                _log.info("archive.unfinished_deleted", stream=stream, object=entry.name)
                await self._archive.blobs.delete(self._archive.uri(stream, entry.name))


def record_batches(stream: str, messages: Sequence[Raw], payloads: Mapping[int, bytes | str]) -> list[pa.RecordBatch]:
    """The rows of messages, some at a time. Takes long: not for an event loop."""
    from .schema import record_batch

    starts = range(0, len(messages), _ROWS_AT_ONCE)
    return [record_batch(stream, messages[start : start + _ROWS_AT_ONCE], payloads) for start in starts]


async def _payloads(blobs: BlobStore, messages: Sequence[Raw]) -> dict[int, bytes | str]:
    """Facts that lie in the object store, by the sequences of their messages: their bytes, or why there are none.

    Raises `BlobError` when the object store cannot be reached.
    """
    found: dict[int, bytes | str] = {}
    for sequence, reference in await asyncio.to_thread(_offloaded, messages):
        try:
            found[sequence] = await blobs.verified(reference)
        except (BlobMissing, BlobCorrupt, BlobTooLarge) as error:
            found[sequence] = f"{type(error).__name__}: {error}"
    return found


def size_of(message: Raw) -> int:
    """Bytes that a message brings into its segment: facts that lie in the object store come with it."""
    reference = _reference(message)
    return len(message.data) + (reference.size_bytes if reference is not None else 0)


def _offloaded(messages: Sequence[Raw]) -> list[tuple[int, DataRef]]:
    found = ((message.sequence, _reference(message)) for message in messages)
    return [(sequence, reference) for sequence, reference in found if reference is not None]


def _reference(message: Raw) -> DataRef | None:
    try:
        envelope = parse_envelope(message.data)
    except Undecodable:
        return None
    if not envelope.HasField("offloaded"):
        return None
    offloaded = envelope.offloaded
    return DataRef(uri=offloaded.uri, sha256=offloaded.sha256, size_bytes=offloaded.size_bytes)


def mergeable(segments: Sequence[Segment], most: int, most_bytes: int) -> Sequence[Segment]:
    """The newest neighbours that should become one segment; none when there are not enough of them.

    Sizes are told apart by powers of `FAN_IN`: as many of one power become one of the next, with what is smaller among
    them. So each message is rewritten once for every power.
    """
    limit = FAN_IN
    while limit // FAN_IN <= most:
        start, count, size, of_this_power = len(segments), 0, 0, 0
        while (
            start
            and segments[start - 1].count < limit
            and count + segments[start - 1].count <= most
            and size + segments[start - 1].size <= most_bytes
        ):
            start -= 1
            count += segments[start].count
            size += segments[start].size
            of_this_power += segments[start].count * FAN_IN >= limit
        if of_this_power >= FAN_IN:
            return segments[start:]
        limit *= FAN_IN
    return ()
