"""What a way to the objects has to offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What the store knows of an object without reading it to us."""

    size: int
    etag: str
    """Without quotes. For an object that was put in one piece this is the MD5 in hex."""
    modified_at: datetime
    content_type: str = "binary/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """The `x-amz-meta-` headers, names in lower case, without that prefix."""


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """An object below a folder."""

    name: str
    """What follows the folder's slash."""
    size: int


class Driver(Protocol):
    """Keys are never empty and never leave the bucket. Reading what is not there gives None."""

    async def put(self, bucket: str, key: str, data: bytes) -> None: ...
    async def put_many(self, objects: Sequence[tuple[str, str, bytes]]) -> None: ...
    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None: ...
    async def has(self, bucket: str, key: str, size: int) -> bool: ...
    async def has_any(self, bucket: str, folder: str) -> bool: ...
    async def stat(self, bucket: str, key: str) -> BlobStat | None: ...
    async def delete(self, bucket: str, key: str) -> None: ...
    async def entries(self, bucket: str, folder: str) -> list[BlobEntry]: ...
    async def fetch(self, bucket: str, key: str, path: Path, limit: int | None) -> int: ...
    async def send(self, bucket: str, key: str, path: Path) -> int: ...
    async def close(self) -> None: ...
