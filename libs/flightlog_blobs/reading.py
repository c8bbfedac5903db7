"""A way to objects that can be read only."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from .driver import BlobEntry, BlobStat
from .errors import BlobMissing, BlobRefused, BlobTooLarge


class ReadOnlyDriver(ABC):
    """All that a driver has to offer, made of three ways to read; nothing can be written."""

    @abstractmethod
    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None: ...

    @abstractmethod
    async def stat(self, bucket: str, key: str) -> BlobStat | None: ...

    @abstractmethod
    async def entries(self, bucket: str, folder: str) -> list[BlobEntry]: ...

    async def has(self, bucket: str, key: str, size: int) -> bool:
        found = await self.stat(bucket, key)
        return found is not None and found.size == size

    async def has_any(self, bucket: str, folder: str) -> bool:
        return bool(await self.entries(bucket, folder))

    async def fetch(self, bucket: str, key: str, path: Path, limit: int | None) -> int:
        data = await self.get(bucket, key, limit)
        if data is None:
            raise BlobMissing(f"s3://{bucket}/{key} does not exist")
        if limit is not None and len(data) > limit:
            raise BlobTooLarge(f"s3://{bucket}/{key} has {len(data)} bytes, more than {limit}")
        await asyncio.to_thread(path.write_bytes, data)
        return len(data)

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        raise BlobRefused(f"s3://{bucket}/{key} cannot be written here ({len(data)} bytes)")

    async def put_many(self, objects: Sequence[tuple[str, str, bytes]]) -> None:
        for bucket, key, data in objects:
            await self.put(bucket, key, data)

    async def delete(self, bucket: str, key: str) -> None:
        raise BlobRefused(f"s3://{bucket}/{key} cannot be deleted here")

    async def send(self, bucket: str, key: str, path: Path) -> int:
        raise BlobRefused(f"s3://{bucket}/{key} cannot be written here (from {path.name})")

    async def close(self) -> None:
        return
