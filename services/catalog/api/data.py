"""Data of artifacts in the object store: named literals, as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.datacatalog.datacatalog_pb2 import ArtifactData
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobCorrupt, BlobMissing, BlobStore, BlobTooLarge
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_rpc import already_exists, internal, invalid

PREFIX: Final = "catalog/data"
"""Where clients' data are in the object store, each under the hash of its bytes."""
_LARGEST: Final = 32 << 20
"""Bytes of outputs that nodes may take from where a client says they are."""


class ArtifactsData:
    """Writes and reads them. Raises `BlobError` when the object store is away."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def put(self, data: Sequence[ArtifactData]) -> DataRef:
        """Raises ALREADY_EXISTS for two of the same name, as Flyte does."""
        literals: dict[str, Literal] = {}
        for one in data:
            if one.name in literals:
                raise already_exists(f"value with matching already exists (artifact data {one.name})")
            literals[one.name] = one.value
        return await self.put_map(LiteralMap(literals=literals))

    async def put_map(self, literals: LiteralMap) -> DataRef:
        """A map of literals."""
        return await self._blobs.put_content(PREFIX, literals.SerializeToString(deterministic=True))

    async def get_map(self, reference: DataRef) -> LiteralMap:
        """Raises INTERNAL where they are lost or damaged."""
        try:
            return LiteralMap.FromString(await self._blobs.verified(reference))
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            raise internal(f"Unable to read artifact data from location {reference.uri}, err {error}") from error

    async def get(self, artifact_id: str, reference: DataRef) -> list[ArtifactData]:
        """The data by name, in its order. Raises INTERNAL where they are lost, or there are none."""
        literals = (await self.get_map(reference)).literals
        if not literals:
            raise internal(f"artifact {artifact_id} does not have artifact data associated")
        return [ArtifactData(name=name, value=literals[name]) for name in sorted(literals)]

    async def check(self, reference: DataRef, field: str) -> None:
        """Raises INVALID_ARGUMENT where somebody says that there are literals, and there are none that can be read."""
        try:
            known = self._blobs.has_room_for(reference.uri)
            data = await self._blobs.get_or_none(reference.uri, limit=_LARGEST) if known else None
            if data is not None:
                LiteralMap.FromString(data)
        except (BlobTooLarge, DecodeError) as error:
            raise invalid(f"{field} names no literals: {error}") from None
        if data is None:
            raise invalid(f"{field} names no object of this store")

    def is_own(self, reference: DataRef) -> bool:
        """Whether a client sent the data, and they were put here."""
        return reference.uri.startswith(self._blobs.uri(PREFIX) + "/")
