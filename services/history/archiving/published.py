"""How far the archive is, from what is published: the manifests."""

from __future__ import annotations

import grpc

from flightlog_archive import STREAMS, Archive, ManifestDamaged
from flightlog_log import Log
from flightlog_log.envelopes import timestamp
from flightlog_protos.history.v1.archive_pb2 import ArchivedStream, GetArchiveRequest, GetArchiveResponse
from flightlog_rpc import CallContext, RpcError


class Published:
    """Answers from the object store, so that every instance says the same."""

    def __init__(self, log: Log, archive: Archive) -> None:
        self._log = log
        self._archive = archive

    async def get_archive(self, _request: GetArchiveRequest, _call: CallContext) -> GetArchiveResponse:
        """Of each stream: what is archived, and where the stream ends.

        Raises:
            RpcError: FAILED_PRECONDITION for a manifest that cannot be read.
            BlobError, LogUnavailable: a part is away.
        """
        return GetArchiveResponse(streams=[await self._of(stream) for stream in STREAMS])

    async def _of(self, stream: str) -> ArchivedStream:
        try:
            manifest, digest = await self._archive.manifest_and_hash(stream)
        except ManifestDamaged as error:
            reason = f"{self._archive.uri(stream)}: {error}"
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, reason) from error
        # After the manifest: what is archived was on the stream before.
        found = ArchivedStream(
            stream=stream,
            sequence=manifest.sequence,
            head=await self._log.stream_sequence(stream),
            segments=len(manifest.segments),
            bytes=manifest.size,
            manifest=self._archive.uri(stream),
            manifest_sha256=digest,
        )
        latest = max((one.recorded_until for one in manifest.segments if one.recorded_until), default=None)
        if latest is not None:
            found.recorded_at.CopyFrom(timestamp(latest))
        return found
