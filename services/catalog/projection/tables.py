"""The catalog's tables (schema `catalog`), and rows to columns and back.

- `datasets`: datasets, of clients and of the engine; key: SHA-256 of the identifier.
- `artifacts`: what clients created, and results of the engine; they stay when nothing is tagged with them any more;
  key: SHA-256 of dataset and id.
- `entries`: entries of the cache, which are tags of a dataset, or keys of CacheService; they stay when their result is
  evicted; key: SHA-256 of the cache key.
- `uses`: a node that was told an artifact (`FOUND`), and when.

Keys are hashes because names may be longer than an index can hold; texts in columns are `clipped` for the same reason,
and the messages beside them have them whole. `id` is the sequence of the envelope that a row began with, so it orders
rows by age. `sequence` is that of the last envelope that changed the row.

`entries.artifact_id` is '' and `evicted` true when nobody finds a result; what is too old for the setting `max_age` has
not changed and is still here. `name` is that of the task, workflow or launch plan: the dataset's without the prefix.
`source_*` is empty where a client put the result there and did not say what made it.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from flyteidl.datacatalog.datacatalog_pb2 import Artifact, Dataset

from flightlog_protos.catalog.v1.cache_pb2 import CachedResult, CacheKey
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_types import cache_keys
from services.catalog.projection.rows import ArtifactRow, DatasetRow, EntryRow, Row, clipped, dataset_key

DDL: Final = """
CREATE TABLE datasets (
    key bytea PRIMARY KEY,
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    uuid text NOT NULL,
    created boolean NOT NULL,
    created_at timestamptz NOT NULL,
    message bytea NOT NULL
);
-- ListDatasets
CREATE INDEX datasets_by_time ON datasets (created_at, id);
CREATE INDEX datasets_by_name ON datasets (project, domain, name, created_at, id);
-- a dataset by its UUID alone
CREATE INDEX datasets_by_uuid ON datasets (uuid);

CREATE TABLE artifacts (
    key bytea PRIMARY KEY,
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    dataset_key bytea NOT NULL,
    artifact_id text NOT NULL,
    partitions jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    data bytea NOT NULL,
    message bytea NOT NULL
);
-- ListArtifacts
CREATE INDEX artifacts_of_dataset ON artifacts (dataset_key, created_at, id);
-- GetArtifact without a dataset
CREATE INDEX artifacts_by_id ON artifacts (artifact_id, created_at, id);

CREATE TABLE entries (
    key bytea PRIMARY KEY,
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    dataset_key bytea NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    dataset_name text NOT NULL,
    dataset_version text NOT NULL,
    cache_version text NOT NULL,
    tag text NOT NULL,
    artifact_id text NOT NULL,
    source_project text NOT NULL,
    source_domain text NOT NULL,
    source_execution text NOT NULL,
    source_node text NOT NULL,
    task_version text NOT NULL,
    cached_at timestamptz,
    pinned boolean NOT NULL,
    evicted boolean NOT NULL,
    reserved_by text NOT NULL,
    cache_key bytea NOT NULL,
    result bytea NOT NULL
);
-- what is cached, newest first; of a name
CREATE INDEX entries_by_time ON entries (cached_at, id);
CREATE INDEX entries_by_name ON entries (name, cached_at, id);
-- what an execution made
CREATE INDEX entries_by_source ON entries (source_execution, source_project, source_domain);
-- tags of an artifact
CREATE INDEX entries_by_artifact ON entries (artifact_id);
-- of a tag, newest first: results for the same inputs
CREATE INDEX entries_by_tag ON entries (tag, cached_at, id);
-- of a dataset, newest first
CREATE INDEX entries_of_dataset_by_time ON entries (dataset_key, cached_at, id);

CREATE TABLE uses (
    project text NOT NULL,
    domain text NOT NULL,
    execution text NOT NULL,
    node_id text NOT NULL,
    artifact_id text NOT NULL,
    entry_key bytea NOT NULL,
    used_at timestamptz NOT NULL,
    node bytea NOT NULL,
    PRIMARY KEY (execution, node_id, artifact_id, project, domain)
);
-- who used an artifact, last one first
CREATE INDEX uses_of_artifact ON uses (artifact_id, used_at);
"""


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """How rows of one kind lie in the database: `columns` maps names to types, `values` gives a row's in that order."""

    name: str
    columns: Mapping[str, str]
    values: Callable[[R], tuple[Any, ...]]
    restore: Callable[[Mapping[str, Any]], R]

    def load(self) -> str:
        """The stored rows of given keys, which are the one parameter."""
        return f"SELECT * FROM {self.name} JOIN unnest($1::bytea[]) AS wanted (key) USING (key)"

    def upsert(self) -> str:
        """One statement for any number of rows: a parameter is a whole column. A row never goes back in time."""
        names = ", ".join(self.columns)
        arrays = ", ".join(
            f"${index}::{'text' if kind == 'jsonb' else kind}[]"
            for index, kind in enumerate(self.columns.values(), start=1)
        )
        given = ", ".join(f"{name}::{kind}" for name, kind in self.columns.items())
        assigned = ", ".join(f"{name} = excluded.{name}" for name in self.columns if name not in ("key", "id"))
        return (
            f"INSERT INTO {self.name} ({names}) SELECT {given} FROM unnest({arrays}) AS given ({names}) "
            f"ON CONFLICT (key) DO UPDATE SET {assigned} WHERE {self.name}.sequence < excluded.sequence"
        )

    def parameters(self, rows: Iterable[R]) -> Sequence[tuple[Any, ...]]:
        """The upsert's parameters: the rows turned into columns."""
        return tuple(zip(*map(self.values, rows), strict=True))


def _dataset_values(row: DatasetRow) -> tuple[Any, ...]:
    dataset = row.message.id
    return (
        row.key,
        row.id,
        row.sequence,
        clipped(dataset.project),
        clipped(dataset.domain),
        clipped(dataset.name),
        clipped(dataset.version),
        clipped(dataset.UUID),
        row.created,
        row.created_at,
        row.message.SerializeToString(deterministic=True),
    )


def _dataset_row(stored: Mapping[str, Any]) -> DatasetRow:
    return DatasetRow(
        key=stored["key"],
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        created=stored["created"],
        created_at=stored["created_at"],
        message=Dataset.FromString(stored["message"]),
    )


DATASETS: Final[Table[DatasetRow]] = Table(
    name="datasets",
    columns={
        "key": "bytea",
        "id": "bigint",
        "sequence": "bigint",
        "project": "text",
        "domain": "text",
        "name": "text",
        "version": "text",
        "uuid": "text",
        "created": "boolean",
        "created_at": "timestamptz",
        "message": "bytea",
    },
    values=_dataset_values,
    restore=_dataset_row,
)


def _artifact_values(row: ArtifactRow) -> tuple[Any, ...]:
    partitions = {clipped(one.key): clipped(one.value) for one in row.message.partitions}
    return (
        row.key,
        row.id,
        row.sequence,
        row.dataset_key,
        clipped(row.message.id),
        json.dumps(partitions, sort_keys=True, ensure_ascii=False),
        row.created_at,
        row.revision,
        row.data.SerializeToString(deterministic=True),
        row.message.SerializeToString(deterministic=True),
    )


def _artifact_row(stored: Mapping[str, Any]) -> ArtifactRow:
    return ArtifactRow(
        key=stored["key"],
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        created_at=stored["created_at"],
        dataset_key=stored["dataset_key"],
        revision=stored["revision"],
        data=DataRef.FromString(stored["data"]),
        message=Artifact.FromString(stored["message"]),
    )


ARTIFACTS: Final[Table[ArtifactRow]] = Table(
    name="artifacts",
    columns={
        "key": "bytea",
        "id": "bigint",
        "sequence": "bigint",
        "dataset_key": "bytea",
        "artifact_id": "text",
        "partitions": "jsonb",
        "created_at": "timestamptz",
        "revision": "bigint",
        "data": "bytea",
        "message": "bytea",
    },
    values=_artifact_values,
    restore=_artifact_row,
)

_SIGNATURE: Final = re.compile(r"-.{8}-.{8}$", re.DOTALL)


def name_of(dataset_name: str) -> str:
    """The name of the task, workflow or launch plan of a dataset (engine-semantics §4.2); of others, their own."""
    return cache_keys.entity_name(dataset_name)


def cache_version_of(dataset_version: str) -> str:
    """The cache version in a dataset's version, which has the hashes of the interface behind it."""
    return _SIGNATURE.sub("", dataset_version)


def _entry_values(row: EntryRow) -> tuple[Any, ...]:
    key = row.cache_key
    result = row.result
    source = result.source if result is not None else CachedResult().source
    execution = source.node_execution_id.execution_id
    return (
        row.key,
        row.id,
        row.sequence,
        dataset_key(key.dataset),
        clipped(key.dataset.project),
        clipped(key.dataset.domain),
        clipped(name_of(key.dataset.name)),
        clipped(key.dataset.name),
        clipped(key.dataset.version),
        clipped(cache_version_of(key.dataset.version)),
        clipped(key.tag),
        clipped(result.artifact_id) if result is not None else "",
        clipped(execution.project),
        clipped(execution.domain),
        clipped(execution.name),
        clipped(source.node_execution_id.node_id),
        clipped(source.task_id.version),
        row.cached_at,
        row.pinned,
        row.evicted,
        clipped(row.reserved_by),
        key.SerializeToString(deterministic=True),
        result.SerializeToString(deterministic=True) if result is not None else b"",
    )


def _entry_row(stored: Mapping[str, Any]) -> EntryRow:
    return EntryRow(
        key=stored["key"],
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        cache_key=CacheKey.FromString(stored["cache_key"]),
        result=CachedResult.FromString(stored["result"]) if stored["cached_at"] is not None else None,
        cached_at=stored["cached_at"],
        pinned=stored["pinned"],
        evicted=stored["evicted"],
        reserved_by=stored["reserved_by"],
    )


ENTRIES: Final[Table[EntryRow]] = Table(
    name="entries",
    columns={
        "key": "bytea",
        "id": "bigint",
        "sequence": "bigint",
        "dataset_key": "bytea",
        "project": "text",
        "domain": "text",
        "name": "text",
        "dataset_name": "text",
        "dataset_version": "text",
        "cache_version": "text",
        "tag": "text",
        "artifact_id": "text",
        "source_project": "text",
        "source_domain": "text",
        "source_execution": "text",
        "source_node": "text",
        "task_version": "text",
        "cached_at": "timestamptz",
        "pinned": "boolean",
        "evicted": "boolean",
        "reserved_by": "text",
        "cache_key": "bytea",
        "result": "bytea",
    },
    values=_entry_values,
    restore=_entry_row,
)

INSERT_USES: Final = """
    INSERT INTO uses (project, domain, execution, node_id, artifact_id, entry_key, used_at, node)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[],
        $8::bytea[]) ON CONFLICT DO NOTHING"""
"""The first time that a node was told an artifact counts."""
