"""Reads of the catalog's tables for DataCatalog, each no older than the log when the call came (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.datacatalog.datacatalog_pb2 import Artifact, Dataset, DatasetID

from flightlog_log import Log
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_read import Database, Page, SqlWhere
from services.catalog import subjects
from services.catalog.artifacts import identifier_of
from services.catalog.projection.rows import artifact_key, clipped, dataset_key


class Progress(Protocol):
    """How far the projection is."""

    async def wait_for(self, sequence: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """What to list of a table `r`: condition, ORDER BY list and page."""

    where: SqlWhere
    order: str
    page: Page


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An artifact as clients get it, with its tags, and where its data lie."""

    message: Artifact
    data: DataRef


class Reads:
    """Queries of the schema `catalog`. All raise `flightlog_read.ReadError` when the tables cannot be had."""

    def __init__(self, log: Log, database: Database, progress: Progress) -> None:
        self._log = log
        self._database = database
        self._progress = progress

    async def dataset(self, dataset: DatasetID) -> Dataset | None:
        """A dataset by its name, which must be that of the UUID too where there is one; None when there is none."""
        await self._catch_up()
        key = dataset_key(identifier_of(dataset))
        rows = await self._fetch("SELECT message FROM catalog.datasets WHERE key = $1", key)
        found = Dataset.FromString(rows[0]["message"]) if rows else None
        return found if found is not None and dataset.UUID in ("", found.id.UUID) else None

    async def has_uuid(self, uuid: str) -> bool:
        """Whether a dataset has a UUID."""
        await self._catch_up()
        return bool(await self._fetch("SELECT 1 FROM catalog.datasets WHERE uuid = $1 LIMIT 1", clipped(uuid)))

    async def datasets(self, listing: Listing) -> list[Dataset]:
        """A page of datasets."""
        await self._catch_up()
        rows = await self._fetch(
            f"SELECT r.message FROM catalog.datasets r WHERE {listing.where.clause} "
            f"ORDER BY {listing.order} {listing.page.sql}",
            *listing.where.args,
        )
        return [Dataset.FromString(row["message"]) for row in rows]

    async def artifact(self, dataset: DatasetID | None, artifact_id: str) -> StoredArtifact | None:
        """An artifact of a dataset, or the newest one of that id in any; None when there is none."""
        await self._catch_up()
        if dataset is not None:
            rows = await self._fetch(
                "SELECT * FROM catalog.artifacts WHERE key = $1", artifact_key(identifier_of(dataset), artifact_id)
            )
        else:
            rows = await self._fetch(
                "SELECT * FROM catalog.artifacts WHERE artifact_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1",
                clipped(artifact_id),
            )
        found = await self._whole(rows)
        return found[0] if found else None

    async def artifacts(self, dataset: Identifier, listing: Listing) -> list[StoredArtifact]:
        """A page of a dataset's artifacts."""
        await self._catch_up()
        arguments = (*listing.where.args, dataset_key(dataset))
        rows = await self._fetch(
            f"SELECT r.* FROM catalog.artifacts r WHERE {listing.where.clause} AND r.dataset_key = ${len(arguments)} "
            f"ORDER BY {listing.order} {listing.page.sql}",
            *arguments,
        )
        return await self._whole(rows)

    async def tags(self, artifact: Artifact) -> list[str]:
        """Tags that have an artifact."""
        await self._catch_up()
        found = await self._tags([(dataset_key(identifier_of(artifact.dataset)), clipped(artifact.id))])
        return [tag for tags in found.values() for tag in tags]

    async def _whole(self, rows: Sequence[asyncpg.Record]) -> list[StoredArtifact]:
        tags = await self._tags((row["dataset_key"], row["artifact_id"]) for row in rows)
        found: list[StoredArtifact] = []
        for row in rows:
            message = Artifact.FromString(row["message"])
            for tag in tags.get((row["dataset_key"], row["artifact_id"]), ()):
                message.tags.add(name=tag, artifact_id=message.id, dataset=message.dataset)
            found.append(StoredArtifact(message, DataRef.FromString(row["data"])))
        return found

    async def _tags(self, keys: Iterable[tuple[bytes, str]]) -> dict[tuple[bytes, str], list[str]]:
        wanted = list(keys)
        if not wanted:
            return {}
        rows = await self._fetch(
            "SELECT e.dataset_key, e.artifact_id, e.cache_key FROM catalog.entries e "
            "JOIN unnest($1::bytea[], $2::text[]) AS wanted (dataset_key, artifact_id) "
            "USING (dataset_key, artifact_id) ORDER BY e.id",
            *zip(*wanted, strict=True),
        )
        found: dict[tuple[bytes, str], list[str]] = {}
        for row in rows:
            tag = CacheKey.FromString(row["cache_key"]).tag
            found.setdefault((row["dataset_key"], row["artifact_id"]), []).append(tag)
        return found

    async def _catch_up(self) -> None:
        await self._progress.wait_for(await self._log.stream_sequence(subjects.CATALOG))

    async def _fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self._database.reading() as connection:
            return await connection.fetch(statement, *arguments)
