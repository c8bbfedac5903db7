"""Facts to rows: what each fact does to the rows of the catalog. Pure.

A result of the engine makes an entry, an artifact and, if need be, a dataset, with the words Flyte has for them
(engine-semantics §4.3): so it is seen by clients of DataCatalog like anything they made themselves.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flyteidl.core.identifier_pb2 import Identifier, NodeExecutionIdentifier
from flyteidl.datacatalog.datacatalog_pb2 import Artifact, Dataset, Partition
from google.protobuf.message import Message

from flightlog_log import Recorded
from flightlog_protos.catalog.v1 import artifacts_pb2 as artifacts
from flightlog_protos.catalog.v1 import cache_pb2 as cache
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog.artifacts import TASK_VERSION, dataset_id, source_metadata
from services.catalog.projection.rows import (
    ArtifactRow,
    DatasetRow,
    EntryRow,
    artifact_key,
    clipped,
    dataset_key,
    entry_key,
    instant,
)


@dataclass(slots=True)
class Rows:
    """The rows a batch is about, by their keys, and the uses it adds."""

    datasets: dict[bytes, DatasetRow] = field(default_factory=dict[bytes, DatasetRow])
    artifacts: dict[bytes, ArtifactRow] = field(default_factory=dict[bytes, ArtifactRow])
    entries: dict[bytes, EntryRow] = field(default_factory=dict[bytes, EntryRow])
    uses: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])


@dataclass(slots=True)
class Needs:
    """Keys of rows that a batch may change."""

    datasets: set[bytes] = field(default_factory=set[bytes])
    artifacts: set[bytes] = field(default_factory=set[bytes])
    entries: set[bytes] = field(default_factory=set[bytes])


def needs(batch: Iterable[Recorded]) -> Needs:
    """Which rows must be at hand before a batch is applied."""
    found = Needs()
    for recorded in batch:
        for fact in recorded.facts:
            match fact:
                case artifacts.DatasetCreated():
                    found.datasets.add(dataset_key(fact.dataset))
                case artifacts.ArtifactCreated() | artifacts.ArtifactUpdated():
                    found.artifacts.add(artifact_key(fact.dataset, fact.artifact_id))
                case cache.ResultCached():
                    dataset = fact.key.dataset
                    found.entries.add(entry_key(fact.key))
                    found.datasets.add(dataset_key(dataset))
                    found.artifacts.add(artifact_key(dataset, fact.result.artifact_id))
                case (
                    cache.ReservationGranted()
                    | cache.ReservationEnded()
                    | cache.ResultEvicted()
                    | cache.ResultPinned()
                    | cache.ResultUnpinned()
                ):
                    found.entries.add(entry_key(fact.key))
                case _:
                    pass
    return found


def apply(rows: Rows, recorded: Recorded) -> None:
    """Folds an envelope into the rows."""
    for fact in recorded.facts:
        change = _CHANGES.get(type(fact))
        if change is not None:
            change(rows, recorded.sequence, fact)


def _dataset_created(rows: Rows, sequence: int, fact: artifacts.DatasetCreated) -> None:
    key = dataset_key(fact.dataset)
    message = Dataset(id=dataset_id(fact.dataset, fact.uuid), partitionKeys=fact.partition_keys)
    message.metadata.key_map.update(fact.metadata)
    row = rows.datasets.get(key)
    if row is None:
        rows.datasets[key] = DatasetRow(key, sequence, sequence, instant(fact.occurred_at), message, created=True)
    else:
        row.sequence, row.message, row.created = sequence, message, True


def _artifact_created(rows: Rows, sequence: int, fact: artifacts.ArtifactCreated) -> None:
    row = _artifact(rows, sequence, fact.dataset, fact)
    _change(row, 1, fact.data, fact.metadata)
    row.message.partitions.extend(Partition(key=one.key, value=one.value) for one in fact.partitions)


def _artifact_updated(rows: Rows, sequence: int, fact: artifacts.ArtifactUpdated) -> None:
    _change(_artifact(rows, sequence, fact.dataset, fact), fact.revision, fact.data, fact.metadata)


def _change(row: ArtifactRow, revision: int, data: DataRef, metadata: Mapping[str, str]) -> None:
    if revision < row.revision:
        return
    row.revision, row.data = revision, data
    row.message.metadata.Clear()
    row.message.metadata.SetInParent()
    row.message.metadata.key_map.update(metadata)


def _artifact(rows: Rows, sequence: int, dataset: Identifier, fact: Any) -> ArtifactRow:
    """The row of an artifact, new if need be; it is changed by this envelope."""
    artifact_id = fact.result.artifact_id if isinstance(fact, cache.ResultCached) else fact.artifact_id
    key = artifact_key(dataset, artifact_id)
    row = rows.artifacts.get(key)
    if row is None:
        message = Artifact(id=artifact_id, dataset=dataset_id(dataset), created_at=fact.occurred_at)
        message.metadata.SetInParent()
        row = ArtifactRow(key, sequence, sequence, instant(fact.occurred_at), dataset_key(dataset), message)
        rows.artifacts[key] = row
    row.sequence = sequence
    return row


def _cached(rows: Rows, sequence: int, fact: cache.ResultCached) -> None:
    row = _entry(rows, sequence, fact.key)
    source = fact.result.source
    row.pinned = row.pinned and row.result is not None and row.result.artifact_id == fact.result.artifact_id
    row.result, row.cached_at, row.evicted = fact.result, instant(fact.occurred_at), False
    if source.HasField("node_execution_id") and row.reserved_by == clipped(holder_name(source.node_execution_id)):
        row.reserved_by = ""
    dataset = fact.key.dataset
    if not dataset.name:
        return  # a key of CacheService, which has no dataset
    key = dataset_key(dataset)
    if key not in rows.datasets:
        message = Dataset(id=dataset_id(dataset))
        message.metadata.SetInParent()
        if source.task_id.version:
            message.metadata.key_map[TASK_VERSION] = source.task_id.version
        rows.datasets[key] = DatasetRow(key, sequence, sequence, instant(fact.occurred_at), message)
    metadata = fact.result.metadata or source_metadata(source)
    _change(_artifact(rows, sequence, dataset, fact), fact.result.revision, fact.result.outputs, metadata)


def _granted(rows: Rows, sequence: int, fact: cache.ReservationGranted) -> None:
    _entry(rows, sequence, fact.key).reserved_by = clipped(fact.owner or holder_name(fact.holder))


def _ended(rows: Rows, sequence: int, fact: cache.ReservationEnded) -> None:
    row = _entry(rows, sequence, fact.key)
    if row.reserved_by == clipped(fact.owner or holder_name(fact.node)):
        row.reserved_by = ""


def _evicted(rows: Rows, sequence: int, fact: cache.ResultEvicted) -> None:
    row = _entry(rows, sequence, fact.key)
    row.result, row.cached_at, row.pinned, row.evicted = None, None, False, True


def _pinned(rows: Rows, sequence: int, fact: cache.ResultPinned) -> None:
    _entry(rows, sequence, fact.key).pinned = True


def _unpinned(rows: Rows, sequence: int, fact: cache.ResultUnpinned) -> None:
    _entry(rows, sequence, fact.key).pinned = False


def _entry(rows: Rows, sequence: int, cache_key: cache.CacheKey) -> EntryRow:
    key = entry_key(cache_key)
    row = rows.entries.get(key)
    if row is None:
        row = rows.entries[key] = EntryRow(key, sequence, sequence, cache_key)
    row.sequence = sequence
    return row


def _answered(rows: Rows, _: int, fact: cache.CacheAnswer) -> None:
    if fact.kind != cache.CacheAnswer.FOUND:
        return
    execution = fact.node.execution_id
    rows.uses.append(
        (
            clipped(execution.project),
            clipped(execution.domain),
            clipped(execution.name),
            clipped(fact.node.node_id),
            clipped(fact.result.artifact_id),
            entry_key(fact.key),
            instant(fact.occurred_at),
            fact.node.SerializeToString(deterministic=True),
        )
    )


_CHANGES: Final[dict[type[Message], Callable[[Rows, int, Any], None]]] = {
    artifacts.DatasetCreated: _dataset_created,
    artifacts.ArtifactCreated: _artifact_created,
    artifacts.ArtifactUpdated: _artifact_updated,
    cache.ResultCached: _cached,
    cache.ReservationGranted: _granted,
    cache.ReservationEnded: _ended,
    cache.ResultEvicted: _evicted,
    cache.ResultPinned: _pinned,
    cache.ResultUnpinned: _unpinned,
    cache.CacheAnswer: _answered,
}


def holder_name(node: NodeExecutionIdentifier) -> str:
    """Who holds a reservation, in one line, when it is a node."""
    execution = node.execution_id
    return f"{execution.project}/{execution.domain}/{execution.name}/{node.node_id}"
