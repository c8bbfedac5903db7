"""The check of whole streams, and of single subjects: log and archive side by side, and what others know of the end.

The log may be written and the archive go on meanwhile: what counts is what both had when the check of a stream began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from flightlog_archive import STREAMS, Archive, Manifest, ManifestDamaged
from flightlog_blobs import BlobStore
from flightlog_log import Log, stream_of
from services.history.verification import reading
from services.history.verification.deletions import Deletions
from services.history.verification.findings import MANIFEST, RESTORE, Finding
from services.history.verification.rows import Rows
from services.history.verification.stream import Message, StreamCheck, Voucher

Vouchers = Callable[[str], Awaitable[Sequence[Voucher]]]
"""Who has seen a stream, and up to which sequence."""

_EXECUTION = "EXECUTION"
_BATCH = 500
_MOST_OF_A_KIND = 200
"""Findings of one stream: where a whole stream is gone, each further one says nothing new."""
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the check of a stream is, in sequences."""

    stream: str
    checked: int
    total: int
    stream_done: bool = False
    messages: int = 0
    """How many of them the log has; known when the stream is done, as what follows is."""
    subjects: int = 0
    archived: int = 0
    """How many are in the archive alone, because the log was trimmed."""
    trimmed: int = 0
    """How many are nowhere, and were taken for trimmed or erased."""
    deleted: int = 0
    """How many aggregates were deleted."""


class Verification:
    """Checks the log, and the archive with it."""

    def __init__(self, log: Log, blobs: BlobStore, archive: Archive, vouchers: Vouchers) -> None:
        self._log = log.hot()
        self._deletions = Deletions(self._log)
        self._blobs = blobs
        self._archive = archive
        self._vouchers = vouchers

    async def streams(self, names: Sequence[str] = (), *, archive: bool = False) -> AsyncGenerator[Finding | Progress]:
        """Checks streams, all unless some are named, one after another.

        Raises `LogUnavailable` and `BlobError` when a part is away, and `ValueError` for a stream that is not kept.
        """
        for name in names:
            if name not in STREAMS:
                raise ValueError(f"{name} is no stream that is kept; those are {', '.join(STREAMS)}")
        deletions = bool((await self._manifest(_EXECUTION))[0].erased)
        for name in names or STREAMS:
            told: Counter[str] = Counter()
            async with aclosing(self._stream(name, compare=archive, deletions=deletions)) as found:
                async for one in found:
                    if isinstance(one, Finding):
                        told[one.kind] += 1
                        if told[one.kind] > _MOST_OF_A_KIND:
                            continue
                    elif one.stream_done:
                        deletions = deletions or one.deleted > 0
                        for finding in _untold(name, told):
                            yield finding
                    yield one

    async def subject(self, subject: str, *, archive: bool = False) -> AsyncGenerator[Finding | Progress]:
        """Checks the chain of one subject. Raises as `streams`."""
        stream = stream_of(subject)
        if stream not in STREAMS:
            raise ValueError(f"{subject} is on no stream that is kept; those are {', '.join(STREAMS)}")
        manifest, finding = await self._manifest(stream)
        if finding is not None:
            yield finding
        end = await self._log.stream_sequence(stream)
        on_log = [raw async for raw in self._log.stored(subject) if raw.sequence <= end]
        messages = {one.sequence: one for one in await reading.stored(self._blobs, stream, on_log)}
        archived: dict[int, Message] = {}
        damaged = False
        if archive:
            rows = Rows(self._archive, manifest, subject=subject)
            async with aclosing(rows.read()) as items:
                async for item in items:
                    if isinstance(item, Finding):
                        yield item
                    else:
                        archived[item.sequence] = item
            for finding in rows.damaged():
                damaged = True
                yield finding
        trimmed_up_to = (await self._log.trimming(stream)).announced
        check = StreamCheck(
            stream,
            last=max(messages, default=0),
            archived=manifest.sequence,
            trimmed_up_to=trimmed_up_to,
            compared=archive,
            numbered=stream != reading.PARKED,
            whole=False,
        )
        for sequence in sorted(messages.keys() | archived.keys()):
            has_all = archive and not damaged and sequence <= manifest.sequence
            here, there = messages.get(sequence), archived.get(sequence)
            if here is None and there is not None:
                there = await self._as_erased(there, trimmed_up_to)
            for finding in check.take(here, there, archive_has_all=has_all):
                yield finding
        for finding in check.finish(end):
            yield finding
        yield _done(check, stream, end)

    async def _stream(self, stream: str, *, compare: bool, deletions: bool) -> AsyncGenerator[Finding | Progress]:
        manifest, finding = await self._manifest(stream)
        if finding is not None:
            yield finding
        vouchers = [*await self._vouchers(stream), Voucher("the archive", manifest.sequence, RESTORE)]
        end = await self._log.stream_sequence(stream)
        trimmed_up_to = (await self._log.trimming(stream)).announced
        check = StreamCheck(
            stream,
            last=await self._log.last_stored(stream),
            archived=manifest.sequence,
            trimmed_up_to=trimmed_up_to,
            erased=sum(segment.erased for segment in manifest.segments),
            compared=compare,
            numbered=stream != reading.PARKED,
        )
        rows = Rows(self._archive, manifest if compare else Manifest(stream))
        async with aclosing(_messages(self._log, self._blobs, stream)) as on_log, aclosing(rows.read()) as items:
            messages, archived = _Ahead(on_log), _Ahead(items)
            taken = 0
            while True:
                message, row = await messages.peek(), await archived.peek()
                if isinstance(row, Finding):
                    yield row
                    archived.take()
                    continue
                if message is None and row is None:
                    break
                sequence = min(one.sequence for one in (message, row) if one is not None)
                here = messages.take() if message is not None and message.sequence == sequence else None
                there = archived.take() if row is not None and row.sequence == sequence else None
                assert not isinstance(there, Finding), "it was looked at"
                if here is not None:
                    rows.seen(sequence)
                elif there is not None:
                    there = await self._as_erased(there, trimmed_up_to)
                for finding in check.take(here, there, archive_has_all=rows.has_all(sequence)):
                    yield finding
                taken += 1
                if taken % _BATCH == 0:
                    yield Progress(stream, sequence, max(end, manifest.sequence))
        for finding in [*rows.damaged(), *check.finish(end, vouchers, deletions=deletions)]:
            yield finding
        yield _done(check, stream, end)

    async def _as_erased(self, row: Message, trimmed_up_to: int) -> Message:
        """A row of a message that the log has not: as one that was erased, where it will be soon."""
        if row.erased or row.sequence <= trimmed_up_to or stream_of(row.subject) == reading.PARKED:
            return row
        return replace(row, erased=True) if await self._deletions.took(row.subject, row.sequence) else row

    async def _manifest(self, stream: str) -> tuple[Manifest, Finding | None]:
        uri = self._archive.uri(stream)
        try:
            manifest, found = await self._archive.manifest_and_hash(stream)
        except ManifestDamaged as error:
            return Manifest(stream), Finding(MANIFEST, stream, str(error), uri=uri)
        if not found and await self._archive.segments_without_manifest(stream):
            return manifest, Finding(MANIFEST, stream, "there are segments and no manifest names them", uri=uri)
        return manifest, None


async def _messages(log: Log, blobs: BlobStore, stream: str) -> AsyncGenerator[Message]:
    async with aclosing(log.follow_stored(stream, after=0, live=False)) as batches:
        async for batch in batches:
            for message in await reading.stored(blobs, stream, batch):
                yield message


class _Ahead(Generic[_Item]):
    """An iterator whose next item can be looked at before it is taken."""

    def __init__(self, items: AsyncIterator[_Item]) -> None:
        self._items = items
        self._next: _Item | None = None

    async def peek(self) -> _Item | None:
        """None: there is nothing more."""
        if self._next is None:
            self._next = await anext(self._items, None)
        return self._next

    def take(self) -> _Item:
        """What was looked at."""
        item, self._next = self._next, None
        assert item is not None, "it was looked at"
        return item


def _untold(stream: str, told: Counter[str]) -> list[Finding]:
    return [
        Finding(kind, stream, f"{count - _MOST_OF_A_KIND} more of this kind")
        for kind, count in told.items()
        if count > _MOST_OF_A_KIND
    ]


def _done(check: StreamCheck, stream: str, end: int) -> Progress:
    return Progress(
        stream,
        end,
        end,
        True,
        check.checked,
        check.subjects,
        archived=check.archived_only,
        trimmed=check.trimmed,
        deleted=check.deleted,
    )
