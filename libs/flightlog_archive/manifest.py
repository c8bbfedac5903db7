"""The manifest of one stream: which segments there are, and how they hang together.

It is written after its segments and names them, so it is what makes them part of the archive: an object that no
manifest names is none of it. Its last sequence is how far the archive is.

The chain goes over messages, not over files: each link is the SHA-256 of the link before, a message's sequence and the
message's own SHA-256. So it stays what it was when segments are merged, and when what messages said has been erased.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from .errors import ManifestDamaged

FORMAT = 1
_SUFFIX = ".parquet"
_INDEX_SUFFIX = ".subjects"


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed file of messages, in the order of their sequences."""

    key: str
    """Name of the object beside the manifest."""
    first: int
    """Sequence of its first message."""
    last: int
    """Sequence of its last message."""
    count: int
    """How many messages it has: fewer than the sequences between, where the stream has gaps."""
    size: int
    """Bytes of the file."""
    sha256: str
    """Of the file, in hex."""
    last_hash: str
    """SHA-256 of its last message, in hex: whether a log is the one that was archived is seen by it."""
    chain: str
    """The chain's link after its last message, in hex."""
    recorded_from: datetime | None
    """Earliest and latest moment at which one of its envelopes was recorded; None: it has no envelopes."""
    recorded_until: datetime | None
    erased: int = 0
    """How many of its messages have been erased: their hash alone is left."""


@dataclass(frozen=True, slots=True)
class Erasing:
    """What has been decided to be erased and perhaps is not yet."""

    subject: str
    before: int
    """Messages of the subject below this sequence."""
    reason: str


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased on one day for one reason."""

    day: date
    reason: str
    subjects: int
    messages: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """All segments of a stream, in order."""

    stream: str
    segments: tuple[Segment, ...] = ()
    erasing: tuple[Erasing, ...] = ()
    erased: tuple[Erased, ...] = field(default=())

    @property
    def sequence(self) -> int:
        """How far the archive is: everything up to here that the stream had is in it. 0: nothing is."""
        return self.segments[-1].last if self.segments else 0

    @property
    def chain(self) -> bytes:
        """The chain's last link; empty at the beginning."""
        return bytes.fromhex(self.segments[-1].chain) if self.segments else b""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(segment.size for segment in self.segments)

    def behind(self, sequence: int) -> tuple[Segment, ...]:
        """The segments that have messages behind a sequence."""
        return tuple(segment for segment in self.segments if segment.last > sequence)

    def chain_before(self, segment: Segment) -> bytes:
        """The chain's link before a segment's first message."""
        place = self.segments.index(segment)
        return bytes.fromhex(self.segments[place - 1].chain) if place else b""

    def followed_by(self, segment: Segment, erasing: Sequence[Erasing] = ()) -> Manifest:
        """With one more segment, and what has to be erased because of its messages."""
        return replace(self, segments=(*self.segments, segment), erasing=(*self.erasing, *erasing))

    def replaced(self, old: Sequence[Segment], new: Segment) -> Manifest:
        """With one segment in the place of neighbours that have the same messages."""
        start = self.segments.index(old[0])
        return replace(self, segments=(*self.segments[:start], new, *self.segments[start + len(old) :]))

    def to_json(self) -> bytes:
        document: dict[str, Any] = {
            "format": FORMAT,
            "stream": self.stream,
            "sequence": self.sequence,
            "segments": [asdict(segment) for segment in self.segments],
            "erasing": [asdict(one) for one in self.erasing],
            "erased": [asdict(one) for one in self.erased],
        }
        return json.dumps(document, indent=1, default=lambda moment: moment.isoformat()).encode()

    @staticmethod
    def from_json(data: bytes) -> Manifest:
        """Raises `ManifestDamaged`."""
        try:
            document = json.loads(data)
            version = document["format"]
            if version != FORMAT:
                raise ManifestDamaged(f"format {version}; this release knows {FORMAT}")
            manifest = Manifest(
                document["stream"],
                tuple(_segment(one) for one in document["segments"]),
                tuple(Erasing(**one) for one in document["erasing"]),
                tuple(_erased(one) for one in document["erased"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestDamaged(f"not a manifest: {type(error).__name__}: {error}") from error
        manifest.check()
        return manifest

    def check(self) -> None:
        """Raises `ManifestDamaged` when the segments cannot follow one another like this."""
        before = 0
        for segment in self.segments:
            if not before < segment.first <= segment.last:
                raise ManifestDamaged(f"{segment.key} does not follow sequence {before}")
            if not 0 < segment.count <= segment.last - segment.first + 1:
                raise ManifestDamaged(f"{segment.key} cannot have {segment.count} messages")
            before = segment.last


def name_of(first: int, last: int, revision: int = 0) -> str:
    """Name of a segment's object. A segment that says less than before is a new object, of another revision."""
    return f"{first:020d}-{last:020d}{f'.{revision}' if revision else ''}{_SUFFIX}"


def next_revision(key: str) -> int:
    """The revision that follows an object's."""
    _, _, revision = key.removesuffix(_SUFFIX).partition(".")
    return int(revision or 0) + 1


def index_key(key: str) -> str:
    """Name of the object with a segment's subjects."""
    return key.removesuffix(_SUFFIX) + _INDEX_SUFFIX


def link(before: bytes, sequence: int, message_hash: bytes) -> bytes:
    """The chain's link after a message. `before` is empty for the stream's first one."""
    return sha256(before + sequence.to_bytes(8, "big") + message_hash).digest()


def noted(erased: Sequence[Erased], reason: str, subjects: int, messages: int) -> tuple[Erased, ...]:
    """The list with something more erased today; one entry for each day and reason, so it stays short."""
    today = datetime.now(UTC).date()
    others = tuple(one for one in erased if (one.day, one.reason) != (today, reason))
    so_far = next((one for one in erased if (one.day, one.reason) == (today, reason)), Erased(today, reason, 0, 0))
    return (*others, replace(so_far, subjects=so_far.subjects + subjects, messages=so_far.messages + messages))


def _segment(document: dict[str, Any]) -> Segment:
    moments: dict[str, Any] = {name: _moment(document[name]) for name in ("recorded_from", "recorded_until")}
    return Segment(**{**document, **moments})


def _erased(document: dict[str, Any]) -> Erased:
    day: Any = date.fromisoformat(document["day"])
    return Erased(**{**document, "day": day})


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
