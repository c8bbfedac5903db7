"""What is gone from the log because its execution was deleted, and will go from the archive a little later.

The log forgets as soon as the deletion is recorded, the archive when that record has reached it. In between the archive
has messages that the log has not: they are no loss, and a restore would not bring them back for good.
"""

from __future__ import annotations

from typing import Final

from flightlog_archive.erasing import DELETED
from flightlog_log import EventsMissing, Log, PayloadMissing, Recorded, Subject, Undecodable

_TOLD_OF: Final = {"CATALOG": ("answer", "lineage"), "ADMISSION": ("answer",)}
"""Streams whose subjects of these kinds go with the execution that follows in the name."""
_REMEMBERED: Final = 10_000


class Deletions:
    """Asks the log, which is the one without its archive."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: dict[str, int] = {}

    async def took(self, subject: str, sequence: int) -> bool:
        """Whether a message was erased with all that was before a deletion. Raises `LogUnavailable`."""
        if sequence < self._known.get(subject, 0):
            return True
        owner = owner_of(subject)
        deleted = await self._deleted_at(owner)
        if owner != subject and deleted:
            deleted = sequence + 1  # whatever was recorded of it, then or later
        if deleted:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[subject] = max(deleted, self._known.get(subject, 0))
        return sequence < deleted

    async def _deleted_at(self, subject: str) -> int:
        """Sequence of the deletion; 0: there was none. It is the last of an execution, and soon the first as well."""
        try:
            found = (await self._log.last(subject), await self._log.first(subject))
        except (Undecodable, PayloadMissing, EventsMissing):
            return 0  # which is a finding of its own
        return max((one.sequence for one in found if one is not None and _deletes(one)), default=0)


def owner_of(subject: str) -> str:
    """The subject whose deletion takes a subject's messages with it."""
    try:
        parsed = Subject.parse(subject)
    except ValueError:
        return subject
    if parsed.stream == "LAUNCHER":
        return str(Subject.of("EXECUTION", *parsed.parts))
    if len(parsed.parts) > 1 and parsed.parts[0] in _TOLD_OF.get(parsed.stream, ()):
        return str(Subject.of("EXECUTION", *parsed.parts[1:]))
    return subject


def _deletes(recorded: Recorded) -> bool:
    return any(fact.DESCRIPTOR.name in DELETED for fact in recorded.facts)
