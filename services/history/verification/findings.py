"""What can be wrong, in the words in which operators and programs are told."""

from __future__ import annotations

from dataclasses import dataclass

MISPLACED = "misplaced"
ALTERED = "altered"
GAP = "gap"
ORDER = "order"
UNREADABLE = "unreadable"
PAYLOAD = "payload"
TRUNCATED = "truncated"
ARCHIVE = "archive"
SEGMENT = "segment"
MANIFEST = "manifest"
TABLE = "table"

KINDS = {
    MISPLACED: "an envelope lies on a subject that is not its own",
    ALTERED: "a message is not what was stored",
    GAP: "messages are missing",
    ORDER: "an envelope lies behind those that were appended after it",
    UNREADABLE: "a message is no envelope, or has facts that this release does not know",
    PAYLOAD: "facts in the object store are missing or altered",
    TRUNCATED: "a stream ends before what is known of it",
    ARCHIVE: "the archive differs from the log",
    SEGMENT: "a segment of the archive is missing or altered",
    MANIFEST: "a manifest of the archive is missing or altered",
    TABLE: "a table is missing, or its rows are not what the log says",
}
"""Every kind of finding."""

RESTORE = "flightlog restore"
REPAIR = "flightlog verify --repair"
REBUILD = "flightlog rebuild"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. What does not apply is empty."""

    kind: str
    """One of `KINDS`."""
    stream: str
    message: str
    """A sentence without its full stop."""
    subject: str = ""
    sequence: int = 0
    """Of the message at fault; of what is missing, the first that is there behind it, or 0 when nothing is."""
    position: int = 0
    """In the subject's order, of the envelope at fault or the first that is missing."""
    uri: str = ""
    repair: str = ""
    """The command that would repair it; empty: there is none."""
