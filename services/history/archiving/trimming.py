"""Trimming the hot log: events of executions that ended long ago leave the server, for the archive has them.

In two steps, so that nobody misses anything: first it is said how far the stream is trimmed, and who reads from below
that place reads the archive from then on; when everybody knows, the messages go. Of each execution its last envelope
stays, and whatever came after its end: appends and look-ups by its name go on as before. Its attempts' observations go
altogether.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final

import structlog

from flightlog_archive import Archive, Manifest, Segment
from flightlog_log import KNOWN_SECONDS, Log, Subject, Trimming
from services.history.archiving import metrics
from services.history.archiving.settings import TrimmingSettings

_EXECUTION: Final = "EXECUTION"
_LAUNCHER: Final = "LAUNCHER"
_ENDS: Final = frozenset({"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted"})
_log = structlog.get_logger(__name__)


class Trimmer:
    """Trims one segment's executions at a time, from `look` to `look`. Only the archiver's process may do it."""

    def __init__(self, log: Log, archive: Archive, settings: TrimmingSettings) -> None:
        self._log = log
        self._archive = archive
        self._settings = settings
        self._next = 0.0
        self._announced = 0.0

    async def look(self) -> None:
        """Does the next step, if there is one. Raises `LogUnavailable`, `BlobError`, `ArchiveError`."""
        now = time.monotonic()
        if self._settings.after_days is None or now < self._next:
            return
        self._next = now + self._settings.pause_seconds
        state = await self._log.trimming(_EXECUTION)
        manifest = await self._archive.manifest(_EXECUTION)
        due = self._due(manifest, state.done)
        if not due:
            return
        segment = due[0]
        if state.announced < segment.last:
            # All of them at once: none of those that follow waits for its own announcement to be known.
            await self._announce(due[-1].last, state)
        elif now - self._announced > 2 * KNOWN_SECONDS:
            # After a start it is not known for how long it has been announced: it is waited once more.
            if self._announced == 0.0:
                self._announced = now
                return
            await self._trim(segment, state)

    def _due(self, manifest: Manifest, done: int) -> Sequence[Segment]:
        """The next segments that are old enough as a whole."""
        assert self._settings.after_days is not None
        until = datetime.now(UTC) - timedelta(days=self._settings.after_days)
        return tuple(
            takewhile(lambda one: one.recorded_until is None or one.recorded_until <= until, manifest.behind(done))
        )

    async def _announce(self, sequence: int, state: Trimming) -> None:
        observed = (await self._archive.manifest(_LAUNCHER)).sequence
        for stream, last in ((_EXECUTION, sequence), (_LAUNCHER, observed)):
            known = state if stream == _EXECUTION else await self._log.trimming(stream)
            await self._log.note_trimming(stream, Trimming(max(last, known.announced), known.done))
        self._announced = time.monotonic()

    async def _trim(self, segment: Segment, state: Trimming) -> None:
        observed = (await self._log.trimming(_LAUNCHER)).announced
        for stream, last in ((_EXECUTION, segment.last), (_LAUNCHER, observed)):
            # Who began to read before it was announced reads on from the server.
            if behind := await self._log.readers_behind(stream, last):
                _log.info("archive.trimming_waits", stream=stream, sequence=last, readers=behind)
                return
        data = await self._archive.segment(_EXECUTION, segment)
        uri = self._archive.uri(_EXECUTION, segment.key)
        ended = await asyncio.to_thread(_ended, data, uri)
        for subject, sequence in ended.items():
            await self._log.trim(subject, sequence)
            await self._log.trim(Subject.of(_LAUNCHER, *Subject.parse(subject).parts), observed + 1)
        await self._log.note_trimming(_EXECUTION, Trimming(state.announced, segment.last))
        metrics.trimmed_total.inc(len(ended))
        if ended:
            _log.info("archive.trimmed", executions=len(ended), sequence=segment.last)


def _ended(data: bytes, uri: str) -> dict[str, int]:
    """Executions that ended within a segment, with the sequence of their end."""
    from flightlog_archive.segments import tables_of

    table = tables_of(data, uri)
    rows = zip(
        table["subject"].to_pylist(), table["sequence"].to_pylist(), table["fact_types"].to_pylist(), strict=True
    )
    return {subject: sequence for subject, sequence, types in rows if types and not _ENDS.isdisjoint(types)}
