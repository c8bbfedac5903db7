"""Segments as files: from rows to Parquet, and from Parquet to the messages that a restore or a check wants.

Beside each segment lies a small object with the hashes of the subjects in it, so that one aggregate is found without
reading all files. It says nothing that the segment does not say: where it is missing, the segment is read.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from .errors import SegmentDamaged
from .manifest import Segment, link
from .schema import REPEATING, SCHEMA, subjects_of

# Their functions are made when they are imported, and the types of their arguments are not the documented ones.
pc: Any = pyarrow.compute
pq: Any = pyarrow.parquet

SUFFIX = ".parquet"
INDEX_SUFFIX = ".subjects"
_ROW_GROUP = 5_000
_BATCH = 1_000
_COMPRESSION_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Archived:
    """A message as the archive has it."""

    stream: str
    sequence: int
    subject: str
    hash: bytes
    """SHA-256 of the message."""
    data: bytes | None
    """Exactly as it lay on the stream; None: it has been erased."""
    headers: Mapping[str, str]
    payload: bytes | None
    """Its offloaded facts, where it had any."""
    position: int | None
    """Its place among the aggregate's envelopes; 0 or None where there is no order of that kind."""
    previous_hash: bytes
    """Of the envelope before it on its subject; empty where it has none."""
    recorded_at: datetime | None
    erased: str
    """Why it has been erased; empty: it has not."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A segment that is ready to be written."""

    segment: Segment
    data: bytes
    index: bytes


def close(batches: Sequence[pa.RecordBatch], chain: bytes, *, key: str = "") -> Closed:
    """A segment of rows in the order of their sequences. `chain` is the link before the first one.

    The name of the object is made of its sequences unless `key` says another one. Takes long: not for an event loop.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        use_dictionary=REPEATING,
        write_statistics=["sequence", "recorded_at", "occurred_at", "position"],
    ) as writer:
        table = pa.Table.from_batches(batches, schema=SCHEMA)
        writer.write_table(table, row_group_size=_ROW_GROUP)
    data = sink.getvalue().to_pybytes()
    sequences: list[int] = table["sequence"].to_pylist()
    hashes: list[bytes] = table["hash"].to_pylist()
    for sequence, message_hash in zip(sequences, hashes, strict=True):
        chain = link(chain, sequence, message_hash)
    recorded = pc.min_max(table["recorded_at"]).as_py()
    segment = Segment(
        key=key or name_of(sequences[0], sequences[-1]),
        first=sequences[0],
        last=sequences[-1],
        count=len(sequences),
        size=len(data),
        sha256=sha256(data).hexdigest(),
        last_hash=hashes[-1].hex(),
        chain=chain.hex(),
        recorded_from=recorded["min"],
        recorded_until=recorded["max"],
        erased=len(sequences) - table["erased"].null_count,
    )
    return Closed(segment, data, index_of(subjects_of(table)))


def name_of(first: int, last: int, revision: int = 0) -> str:
    """Name of a segment's object. A segment that says less than before is a new object, of another revision."""
    return f"{first:020d}-{last:020d}{f'.{revision}' if revision else ''}{SUFFIX}"


def next_revision(key: str) -> int:
    """The revision that follows an object's."""
    _, _, revision = key.removesuffix(SUFFIX).partition(".")
    return int(revision or 0) + 1


def index_key(key: str) -> str:
    """Name of the object with a segment's subjects."""
    return key.removesuffix(SUFFIX) + INDEX_SUFFIX


def index_of(subjects: Iterable[str]) -> bytes:
    """The hashes of subjects, sorted and compressed."""
    hashes = array("Q", sorted({_subject_hash(subject) for subject in subjects}))
    return zlib.compress(hashes.tobytes())


class SubjectIndex:
    """Which subjects a segment may have: those of one index in some 10^19 are taken for another."""

    def __init__(self, data: bytes) -> None:
        self._hashes = array("Q")
        self._hashes.frombytes(zlib.decompress(data))

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, subject: str) -> bool:
        wanted = _subject_hash(subject)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted


def _subject_hash(subject: str) -> int:
    return int.from_bytes(sha256(subject.encode()).digest()[:8], "little")


def check_file(segment: Segment, data: bytes, uri: str) -> None:
    """Raises `SegmentDamaged` when the bytes are not those that the manifest names."""
    if sha256(data).hexdigest() != segment.sha256:
        raise SegmentDamaged(uri, f"it is not what was written: {len(data)} bytes, {segment.size} expected")


def messages_of(
    data: bytes, uri: str, *, after: int = 0, until: int | None = None, subject: str | None = None
) -> Iterator[list[Archived]]:
    """The messages of a file, in order, some at a time; those of one subject alone when it is given.

    Raises `SegmentDamaged` for what is no segment.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        groups = [group for group in range(file.num_row_groups) if _last_of(file, group) > after]
        for batch in file.iter_batches(batch_size=_BATCH, row_groups=groups, columns=_WANTED):
            rows = pa.Table.from_batches([batch])
            chosen = pc.greater(rows["sequence"], after)
            if until is not None:
                chosen = pc.and_(chosen, pc.less_equal(rows["sequence"], until))
            if subject is not None:
                chosen = pc.and_(chosen, pc.equal(rows["subject"], subject))
            found = rows.filter(chosen).to_pylist()
            if found:
                yield [_archived(row) for row in found]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise SegmentDamaged(uri, f"not a segment: {type(error).__name__}: {error}") from error


def tables_of(data: bytes, uri: str) -> pa.Table:
    """All rows of a file. Raises `SegmentDamaged` for what is no segment."""
    try:
        return pq.read_table(pa.BufferReader(data), schema=SCHEMA)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise SegmentDamaged(uri, f"not a segment: {type(error).__name__}: {error}") from error


def _last_of(file: Any, group: int) -> int:
    statistics = file.metadata.row_group(group).column(SCHEMA.get_field_index("sequence")).statistics
    return int(statistics.max)


_WANTED = [
    *("stream", "sequence", "subject", "hash", "message", "headers", "payload", "position", "previous_hash"),
    *("recorded_at", "erased"),
]


def _archived(row: dict[str, Any]) -> Archived:
    return Archived(
        stream=row["stream"],
        sequence=row["sequence"],
        subject=row["subject"],
        hash=row["hash"],
        data=row["message"],
        headers=dict(row["headers"] or ()),
        payload=row["payload"],
        position=row["position"],
        previous_hash=row["previous_hash"] or b"",
        recorded_at=row["recorded_at"],
        erased=row["erased"] or "",
    )
