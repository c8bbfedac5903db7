"""The archive as its readers see it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from hashlib import sha256
from typing import Final

from flightlog_blobs import BlobStore

from .errors import ManifestDamaged, SegmentMissing
from .indexes import SubjectIndex
from .manifest import Manifest, Segment, index_key
from .segments import Archived, check_file, messages_of

STREAMS: Final = ("REGISTRY", "EXECUTION", "LAUNCHER", "CATALOG", "SCHEDULER", "ADMISSION", "AUDIT", "PARKED")
"""The streams that are archived. What is on the others is made again from these."""

FOLDER: Final = "flightlog/archive"
"""Where in the bucket the archive is, unless somebody says otherwise."""

MANIFEST: Final = "manifest.json"
_REMEMBERED = 2_000_000
"""So many hashes of subjects stay in memory, of 8 bytes each."""


class Archive:
    """Closed segments of the log's streams in an object store.

    >>> archive = Archive(blobs)
    >>> manifest = await archive.manifest("EXECUTION")
    >>> async for messages in archive.read("EXECUTION", after=0):
    ...     print(messages[0].sequence, messages[0].subject)

    pyarrow takes its time to import, so that it happens when something is read for the first time. Everything raises
    `BlobError` when the object store cannot be reached.
    """

    def __init__(self, blobs: BlobStore, root: str = "", *, remembers: bool = False) -> None:
        """`root` is the folder of the archive as `s3://<bucket>/<key>`; without it the usual one of our bucket.

        With `remembers`, the last file that was read stays in memory; it was checked when it was fetched, not since.
        """
        self._remembers = remembers
        self.blobs = blobs
        self.root = root.rstrip("/") or blobs.uri(*FOLDER.split("/"))
        self._indexes: OrderedDict[str, SubjectIndex | None] = OrderedDict()
        self._remembered = 0
        # Who reads a page at a time asks for the same file again and again.
        self._latest: tuple[str, str, bytes] = ("", "", b"")

    def uri(self, stream: str, name: str = MANIFEST) -> str:
        """Where an object of a stream is."""
        return f"{self.root}/{stream}/{name}"

    async def manifest(self, stream: str) -> Manifest:
        """What is archived of a stream; an empty manifest while nothing is. Raises `ManifestDamaged`."""
        return (await self.manifest_and_hash(stream))[0]

    async def manifest_and_hash(self, stream: str) -> tuple[Manifest, bytes]:
        """The manifest and the SHA-256 of its bytes; empty bytes while there is none. Raises `ManifestDamaged`."""
        data = await self.blobs.get_or_none(self.uri(stream))
        if data is None:
            return Manifest(stream), b""
        manifest = Manifest.from_json(data)
        if manifest.stream != stream:
            raise ManifestDamaged(f"{self.uri(stream)} is the manifest of {manifest.stream}")
        return manifest, sha256(data).digest()

    async def segments_without_manifest(self, stream: str) -> int:
        """How many segments of a stream are there although no manifest is: what is left when that was lost.

        The first one of a stream may be there for a moment before its manifest.
        """
        folder = self.uri(stream, "").rstrip("/")
        names = [entry.name for entry in await self.blobs.entries(folder)]
        return 0 if MANIFEST in names else sum(name.endswith(".parquet") for name in names)

    async def segment(self, stream: str, segment: Segment) -> bytes:
        """The file of a segment, checked against the manifest. Raises `SegmentMissing`, `SegmentDamaged`."""
        uri = self.uri(stream, segment.key)
        if self._latest[:2] == (uri, segment.sha256):
            return self._latest[2]
        data = await self.blobs.get_or_none(uri)
        if data is None:
            raise SegmentMissing(uri, "it is not in the object store")
        await asyncio.to_thread(check_file, segment, data, uri)
        if self._remembers:
            self._latest = (uri, segment.sha256, data)
        return data

    async def read(self, stream: str, *, after: int, until: int | None = None) -> AsyncIterator[list[Archived]]:
        """All messages behind the sequence `after`, up to `until`, in order; those that were erased among them.

        A segment that is merged or rewritten meanwhile is looked for once more. Raises `SegmentMissing`,
        `SegmentDamaged`, `ManifestDamaged`.
        """
        missing = ""
        while True:
            manifest = await self.manifest(stream)
            try:
                for segment in manifest.behind(after):
                    if until is not None and segment.first > until:
                        return
                    data = await self.segment(stream, segment)
                    found = messages_of(data, self.uri(stream, segment.key), after=after, until=until)
                    while (messages := await asyncio.to_thread(next, found, None)) is not None:
                        yield messages
                        after = messages[-1].sequence
                    after = max(after, segment.last)
                return
            except SegmentMissing as error:
                if error.uri == missing:
                    raise
                missing = error.uri

    async def subject(self, subject: str, stream: str, *, after: int = 0, until: int | None = None) -> list[Archived]:
        """All messages of one subject behind a sequence and up to another, in order. Raises as `read`."""
        missing = ""
        while True:
            manifest = await self.manifest(stream)
            try:
                return await self._subject(manifest, subject, after, until)
            except SegmentMissing as error:
                if error.uri == missing:
                    raise
                missing = error.uri

    async def _subject(self, manifest: Manifest, subject: str, after: int, until: int | None) -> list[Archived]:
        found: list[Archived] = []
        for segment in manifest.behind(after):
            if until is not None and segment.first > until:
                break
            if not await self.may_have(manifest.stream, segment, subject):
                continue
            data = await self.segment(manifest.stream, segment)
            uri = self.uri(manifest.stream, segment.key)
            batches = messages_of(data, uri, after=after, until=until, subject=subject)
            found += [message for batch in await asyncio.to_thread(_all, batches) for message in batch]
        return found

    async def may_have(self, stream: str, segment: Segment, subject: str) -> bool:
        """Whether a segment can have messages of a subject."""
        uri = self.uri(stream, index_key(segment.key))
        if uri not in self._indexes:
            data = await self.blobs.get_or_none(uri)
            index = None if data is None else SubjectIndex.of(data)
            if uri not in self._indexes:  # others may have asked meanwhile
                self._indexes[uri] = index
                self._remembered += _hashes(index)
            while self._remembered > _REMEMBERED and len(self._indexes) > 1:
                self._remembered -= _hashes(self._indexes.popitem(last=False)[1])
        else:
            index = self._indexes[uri]
        return index is None or index.has(subject)


def _hashes(index: SubjectIndex | None) -> int:
    # What is missing takes a little room as well.
    return 1 if index is None else max(1, len(index))


def _all(batches: Iterator[Sequence[Archived]]) -> list[Sequence[Archived]]:
    return list(batches)
