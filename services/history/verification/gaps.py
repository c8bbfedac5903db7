"""Which sequences of a stream nobody has, and how many of them are accounted for.

Pure. A stream gives its sequences out without leaving one out, so each that nobody has was removed: by somebody who
may, which chains and archive account for, or by somebody who may not. This finds also what no chain shows, because
nothing comes after it: a subject's last envelope, a whole subject, an observation, the end of the stream.
"""

from __future__ import annotations

from services.history.verification.findings import GAP, Finding

_SHOWN = 20
_REMEMBERED = 1000


class Gaps:
    """Takes the sequences that are there, in order.

    Up to the sequence `trimmed_up_to` messages may have been removed because the archive has them, and anywhere
    `erased` of them because what they said was to be forgotten.
    """

    def __init__(self, stream: str, trimmed_up_to: int = 0, erased: int = 0) -> None:
        self._stream = stream
        self._trimmed_up_to = trimmed_up_to
        self._erased = erased
        self._last = 0
        self._trimmable = 0
        self._accounted = 0
        self._ranges: list[tuple[int, int]] = []
        self.absent = 0
        """How many sequences nobody has."""
        self.trimmed = 0
        """How many of them were taken for trimmed."""

    def take(self, sequence: int) -> None:
        """A message is there."""
        if sequence > self._last + 1:
            self._missing(self._last + 1, sequence - 1)
        self._last = max(self._last, sequence)

    def trim(self, count: int) -> bool:
        """Whether so many of what is absent so far can have been trimmed; if so, they are taken for that."""
        if count > self._trimmable - self.trimmed:
            return False
        self.trimmed += count
        return True

    def account(self, count: int, behind: int, before: int) -> None:
        """Somebody says that he misses so many messages between two sequences."""
        self._accounted += count
        between = [one for one in self._ranges if behind < one[0] and one[1] < before]
        if sum(last - first + 1 for first, last in between) == count:
            self._ranges = [one for one in self._ranges if one not in between]

    def finish(self, end: int, *, uncounted: bool = False, deletions: bool = False) -> list[Finding]:
        """What is absent up to the stream's last sequence and nobody accounts for.

        `uncounted`: there are subjects without order, of which nobody can say how many messages were removed.
        `deletions`: executions were deleted, perhaps before what was said of them had been archived. Then nobody knows
        what is missing of such a stream, and nothing is said.
        """
        if end > self._last:
            self._missing(self._last + 1, end)
        if uncounted:
            self.trimmed = self._trimmable
            self._accounted += min(self._erased, self.absent - self._trimmable)
        left = self.absent - self.trimmed - self._accounted
        if left > 0 and uncounted and deletions:
            self.trimmed += left
            return []
        if left <= 0:
            return []
        shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in self._ranges[:_SHOWN])
        more = ", …" if len(self._ranges) > _SHOWN else ""
        exactly = sum(last - first + 1 for first, last in self._ranges) == left
        text = f"{_messages(left)} missing{'' if exactly else ', among'}: {shown}{more}"
        return [Finding(GAP, self._stream, text, sequence=self._ranges[0][0] if self._ranges else 0)]

    def _missing(self, first: int, last: int) -> None:
        self.absent += last - first + 1
        self._trimmable += max(0, min(last, self._trimmed_up_to) - first + 1)
        if len(self._ranges) < _REMEMBERED:
            self._ranges.append((first, last))


def _messages(count: int) -> str:
    return "1 message is" if count == 1 else f"{count} messages are"
