"""Segments as files: from rows to Parquet, and from Parquet to the messages that a restore or a check wants.

pyarrow takes long to import and much memory: whoever never reads or writes a segment does without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from .errors import SegmentDamaged
from .indexes import index_of
from .manifest import Segment, link, name_of

if TYPE_CHECKING:
    import pyarrow as pa

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
    import pyarrow as pa

    from .schema import REPEATING, SCHEMA, subjects_of

    pc, pq = _functions()
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
    import pyarrow as pa

    pc, pq = _functions()
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
    import pyarrow as pa

    from .schema import SCHEMA

    _, pq = _functions()
    try:
        return pq.read_table(pa.BufferReader(data), schema=SCHEMA)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise SegmentDamaged(uri, f"not a segment: {type(error).__name__}: {error}") from error


def _functions() -> tuple[Any, Any]:
    """pyarrow's `compute` and `parquet`: made while they are imported, and with other types than documented."""
    import pyarrow.compute
    import pyarrow.parquet

    return pyarrow.compute, pyarrow.parquet


def _last_of(file: Any, group: int) -> int:
    from .schema import SCHEMA

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
