"""Artifacts and tags of DataCatalog (engine-semantics §4.7): what is tagged is what nodes find, and vice versa."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from flyteidl.datacatalog import datacatalog_pb2 as datacatalog

from flightlog_log import Cause, Conflict, Head, Log
from flightlog_protos.catalog.v1.cache_pb2 import CachedResult, CacheKey
from flightlog_rpc import CallContext, RpcError, already_exists, missing_entity
from flightlog_types import prototext
from services.catalog import artifacts, subjects
from services.catalog.api import checks, listing
from services.catalog.api.data import ArtifactsData
from services.catalog.api.datasets import Datasets
from services.catalog.keeping import Entries, now
from services.catalog.projection.queries import Reads, StoredArtifact
from services.catalog.requests import Change, Put


class Artifacts:
    """`CreateArtifact`, `GetArtifact`, `ListArtifacts`, `UpdateArtifact`, `AddTag`."""

    def __init__(self, log: Log, entries: Entries, reads: Reads, datasets: Datasets, data: ArtifactsData) -> None:
        self._log = log
        self._entries = entries
        self._reads = reads
        self._datasets = datasets
        self._data = data

    async def create(
        self, request: datacatalog.CreateArtifactRequest, call: CallContext
    ) -> datacatalog.CreateArtifactResponse:
        """Raises INVALID_ARGUMENT, NOT_FOUND for the dataset, ALREADY_EXISTS."""
        artifact = request.artifact
        checks.new_artifact(request.HasField("artifact"), artifact)
        dataset = await self._datasets.found(artifact.dataset)
        checks.partitions(dataset.partitionKeys, artifact.partitions)
        if await self._reads.artifact(artifact.dataset, artifact.id) is not None:
            raise _taken(artifact)
        fact = artifacts.artifact_created(artifact, await self._data.put(artifact.data), now())
        subject = subjects.artifact(fact.dataset, fact.artifact_id)
        try:
            await self._log.append(subject, [fact], head=Head.EMPTY, cause=call.cause())
        except Conflict:
            raise _taken(artifact) from None
        return datacatalog.CreateArtifactResponse()

    async def get(self, request: datacatalog.GetArtifactRequest, call: CallContext) -> datacatalog.GetArtifactResponse:
        """With its data. Raises INVALID_ARGUMENT, NOT_FOUND, and INTERNAL for data that are lost."""
        checks.query_handle(request)
        return datacatalog.GetArtifactResponse(artifact=await self._with_data(await self._found(request)))

    async def list(
        self, request: datacatalog.ListArtifactsRequest, call: CallContext
    ) -> datacatalog.ListArtifactsResponse:
        """With their data. Raises INVALID_ARGUMENT, NOT_FOUND for the dataset, and INTERNAL for data that are lost."""
        checks.dataset_id(request.HasField("dataset"), request.dataset)
        wanted = listing.of_artifacts(request)
        await self._datasets.found(request.dataset)
        found = await self._reads.artifacts(artifacts.identifier_of(request.dataset), wanted)
        shown = await asyncio.gather(*map(self._with_data, found))
        return datacatalog.ListArtifactsResponse(artifacts=shown, next_token=str(wanted.page.offset + len(shown)))

    async def update(
        self, request: datacatalog.UpdateArtifactRequest, call: CallContext
    ) -> datacatalog.UpdateArtifactResponse:
        """Gives an artifact other data and metadata, all of them; whoever finds it finds these from now on.

        Raises INVALID_ARGUMENT, NOT_FOUND.
        """
        checks.query_handle(request)
        checks.some_data(request.data)
        artifact = (await self._found(request)).message
        data = await self._data.put(request.data)
        dataset = await self._datasets.found(artifact.dataset)
        metadata = request.metadata.key_map
        source = artifacts.source_of(dataset, metadata)
        subject = subjects.artifact(artifacts.identifier_of(artifact.dataset), artifact.id)
        cause = call.cause()
        while True:
            head = await self._log.head(subject)
            tags = await self._reads.tags(artifact)
            fact = artifacts.artifact_updated(artifact, data, metadata, tags, source, head.position + 1, now())
            try:
                await self._log.append(subject, [fact], head=head, cause=cause)
                break
            except Conflict:
                continue
        # Tagged while it was updated: the tag has the former data, unless this is seen there (see `add_tag`).
        change = Change(artifacts.result_of(fact))
        for tag in dict.fromkeys([*tags, *await self._reads.tags(artifact)]):
            await self._entries.change(CacheKey(dataset=fact.dataset, tag=tag), [change], cause)
        return datacatalog.UpdateArtifactResponse(artifact_id=artifact.id)

    async def add_tag(self, request: datacatalog.AddTagRequest, call: CallContext) -> datacatalog.AddTagResponse:
        """The artifact is what is found under the tag from now on; of two, the first one wins.

        Raises INVALID_ARGUMENT, NOT_FOUND for dataset or artifact, ALREADY_EXISTS.
        """
        tag = request.tag
        checks.new_tag(request.HasField("tag"), tag)
        dataset = await self._datasets.found(tag.dataset)
        identifier = artifacts.identifier_of(tag.dataset)
        subject = subjects.artifact(identifier, tag.artifact_id)
        head = await self._log.head(subject)
        stored = await self._named(tag.dataset, tag.artifact_id)
        key, cause = CacheKey(dataset=identifier, tag=tag.name), call.cause()
        outcome = await self._entries.change(key, [Put(None, _result(dataset, stored, head))], cause)
        if not outcome.facts:
            raise already_exists(f"value with matching already exists (tag {tag.name})")
        if (latest := await self._log.head(subject)) != head:
            updated = await self._named(tag.dataset, tag.artifact_id)
            again = Cause(cause.actor, cause.correlation_id, str(uuid4()), cause.traceparent)
            await self._entries.change(key, [Change(_result(dataset, updated, latest))], again)
        return datacatalog.AddTagResponse()

    async def _found(
        self, request: datacatalog.GetArtifactRequest | datacatalog.UpdateArtifactRequest
    ) -> StoredArtifact:
        if request.WhichOneof("query_handle") == "artifact_id":
            dataset = request.dataset if request.HasField("dataset") else None
            return await self._named(dataset, request.artifact_id)
        key = CacheKey(dataset=artifacts.identifier_of(request.dataset), tag=request.tag_name)
        result = (await self._entries.entry(key)).found(now(), self._entries.rules)
        if result is None:
            raise missing_entity("Tag", prototext(datacatalog.Tag(name=request.tag_name)))
        return await self._named(request.dataset, result.artifact_id)

    async def _named(self, dataset: datacatalog.DatasetID | None, artifact_id: str) -> StoredArtifact:
        found = await self._reads.artifact(dataset, artifact_id)
        if found is None:
            name = artifacts.dataset_name(dataset) if dataset is not None else datacatalog.DatasetID()
            raise missing_entity("Artifact", prototext(datacatalog.Artifact(id=artifact_id, dataset=name)))
        return found

    async def _with_data(self, stored: StoredArtifact) -> datacatalog.Artifact:
        artifact = datacatalog.Artifact()
        artifact.CopyFrom(stored.message)
        artifact.data.extend(await self._data.get(artifact.id, stored.data))
        return artifact


def _result(dataset: datacatalog.Dataset, stored: StoredArtifact, head: Head) -> CachedResult:
    """The artifact as a result. It may be newer than its subject was at `head`: then it is changed once more."""
    metadata = stored.message.metadata.key_map
    return CachedResult(
        artifact_id=stored.message.id,
        outputs=stored.data,
        metadata=metadata,
        source=artifacts.source_of(dataset, metadata),
        revision=head.position,
    )


def _taken(artifact: datacatalog.Artifact) -> RpcError:
    return already_exists(f"value with matching already exists (artifact {artifact.id})")
