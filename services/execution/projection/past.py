"""Executions as they were: their envelopes up to a sequence, folded as the projection folds them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from flightlog_log import Log, Recorded
from services.execution import subjects
from services.execution.projection import fold
from services.execution.projection.rows import Rows
from services.execution.subjects import ExecutionKey

MAX_KEPT_ROWS = 50_000
"""Rows kept at hand: whoever looks at an execution makes many calls, each of which asks about the same moment."""
KEPT_SECONDS = 30.0
"""Long enough for the calls of one look."""
_FOLDED_AT_ONCE = 200


@dataclass(slots=True)
class _Kept:
    rows: Rows
    size: int
    until: float


class Past:
    """Folds executions up to sequences of the past."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kept: OrderedDict[tuple[ExecutionKey, int, int], _Kept] = OrderedDict()
        self._size = 0

    async def rows(self, key: ExecutionKey, sequence: int, last: int) -> Rows:
        """The rows of an execution as they were at a sequence; none when it was not there yet.

        Args:
            last: the last sequence that the log has of it now.

        Raises:
            Undecodable, PayloadMissing, LogUnavailable: its envelopes cannot be had.
            RowMissing: its history lacks its beginning.
        """
        place = (key, sequence, last)
        self._drop_old(time.monotonic())
        kept = self._kept.get(place)
        if kept is not None:
            return kept.rows
        rows = await self.folded(key, sequence)
        size = sum(map(len, (rows.executions, rows.nodes, rows.tasks, rows.elements, rows.signals)))
        if place not in self._kept and size <= MAX_KEPT_ROWS:
            self._kept[place] = _Kept(rows, size, time.monotonic() + KEPT_SECONDS)
            self._size += size
            while self._size > MAX_KEPT_ROWS:
                self._size -= self._kept.popitem(last=False)[1].size
        return rows

    async def folded(self, key: ExecutionKey, sequence: int) -> Rows:
        """The same, without keeping it. Raises as `rows`."""
        subject = subjects.execution(key)
        return await rows_of([] if subject is None else await self._log.load(subject, until=sequence))

    def forget(self, project: str) -> None:
        """Fold the executions of a project anew: their personal data may be gone."""
        for place in [place for place in self._kept if place[0][0] == project]:
            self._size -= self._kept.pop(place).size

    def _drop_old(self, now: float) -> None:
        # Oldest first: all are kept equally long.
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._size -= self._kept.popitem(last=False)[1].size


async def rows_of(records: Iterable[Recorded]) -> Rows:
    """The rows that an execution's envelopes make, from the first one on. Raises `RowMissing`."""
    rows = Rows()
    for number, recorded in enumerate(records, start=1):
        fold.apply(rows, recorded)
        if number % _FOLDED_AT_ONCE == 0:
            # Executions run on meanwhile.
            await asyncio.sleep(0)
    return rows
