"""The archive's rows in the order of the stream, with what is wrong with their segments."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from flightlog_archive import Archive, Manifest, Segment, SegmentDamaged, SegmentMissing
from services.history.verification.findings import PAYLOAD, REPAIR, SEGMENT, Finding
from services.history.verification.reading import archived
from services.history.verification.stream import Message


@dataclass(slots=True)
class _Damaged:
    segment: Segment
    reason: str
    on_log: int = 0
    """How many of its messages the log has."""


class Rows:
    """Gives the rows of a manifest's segments, of one subject when it is named, and findings among them.

    A segment that is damaged as a whole is passed over; `damaged` says of it, when the log has been read beside the
    rows, whether it can be made again.
    """

    def __init__(self, archive: Archive, manifest: Manifest, *, subject: str = "") -> None:
        self._archive = archive
        self._manifest = manifest
        self._subject = subject
        self._end = manifest.sequence
        self._given = 0
        self._ends = [segment.last for segment in manifest.segments]
        self._damaged: dict[str, _Damaged] = {}

    def seen(self, sequence: int) -> None:
        """The log has a message of this sequence."""
        damaged = self._damaged_at(sequence)
        if damaged is not None:
            damaged.on_log += 1

    def has_all(self, sequence: int) -> bool:
        """Whether the archive has all messages around a sequence, and they have been given out."""
        return sequence <= self._end and self._damaged_at(sequence) is None

    def damaged(self) -> list[Finding]:
        """Of each segment that is missing or altered as a whole."""
        found: list[Finding] = []
        for one in self._damaged.values():
            whole = one.on_log == one.segment.count
            text = one.reason
            if not whole and not self._subject:
                text += f"; the log has {one.on_log} of its {one.segment.count} messages"
            found.append(self._finding(one.segment, 0, "", text, repair=REPAIR if whole else ""))
        return found

    async def read(self) -> AsyncGenerator[Message | Finding]:
        """The rows in order. Raises `BlobError` when the object store cannot be reached."""
        place = 0
        while place < len(self._manifest.segments):
            segment = self._manifest.segments[place]
            try:
                data = await self._data(segment)
            except SegmentMissing as error:
                newer = await self._archive.manifest(self._manifest.stream)
                if all(one.key != segment.key for one in newer.segments):
                    # It was merged or rewritten meanwhile.
                    self._manifest, self._ends = newer, [one.last for one in newer.segments]
                    place = bisect_left(self._ends, segment.first)
                    continue
                self._damaged[segment.key] = _Damaged(segment, error.reason)
            except SegmentDamaged as error:
                self._damaged[segment.key] = _Damaged(segment, error.reason)
            else:
                if data is not None:
                    async for item in self._items(segment, data):
                        yield item
            place += 1

    async def _data(self, segment: Segment) -> bytes | None:
        stream = self._manifest.stream
        if self._subject and not await self._archive.may_have(stream, segment, self._subject):
            return None
        return await self._archive.segment(stream, segment)

    async def _items(self, segment: Segment, data: bytes) -> AsyncGenerator[Message | Finding]:
        from flightlog_archive.checking import Problem, check_messages  # takes long to import

        stream = self._manifest.stream
        uri = self._archive.uri(stream, segment.key)
        subjects: set[str] = set()
        checked = check_messages(segment, self._manifest.chain_before(segment), data, uri)
        while (found := await asyncio.to_thread(next, checked, None)) is not None:
            if isinstance(found, Problem):
                yield self._finding(segment, found.sequence, found.subject, found.reason, repair=REPAIR)
                continue
            for row in found:
                subjects.add(row.subject)
                if self._subject not in ("", row.subject) or not self._given < row.sequence <= self._end:
                    continue
                self._given = row.sequence
                message = archived(stream, row)
                for fault in message.faults:
                    where = fault.uri or uri
                    # What it lacks the object store may have.
                    repair = REPAIR if fault.kind == PAYLOAD else ""
                    yield Finding(
                        fault.kind, stream, fault.message, row.subject, row.sequence, uri=where, repair=repair
                    )
                yield message

        hidden = [one for one in subjects if not await self._archive.may_have(stream, segment, one)]
        if hidden:
            text = f"the list of its subjects lacks {len(hidden)} of {len(subjects)}"
            yield self._finding(segment, 0, min(hidden), text, repair=REPAIR)

    def _damaged_at(self, sequence: int) -> _Damaged | None:
        place = bisect_left(self._ends, sequence)
        return self._damaged.get(self._manifest.segments[place].key) if place < len(self._ends) else None

    def _finding(self, segment: Segment, sequence: int, subject: str, text: str, repair: str = "") -> Finding:
        uri = self._archive.uri(self._manifest.stream, segment.key)
        return Finding(SEGMENT, self._manifest.stream, text, subject, sequence or segment.first, uri=uri, repair=repair)
