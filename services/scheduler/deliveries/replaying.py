"""Delivering once more what happened in a range, or to an execution: read from the log again, under the same ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from flightlog_log import Cause, Log, LogError, LogUnavailable, Recorded
from services.scheduler.deliveries.sources import Following, Source

_log = structlog.get_logger(__name__)
_CLOCKS_DIFFER = timedelta(minutes=1)
"""The log's server and those who write to it need not have the same time."""


@dataclass(frozen=True, slots=True)
class Range:
    """What to deliver again. Empty names select everything.

    Attributes:
        begin: of the moments at which events were recorded.
        end: not included.
    """

    sink: str = ""
    project: str = ""
    domain: str = ""
    execution: str = ""
    begin: datetime | None = None
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether something of this moment is in the range."""
        return (self.begin is None or moment >= self.begin) and (self.end is None or moment < self.end)


class Replaying:
    """Reads the sources' streams again."""

    def __init__(self, log: Log, followed: Sequence[tuple[Source, Following]]) -> None:
        self._log = log
        self._followed = followed

    async def replay(self, wanted: Range, cause: Cause) -> int:
        """Queue again what the range holds; returns how many deliveries that are. What still waits stays as it is.

        An envelope that cannot be read any more is passed over: the consumer that could not read it has parked it.
        """
        count = 0
        since = None if wanted.begin is None else wanted.begin - _CLOCKS_DIFFER
        for source, following in self._followed:
            subjects = source.subjects_of(wanted.project, wanted.domain, wanted.execution)
            async for batch in self._log.follow(source.stream, after=0, subjects=subjects, live=False, since=since):
                for entry in batch:
                    if isinstance(entry, Recorded) and wanted.holds(entry.recorded_at):
                        count += await self._again(source, following, entry, wanted.sink, cause)
        return count

    async def _again(self, source: Source, following: Following, recorded: Recorded, sink: str, cause: Cause) -> int:
        if source.facts.isdisjoint(fact.DESCRIPTOR.name for fact in recorded.facts):
            return 0
        try:
            found = [(name, queued) for name, queued in await source.deliveries(recorded) if sink in ("", name)]
        except LogUnavailable:
            raise
        except LogError as error:
            _log.error("replay.passed_over", subject=recorded.subject, sequence=recorded.sequence, reason=str(error))
            return 0
        for _, queued in found:
            queued.replay = True
        return await following.queue(found, cause)
