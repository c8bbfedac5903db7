"""`flyteidl.cacheservice.CacheService`: entries of the cache by one key, without datasets and artifacts."""

from __future__ import annotations

from uuid import uuid4

from flyteidl.cacheservice import cacheservice_pb2 as cacheservice
from flyteidl.core.identifier_pb2 import TaskExecutionIdentifier

from flightlog_blobs import BlobError
from flightlog_blobs.store import split
from flightlog_protos.catalog.v1.cache_pb2 import CachedResult
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_rpc import CallContext, already_exists, invalid, invalid_value, not_found
from services.catalog.api.data import ArtifactsData
from services.catalog.api.keys import key_of
from services.catalog.artifacts import source_metadata
from services.catalog.entries import Entry
from services.catalog.keeping import Entries, now
from services.catalog.requests import Evict, Put


class Cache:
    """`Get`, `Put`, `Delete`."""

    def __init__(self, entries: Entries, data: ArtifactsData) -> None:
        self._entries = entries
        self._data = data

    async def get(self, request: cacheservice.GetCacheRequest, call: CallContext) -> cacheservice.GetCacheResponse:
        """What is found under a key: literals where literals were put there, else where they are.

        Raises INVALID_ARGUMENT, NOT_FOUND, and INTERNAL for data that are lost.
        """
        entry = await self._entries.entry(key_of(request.key))
        result = entry.found(now(), self._entries.rules)
        if result is None:
            raise _missing(request.key)
        output = cacheservice.CachedOutput(metadata=_metadata(entry, result))
        if self._data.is_own(result.outputs):
            output.output_literals.CopyFrom(await self._data.get_map(result.outputs))
        else:
            output.output_uri = result.outputs.uri
        return cacheservice.GetCacheResponse(output=output)

    async def put(self, request: cacheservice.PutCacheRequest, call: CallContext) -> cacheservice.PutCacheResponse:
        """Raises INVALID_ARGUMENT, and ALREADY_EXISTS where there is a result and it is not to be overwritten."""
        key = key_of(request.key)
        result = await self._result(request)
        if key.HasField("dataset") and request.output.HasField("output_uri"):
            # Nodes will read it.
            await self._data.check(result.outputs, "output_uri")
        outcome = await self._entries.change(key, [Put(None, result, overwrites=request.overwrite)], call.cause())
        if not outcome.facts:
            raise already_exists(f'cache entry "{request.key}" already exists')
        return cacheservice.PutCacheResponse()

    async def delete(
        self, request: cacheservice.DeleteCacheRequest, call: CallContext
    ) -> cacheservice.DeleteCacheResponse:
        """Nobody finds the result any more; its data stay. Raises INVALID_ARGUMENT, NOT_FOUND."""
        evict = Evict("deleted by a client of CacheService", pinned_too=True)
        outcome = await self._entries.change(key_of(request.key), [evict], call.cause())
        if not outcome.facts:
            raise _missing(request.key)
        return cacheservice.DeleteCacheResponse()

    async def _result(self, request: cacheservice.PutCacheRequest) -> CachedResult:
        output = request.output
        match output.WhichOneof("output"):
            case "output_literals":
                outputs = await self._data.put_map(output.output_literals)
            case "output_uri":
                outputs = DataRef(uri=_uri(output.output_uri))
            case _:
                raise invalid("output is required")
        metadata = output.metadata
        result = CachedResult(artifact_id=str(uuid4()), outputs=outputs, metadata=metadata.key_map.values)
        if metadata.HasField("source_identifier"):
            result.source.CopyFrom(TaskExecutionIdentifier(task_id=metadata.source_identifier))
        if metadata.HasField("created_at"):
            result.created_at.CopyFrom(metadata.created_at)
        return result


def _uri(uri: str) -> str:
    try:
        split(uri)
    except BlobError:
        raise invalid_value("output_uri") from None
    return uri


def _metadata(entry: Entry, result: CachedResult) -> cacheservice.Metadata:
    metadata = cacheservice.Metadata(
        key_map=cacheservice.KeyMapMetadata(values=result.metadata or source_metadata(result.source)),
        created_at=result.created_at if result.HasField("created_at") else entry.created_at,
        last_updated_at=entry.cached_at,
    )
    if result.source.HasField("task_id"):
        metadata.source_identifier.CopyFrom(result.source.task_id)
    return metadata


def _missing(key: str) -> Exception:
    return not_found(f'cache entry "{key}" not found')
