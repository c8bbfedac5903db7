"""The chains of a stream's subjects, checked in one pass over the stream: numbers, hashes, order, what is missing.

Pure. Of each subject only its last envelope's hash, position and sequence are kept, about 200 bytes, so that millions
of subjects fit into memory; of what is wrong a little more, until it is known what exactly.

Each envelope has the hash of its predecessor. So a link that does not fit says that one of two envelopes is not what it
was, and the next link says which: when that fits, it was the first of the two. A subject's last envelope is vouched for
by nothing here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from services.history.verification.findings import ALTERED, GAP, MISPLACED, ORDER, RESTORE, Finding

_STATE = struct.Struct("<32sIQ")
_KEY_BYTES = 12
_LARGEST_POSITION = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Link:
    """What an envelope says of its place in its subject's chain."""

    subject: str
    """Where it lies."""
    sequence: int
    belongs_to: str
    """The subject in the envelope; empty: not known."""
    position: int
    """0 on subjects without order."""
    previous_hash: bytes
    hash: bytes
    """SHA-256 of its bytes."""
    closes: bool = False
    """What came before it on its subject may be gone: it says that the aggregate was deleted."""
    away: bool = False
    """It should be on the log and is not: the archive alone has it, and not because it was erased."""


@dataclass(slots=True)
class _Gap:
    """Positions that are missing."""

    first: int
    last: int
    behind: int
    """The sequence behind which they are missing, 0 at the beginning."""
    before: int
    """The sequence of the envelope that shows it."""
    found: set[int] = field(default_factory=set[int])
    """Those that came later."""

    @property
    def count(self) -> int:
        return self.last - self.first + 1 - len(self.found)


@dataclass(slots=True)
class _Trouble:
    """What is wrong with a subject and not yet told, or needed to understand what follows."""

    broken: Link | None = None
    """An envelope whose predecessor, as it lies there, is not the one it names."""
    before_broken: int = 0
    """Sequence of that predecessor."""
    gaps: list[_Gap] = field(default_factory=list[_Gap])
    spoiled: int = 0
    """How many messages nobody knows the positions of: unreadable or misplaced ones. They are not missing."""
    told: int = 0
    """Sequence of an envelope that is known to be altered."""


@dataclass(slots=True)
class _Away:
    """A subject whose envelopes so far are in the archive alone."""

    subject: str
    sequence: int
    position: int
    count: int = 0


class Chains:
    """Takes the envelopes of one stream in the order of the stream.

    Up to the sequence `trimmed_up_to` envelopes may have been removed on purpose because the archive has them: of a
    subject with order all but the last, of others all. `trimmed` is asked whether so many of one subject may have been.
    `account` is told how many are missing, or were removed with good reason, between which two sequences.
    """

    def __init__(
        self,
        stream: str,
        trimmed_up_to: int,
        trimmed: Callable[[int], bool],
        account: Callable[[int, int, int], None],
    ) -> None:
        self._stream = stream
        self._trimmed_up_to = trimmed_up_to
        self._trimmed = trimmed
        self._account = account
        self._last: dict[bytes, bytes] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._away: dict[bytes, _Away] = {}
        self.closed = 0
        """How many aggregates were deleted."""
        self.unordered = False
        """Whether there are subjects without order."""
        self.archived = 0
        """Envelopes that are in the archive alone, removed from the log when it was trimmed."""

    @property
    def subjects(self) -> int:
        """How many there are."""
        return len(self._last)

    def spoil(self, subject: str) -> None:
        """A message on the subject could not be read, or is another subject's: its own is not where it belongs."""
        self._trouble(subject).spoiled += 1

    def take(self, link: Link) -> list[Finding]:
        """What this envelope shows. What it does not yet show for certain comes later, or from `finish`."""
        if link.belongs_to not in ("", link.subject):
            self.spoil(link.subject)
            return [self._finding(MISPLACED, link, f"the envelope belongs to {link.belongs_to}")]
        key = blake2b(link.subject.encode(), digest_size=_KEY_BYTES).digest()
        packed = self._last.get(key)
        self.closed += link.closes
        found = self._present(key, link, known=packed is not None)
        if packed is None:
            return found + self._first(key, link)
        previous_hash, position, sequence = _STATE.unpack(packed)
        if position == 0:
            return found + self._first(key, link)
        return found + self._next(key, link, previous_hash, position, sequence)

    def finish(self) -> list[Finding]:
        """What is left to be told when the stream is over."""
        found: list[Finding] = []
        for subject, trouble in self._troubles.items():
            found += self._unsettled(trouble)
            for gap in trouble.gaps:
                if gap.count > 0:
                    where = f"between the sequences {gap.behind} and {gap.before}" if gap.behind else "at its beginning"
                    first = min(set(range(gap.first, min(gap.last, gap.first + len(gap.found)) + 1)) - gap.found)
                    text = f"{_missing(gap)} missing {where}"
                    found.append(Finding(GAP, self._stream, text, subject, gap.before, first))
        for away in self._away.values():
            if away.position == 0:
                self.archived += away.count
                continue
            text = f"all of the subject is gone from the log; the archive has {away.count} of its envelopes"
            found.append(Finding(GAP, self._stream, text, away.subject, away.sequence, away.position, repair=RESTORE))
        self._troubles.clear()
        self._away.clear()
        return sorted(found, key=lambda finding: finding.sequence)

    def _present(self, key: bytes, link: Link, *, known: bool) -> list[Finding]:
        """Trimming takes a subject's first envelopes. What is missing behind one that is there was dropped."""
        away = self._away.get(key)
        if not link.away:
            if away is not None:
                del self._away[key]
                self.archived += away.count
            return []
        if link.sequence > self._trimmed_up_to or (away is None and known):
            text = "it is missing from the log; the archive has it"
            return [self._finding(GAP, link, text, repair=RESTORE)]
        if away is None:
            away = self._away[key] = _Away(link.subject, link.sequence, link.position)
        away.count += 1
        return []

    def _first(self, key: bytes, link: Link) -> list[Finding]:
        before = link.position - 1
        self._keep(key, link, link.position)
        if before < 0:
            self.unordered = True  # nothing to follow
            return []
        if (before == 0) == (not link.previous_hash):
            if link.closes:
                self._account(before, 0, link.sequence)
            elif before:
                self._gap(link, 1, 0, may_be_trimmed=True)
            return []
        self._trouble(link.subject).told = link.sequence
        if before == 0:
            return [self._finding(ALTERED, link, "it is the first envelope and names one before it")]
        self._keep(key, link, 1)
        return [self._finding(ALTERED, link, "its number is wrong: it names none before it")]

    def _next(self, key: bytes, link: Link, previous_hash: bytes, position: int, sequence: int) -> list[Finding]:
        if link.position == 0:
            self.spoil(link.subject)
            return [self._finding(ALTERED, link, f"it has no position, and lies behind position {position}")]
        if link.previous_hash == previous_hash:
            # Whatever number it has, nothing is missing between the two.
            found = self._settle(link.subject, position)
            if link.position != position + 1:
                self._trouble(link.subject).told = link.sequence
                found.append(self._finding(ALTERED, link, f"its number is wrong: it follows position {position}"))
            self._keep(key, link, position + 1)
            return found
        if link.position <= position:
            return [self._late(link, position)]
        self._keep(key, link, link.position)
        if link.position == position + 1:
            return self._broken(link, sequence)
        found = self._unsettled(self._trouble(link.subject))
        self._gap(link, position + 1, sequence)
        return found

    def _gap(self, link: Link, first: int, behind: int, *, may_be_trimmed: bool = False) -> None:
        trouble = self._trouble(link.subject)
        count = link.position - first
        explained = min(trouble.spoiled, count)
        trouble.spoiled -= explained
        count -= explained
        if count == 0 or (may_be_trimmed and self._trimmed(count)):
            return
        # A number that was altered says little of how many there were.
        self._account(min(count, max(0, link.sequence - behind - 1)), behind, link.sequence)
        trouble.gaps.append(_Gap(first, link.position - 1, behind, link.sequence))

    def _late(self, link: Link, position: int) -> Finding:
        trouble = self._troubles.get(link.subject)
        for gap in trouble.gaps if trouble else []:
            if gap.first <= link.position <= gap.last and link.position not in gap.found:
                gap.found.add(link.position)
                return self._finding(ORDER, link, f"position {link.position} lies behind position {position}")
        return self._finding(ORDER, link, f"another position {link.position} lies before it")

    def _broken(self, link: Link, behind: int) -> list[Finding]:
        """A link that does not fit. Behind another one: what lies between the two is at fault, whatever else is."""
        trouble = self._trouble(link.subject)
        if trouble.broken is None:
            trouble.broken, trouble.before_broken = link, behind
            return []
        culprit, trouble.broken = trouble.broken, None
        return self._altered(
            trouble, culprit.subject, culprit.sequence, culprit.position, "neither neighbour in its chain knows it"
        )

    def _settle(self, subject: str, position: int) -> list[Finding]:
        """The envelope at `position` is what it was. If another one lies there than it names, that was altered."""
        trouble = self._troubles.get(subject)
        if trouble is None or trouble.broken is None:
            return []
        trouble.broken = None
        text = f"it is not the envelope that position {position} was appended after"
        return self._altered(trouble, subject, trouble.before_broken, position - 1, text)

    def _unsettled(self, trouble: _Trouble) -> list[Finding]:
        """Nothing that follows says which of two it was."""
        link, trouble.broken = trouble.broken, None
        if link is None:
            return []
        text = f"it or its successor, at sequence {link.sequence}, was altered"
        return self._altered(trouble, link.subject, trouble.before_broken, link.position - 1, text)

    def _altered(self, trouble: _Trouble, subject: str, sequence: int, position: int, text: str) -> list[Finding]:
        if trouble.told == sequence:
            return []
        trouble.told = sequence
        return [Finding(ALTERED, self._stream, text, subject, sequence, position)]

    def _keep(self, key: bytes, link: Link, position: int) -> None:
        self._last[key] = _STATE.pack(link.hash, min(position, _LARGEST_POSITION), link.sequence)

    def _trouble(self, subject: str) -> _Trouble:
        return self._troubles.setdefault(subject, _Trouble())

    def _finding(self, kind: str, link: Link, message: str, repair: str = "") -> Finding:
        return Finding(kind, self._stream, message, link.subject, link.sequence, link.position, repair=repair)


def _missing(gap: _Gap) -> str:
    if gap.first == gap.last:
        return f"position {gap.first} is"
    but = f", but {len(gap.found)} that came later," if gap.found else ""
    return f"the positions {gap.first} to {gap.last}{but} are"
