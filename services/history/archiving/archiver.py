"""Writes what the streams have behind the archive, in closed segments.

It keeps nothing in memory between two segments: a look at where a stream ends says how much there is and since when,
and what is to be a segment is then read in one go. So a crash loses nothing, and an idle stream costs one question.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256

import structlog

from flightlog_archive import STREAMS, Archive, ArchiveError, ArchiveTaken
from flightlog_archive.erasing import elsewhere
from flightlog_archive.manifest import Erasing
from flightlog_archive.writing import StreamWriter, size_of
from flightlog_blobs import BlobError
from flightlog_log import Log, LogUnavailable, Raw
from flightlog_read import Database
from flightlog_read.database import is_unavailable
from services.history.archiving import metrics
from services.history.archiving.leading import Leadership, leadership
from services.history.archiving.settings import ArchiveSettings
from services.history.archiving.trimming import Trimmer

_RETRY_SECONDS = (0.5, 15.0)
_COMPRESSION = 4
"""What is read from files to be merged is larger in memory, at least so many times."""
_log = structlog.get_logger(__name__)


class ArchiveOfAnotherLog(ArchiveError):
    """What is archived is not what this log has at the same place."""


class Archiver:
    """Follows all streams into the archive, from `run` until that is cancelled."""

    def __init__(self, log: Log, archive: Archive, database: Database, settings: ArchiveSettings) -> None:
        self._log = log
        self._archive = archive
        self._database = database
        self._settings = settings
        self._streams: dict[str, _Stream] = {}
        self._trimmer = Trimmer(log, archive, settings.trimming)

    async def run(self) -> None:
        """Archives whenever no other process does. Whatever is away is waited for."""
        pause = _RETRY_SECONDS[0]
        while True:
            started = time.monotonic()
            try:
                async with leadership(self._database) as lead:
                    metrics.leading.set(1)
                    await self._archive_all(lead)
            except (ArchiveTaken, BlobError, LogUnavailable) as error:
                _log.warning("archive.interrupted", reason=str(error))
            except ArchiveError as error:
                _log.error("archive.refused", reason=str(error))
            except Exception as error:  # noqa: BLE001  # the edge of the archiver's task: nothing may end it
                if is_unavailable(error):
                    _log.warning("archive.interrupted", reason=str(error) or type(error).__name__)
                else:
                    _log.exception("archive.failed")
            finally:
                metrics.leading.set(0)
                # What a failed write has left in the store is looked at anew.
                self._streams.clear()
            metrics.failures_total.inc()
            well = time.monotonic() - started > 4 * _RETRY_SECONDS[1]
            pause = _RETRY_SECONDS[0] if well else min(pause * 2, _RETRY_SECONDS[1])
            await asyncio.sleep(pause)

    async def _archive_all(self, lead: Leadership) -> None:
        for name in STREAMS:
            writer = await StreamWriter.open(self._archive, name, lead.confirm)
            self._streams[name] = _Stream(self._log, writer, self._settings)
        await self._check_log()
        _log.info("archive.following", **{name: one.writer.manifest.sequence for name, one in self._streams.items()})
        while True:
            for one in self._streams.values():
                await one.look()
            await self._erase()
            await self._trimmer.look()
            await asyncio.sleep(self._settings.look_seconds)

    async def _check_log(self) -> None:
        try:
            for one in self._streams.values():
                await one.check_log()
        except ArchiveOfAnotherLog:
            metrics.refused.set(1)
            raise
        metrics.refused.set(0)

    async def _erase(self) -> None:
        """Erases what deleted executions have left in all streams; it stands in the manifest until that is done."""
        orders = {
            name: [order for order in one.writer.manifest.erasing if await self._is_erased(order)]
            for name, one in self._streams.items()
        }
        orders = {name: found for name, found in orders.items() if found}
        if not orders:
            return
        wanted = {name: list(found) for name, found in orders.items()}
        for order in (order for found in orders.values() for order in found):
            for stream, other in elsewhere(order):
                wanted.setdefault(stream, []).append(other)
        for name, erasing in wanted.items():
            # What was recorded about the execution by now is archived first: it could not be erased later.
            await self._streams[name].look(at_once=True)
            metrics.erased_total.inc(await self._streams[name].writer.erase(erasing))
        for name, found in orders.items():
            await self._streams[name].writer.has_erased(found)
            _log.info("archive.erased", subjects=[order.subject for order in found])

    async def _is_erased(self, order: Erasing) -> bool:
        """Whether it is erased on the log: who does that reads what was trimmed here once more."""
        async for raw in self._log.hot().stored(order.subject):
            return raw.sequence >= order.before
        return True


class _Stream:
    """One stream on its way into the archive."""

    def __init__(self, log: Log, writer: StreamWriter, settings: ArchiveSettings) -> None:
        self.writer = writer
        self._log = log
        self._settings = settings
        self._name = writer.manifest.stream
        self._read = writer.manifest.sequence
        """How far the stream has been read: further than it is archived where the last messages are gone."""
        self._since: float | None = None
        self._measure(self._read)

    async def check_log(self) -> None:
        """Raises `ArchiveOfAnotherLog` when the stream cannot be the one that was archived."""
        manifest = self.writer.manifest
        if not manifest.segments:
            return
        head = await self._log.stream_sequence(self._name)
        if head < manifest.sequence:
            raise ArchiveOfAnotherLog(
                f"{self._name} ends at {head}, its archive at {manifest.sequence}: restore it from the archive, "
                "or give this log another bucket"
            )
        found = await self._log.stored_after(self._name, ">", manifest.sequence - 1, 1)
        hashes = [sha256(one.data).hexdigest() for one in found if one.sequence == manifest.sequence]
        if hashes and hashes != [manifest.segments[-1].last_hash]:
            raise ArchiveOfAnotherLog(f"{self._name} has another message at {manifest.sequence} than its archive")

    async def look(self, *, at_once: bool = False) -> None:
        """Closes what has waited for long enough, or is enough for a segment; all there is with `at_once`."""
        head = await self._log.stream_sequence(self._name)
        if head < self.writer.manifest.sequence:
            # Somebody has emptied the server under us; what comes now is another log's.
            await self.check_log()
        if head <= self._read:
            self._since = None
            self._measure(head)
            return
        now = time.monotonic()
        self._since = self._since if self._since is not None else now
        settings = self._settings
        if at_once or head - self._read >= settings.close_messages or now - self._since >= settings.close_seconds:
            await self._close(head)
            self._since = None
        self._measure(head)

    async def _close(self, head: int) -> None:
        """Closes segments up to where the stream ends now."""
        messages: list[Raw] = []
        size = 0
        stored: AsyncGenerator[list[Raw]] = self._log.follow_stored(
            self._name, after=self.writer.manifest.sequence, live=False
        )
        async with aclosing(stored) as batches:
            async for batch in batches:
                for message in batch:
                    messages.append(message)
                    size += size_of(message)
                    if len(messages) >= self._settings.close_messages or size >= self._settings.close_bytes:
                        await self._append(messages)
                        messages, size = [], 0
        if messages:
            await self._append(messages)
        self._read = max(head, self.writer.manifest.sequence)
        while await self.writer.merge(self._settings.close_messages, self._settings.close_bytes // _COMPRESSION):
            pass

    async def _append(self, messages: list[Raw]) -> None:
        segment = await self.writer.append(messages)
        _log.debug("archive.closed", stream=self._name, segment=segment.key, messages=segment.count)

    def _measure(self, head: int) -> None:
        manifest = self.writer.manifest
        metrics.position.labels(self._name).set(manifest.sequence)
        metrics.lag_messages.labels(self._name).set(max(0, head - max(self._read, manifest.sequence)))
        metrics.age_seconds.labels(self._name).set(0 if self._since is None else time.monotonic() - self._since)
        metrics.size_bytes.labels(self._name).set(manifest.size)
        metrics.segments.labels(self._name).set(len(manifest.segments))
