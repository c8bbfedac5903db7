"""Which subjects a segment has: a small object beside each, so that one aggregate is found without reading all files.

It says nothing that the segment does not say: where it is missing, the segment is read.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import sha256


def index_of(subjects: Iterable[str]) -> bytes:
    """The hashes of subjects, sorted and compressed."""
    hashes = array("Q", sorted({_subject_hash(subject) for subject in subjects}))
    return zlib.compress(hashes.tobytes())


class SubjectIndex:
    """Which subjects a segment may have: those of one index in some 10^19 are taken for another."""

    def __init__(self, data: bytes) -> None:
        self._hashes = array("Q")
        self._hashes.frombytes(zlib.decompress(data))

    @classmethod
    def of(cls, data: bytes) -> SubjectIndex | None:
        """None for what is no index: it is as good as missing."""
        try:
            return cls(data)
        except (zlib.error, ValueError):
            return None

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, subject: str) -> bool:
        wanted = _subject_hash(subject)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted


def _subject_hash(subject: str) -> int:
    return int.from_bytes(sha256(subject.encode()).digest()[:8], "little")
