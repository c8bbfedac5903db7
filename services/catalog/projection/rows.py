"""Rows of the catalog's tables, as they are folded; see `services.catalog.projection.tables` for what they are."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Protocol

from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.datacatalog.datacatalog_pb2 import Artifact, Dataset
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import CachedResult, CacheKey
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog.subjects import hash_of

_LONGEST_BYTES: Final = 400
_SHOWN_BYTES: Final = 300


def clipped(text: str) -> str:
    """Text as a column of the tables has it: without NUL characters, and short enough for an index.

    Whoever compares with a column clips what it compares. What cannot stay as it is ends with its hash: different texts
    stay different.
    """
    data = text.encode()
    if len(data) <= _LONGEST_BYTES and "\0" not in text:
        return text
    shown = data.replace(b"\0", b"")[:_SHOWN_BYTES].decode(errors="ignore")
    return f"{shown}…{sha256(data).hexdigest()}"


def dataset_key(dataset: Identifier) -> bytes:
    """The key of a dataset's row."""
    return hash_of(dataset.project, dataset.domain, dataset.name, dataset.version)


def artifact_key(dataset: Identifier, artifact_id: str) -> bytes:
    """The key of an artifact's row."""
    return hash_of(dataset.project, dataset.domain, dataset.name, dataset.version, artifact_id)


def entry_key(key: CacheKey) -> bytes:
    """The key of an entry's row."""
    dataset = key.dataset
    return hash_of(dataset.project, dataset.domain, dataset.name, dataset.version, key.tag)


def instant(stamp: Timestamp) -> datetime:
    """A fact's time as a row's."""
    return stamp.ToDatetime(UTC)


class Row(Protocol):
    """What every row has. `stored` is the sequence it was loaded with, -1 for one that is new."""

    key: bytes
    id: int
    sequence: int
    stored: int


@dataclass(slots=True)
class DatasetRow:
    """`created`: by a client, whose words count; else it follows from a result of the engine."""

    key: bytes
    id: int
    sequence: int
    created_at: datetime
    message: Dataset
    created: bool = False
    stored: int = -1


@dataclass(slots=True)
class ArtifactRow:
    """`message` is the artifact as clients get it, without its tags and its data, which lie at `data`.

    An artifact and its entries change one after another: what is of an earlier `revision` comes late.
    """

    key: bytes
    id: int
    sequence: int
    created_at: datetime
    dataset_key: bytes
    message: Artifact
    data: DataRef = field(default_factory=DataRef)
    revision: int = 0
    stored: int = -1


@dataclass(slots=True)
class EntryRow:
    """`reserved_by` is the client's name, or `<project>/<domain>/<execution>/<node id>`."""

    key: bytes
    id: int
    sequence: int
    cache_key: CacheKey
    result: CachedResult | None = None
    cached_at: datetime | None = None
    pinned: bool = False
    evicted: bool = False
    reserved_by: str = ""
    stored: int = -1
