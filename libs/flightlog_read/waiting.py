"""Reads that wait until a sequence is visible."""

import asyncio
import heapq
from contextlib import suppress


class Watermark:
    """The last visible sequence, and those who wait for a later one.

    Waiting costs a comparison when the sequence is there already, else one future. UNKNOWN means that nothing can be
    said now.
    """

    UNKNOWN = -1

    def __init__(self) -> None:
        self.sequence = Watermark.UNKNOWN
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = 0
        self._wanted = asyncio.Event()

    def advance(self, sequence: int) -> None:
        """Everything up to `sequence` is visible now; wakes who waited for it."""
        self.sequence = sequence
        waiting = self._waiting
        while waiting and waiting[0][0] <= sequence:
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)

    def forget(self) -> None:
        """The connection that vouched for the mark is gone; wakes everybody, to look elsewhere."""
        self.sequence = Watermark.UNKNOWN
        woken, self._waiting = self._waiting, []
        for _, _, future in woken:
            if not future.done():
                future.set_result(None)

    def wait(self, sequence: int) -> asyncio.Future[None]:
        """A future that is done when `sequence` is visible or the mark is unknown: look at `sequence` again then."""
        future = asyncio.get_running_loop().create_future()
        self._tickets += 1
        heapq.heappush(self._waiting, (sequence, self._tickets, future))
        self._wanted.set()
        return future

    async def wanted(self, seconds: float) -> None:
        """Returns as soon as somebody waits, and after `seconds` anyway."""
        if self._waiting:
            return
        self._wanted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
