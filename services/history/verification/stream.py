"""One stream's check: each message against its chain and against the archive, and what nobody has.

Pure. It takes what the log has and what the archive has of each sequence, in order; without the archive the log alone.
Where the log was trimmed, the archive's rows are the chain's beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.history.verification.chains import Chains, Link
from services.history.verification.findings import ARCHIVE, PAYLOAD, REPAIR, RESTORE, TRUNCATED, Finding
from services.history.verification.gaps import Gaps

_ORDERED = frozenset({"EXECUTION", "REGISTRY"})
"""Streams all of whose subjects have an order."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a message by itself."""

    kind: str
    message: str
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of one sequence, as the log or the archive has it."""

    sequence: int
    subject: str
    hash: bytes
    link: Link | None
    """None: nobody can say where in its chain it belongs."""
    faults: tuple[Fault, ...] = ()
    erased: bool = False
    """Of the archive: what it said was erased on purpose, there and on the log."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """Somebody who has seen the stream up to a sequence."""

    who: str
    sequence: int
    repair: str = ""


class StreamCheck:
    """Takes a stream in the order of its sequences.

    Attributes:
        checked: how many messages of the log were taken.
    """

    def __init__(
        self,
        stream: str,
        *,
        last: int,
        archived: int = 0,
        trimmed_up_to: int = 0,
        erased: int = 0,
        compared: bool = False,
        numbered: bool = True,
        whole: bool = True,
    ) -> None:
        """Args:
        stream: its name.
        last: sequence of the last message that is on the log.
        archived: how far the archive is.
        trimmed_up_to: messages up to this sequence may have left the log for the archive.
        erased: so many have left it to be forgotten.
        compared: with the archive, whose rows say what was trimmed and erased.
        numbered: none is missed where messages are removed one by one when they are dealt with.
        whole: only of a whole stream it is known what its sequences should be.
        """
        self._stream = stream
        self._last = last
        self._trimmed_up_to = trimmed_up_to
        self._numbered = numbered
        self._whole = whole
        self._archived = archived
        self._compared = compared
        self._gaps = Gaps(stream, 0 if compared else trimmed_up_to, 0 if compared else erased)
        may_be = self._gaps.trim if whole or compared else (lambda _: trimmed_up_to > 0)
        self._chains = Chains(stream, trimmed_up_to, may_be, self._gaps.account)
        self._behind_the_end = 0
        self._ends_at = 0
        self.checked = 0

    @property
    def archived_only(self) -> int:
        """How many messages were trimmed from the log and are in the archive."""
        return self._chains.archived

    @property
    def trimmed(self) -> int:
        """How many messages are nowhere, and were taken for trimmed or erased."""
        return self._gaps.trimmed

    @property
    def deleted(self) -> int:
        """How many aggregates say that they were deleted."""
        return self._chains.closed

    @property
    def subjects(self) -> int:
        """How many subjects there are."""
        return self._chains.subjects

    def take(self, message: Message | None, row: Message | None, *, archive_has_all: bool = False) -> list[Finding]:
        """What the log and the archive have of one sequence; not both None.

        `archive_has_all`: the archive is known to have all messages around this sequence.
        """
        if message is None:
            assert row is not None, "one of them is there"
            return self._from_archive(row)
        self.checked += 1
        position = message.link.position if message.link else 0
        found: list[Finding] = []
        for fault in message.faults:
            one = Finding(
                fault.kind, self._stream, fault.message, message.subject, message.sequence, position, fault.uri
            )
            found.append(replace(one, repair=self._repair_of(one, row)))
        found += self._differences(message, row, archive_has_all)
        if not self._numbered:
            return found
        self._gaps.take(message.sequence)
        link = message.link
        if link is None and row is not None and row.link is not None:
            link = row.link
        if link is None:
            self._chains.spoil(message.subject)
            return found
        return found + [replace(one, repair=self._repair_of(one, row)) for one in self._chains.take(link)]

    def finish(self, end: int, vouchers: Sequence[Voucher] = (), *, deletions: bool = False) -> list[Finding]:
        """What the whole shows. `end` is the last sequence that the stream has given out; see `Gaps.finish`."""
        found = [replace(one, repair=self._repair_of(one, None)) for one in self._chains.finish()]
        if self._behind_the_end:
            what = "1 message" if self._behind_the_end == 1 else f"{self._behind_the_end} messages"
            text = f"the log ends at {self._last}; the archive has {what} behind that, up to {self._ends_at}"
            found.append(Finding(TRUNCATED, self._stream, text, sequence=self._last, repair=RESTORE))
        for voucher in vouchers:
            if voucher.sequence > max(end, self._ends_at):
                text = f"the log ends at {end}; {voucher.who} has seen it up to {voucher.sequence}"
                found.append(Finding(TRUNCATED, self._stream, text, sequence=end, repair=voucher.repair))
        if self._numbered and self._whole:
            uncounted = self._chains.unordered or self._stream not in _ORDERED
            gaps = self._gaps.finish(end, uncounted=uncounted, deletions=deletions)
            found += [replace(one, repair=self._repair_of(one, None)) for one in gaps]
        return found

    def _repair_of(self, one: Finding, row: Message | None) -> str:
        """Where the archive was not looked at, it may have what it must have seen."""
        if one.repair or (row is None and (self._compared or not 0 < one.sequence <= self._archived)):
            return one.repair
        if one.kind == PAYLOAD:
            return "" if row is not None and row.faults else REPAIR
        return RESTORE

    def _from_archive(self, row: Message) -> list[Finding]:
        if not self._numbered:
            return []
        self._gaps.take(row.sequence)
        if row.sequence > max(self._last, self._trimmed_up_to) and not row.erased:
            self._behind_the_end += 1
            self._ends_at = row.sequence
            return []
        if row.link is None:
            self._chains.spoil(row.subject)
            return []
        return self._chains.take(replace(row.link, away=not row.erased))

    def _differences(self, message: Message, row: Message | None, archive_has_all: bool) -> list[Finding]:
        position = message.link.position if message.link else 0
        if row is None:
            if not archive_has_all:
                return []
            text, repair = "the archive does not have it", ""
        elif message.subject != row.subject:
            text, repair = f"the archive has it on {row.subject}", RESTORE
        elif message.hash != row.hash:
            text, repair = "the archive has another message in its place", RESTORE
        else:
            return []
        return [Finding(ARCHIVE, self._stream, text, message.subject, message.sequence, position, repair=repair)]
