"""The object store as the services see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from flightlog_protos.log.v1.envelope_pb2 import DataRef

from .directory import DirectoryDriver
from .driver import BlobEntry, BlobStat, Driver
from .errors import BlobCorrupt, BlobMissing, BlobRefused
from .settings import BlobSettings
from .signing import Signer

_LONGEST_KEY: Final = 1024
"""Bytes, in S3."""
_LONGEST_PART: Final = 255
"""Bytes between two slashes, in a folder."""


class BlobStore:
    """Objects by `s3://<bucket>/<key>`, of any bucket of the store. Made by `open`.

    Everything raises `BlobError` when the store refuses or cannot be reached.
    """

    def __init__(self, settings: BlobSettings, driver: Driver) -> None:
        self.settings = settings
        self._driver = driver
        self._signer = Signer(settings)

    @classmethod
    def open(cls, settings: BlobSettings) -> BlobStore:
        """Connects at first use."""
        if settings.driver == "directory":
            assert settings.directory is not None, "checked by the settings"
            return cls(settings, DirectoryDriver(settings.directory, sync=settings.sync))
        from .s3 import S3Driver  # takes long to import

        return cls(settings, S3Driver(settings))

    def through(self, wrapped: Callable[[Driver], Driver]) -> BlobStore:
        """The same store by another way to its objects, made of this one's. It is closed with this one."""
        return BlobStore(self.settings, wrapped(self._driver))

    async def close(self) -> None:
        await self._driver.close()

    def uri(self, *parts: str) -> str:
        """`s3://<our bucket>/<parts joined by />`."""
        return f"s3://{self.settings.bucket}/{'/'.join(parts)}"

    def has_room_for(self, uri: str) -> bool:
        """Whether a URI can name an object of our bucket.

        To be asked of what users name: anything else may take for ever, or be nobody's business.
        """
        ours = self.uri("")
        return (
            uri.startswith(ours)
            and "\0" not in uri
            and all(
                part not in ("", ".", "..") and len(part.encode()) <= _LONGEST_PART
                for part in uri.removeprefix(ours).split("/")
            )
            and len(uri.encode()) - len(ours.encode()) <= _LONGEST_KEY
        )

    async def put(self, uri: str, data: bytes) -> DataRef:
        """Write an object, whole or not at all, over one that may be there."""
        bucket, key = split(uri)
        await self._driver.put(bucket, key, data)
        return DataRef(uri=uri, sha256=sha256(data).digest(), size_bytes=len(data))

    async def put_many(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Write many objects, uri and bytes each, in any order. After an error some of them may have been written."""
        await self._driver.put_many([(*split(uri), data) for uri, data in objects])

    async def put_content(self, prefix: str, data: bytes) -> DataRef:
        """Write an object under `<prefix>/<SHA-256 in hex>` of our bucket, unless it is there already.

        `prefix` is a key of our bucket or a whole URI, without the slash at its end.
        """
        digest = sha256(data)
        base = prefix if prefix.startswith("s3://") else self.uri(prefix)
        reference = DataRef(uri=f"{base}/{digest.hexdigest()}", sha256=digest.digest(), size_bytes=len(data))
        bucket, key = split(reference.uri)
        if not await self._driver.has(bucket, key, len(data)):
            await self._driver.put(bucket, key, data)
        return reference

    async def get(self, uri: str, *, limit: int | None = None) -> bytes:
        """An object's bytes. Raises `BlobMissing`, and `BlobTooLarge` when it has more than `limit` bytes."""
        data = await self.get_or_none(uri, limit=limit)
        if data is None:
            raise BlobMissing(f"{uri} does not exist")
        return data

    async def get_or_none(self, uri: str, *, limit: int | None = None) -> bytes | None:
        """Like `get`, with None for what is not there."""
        bucket, key = split(uri)
        return await self._driver.get(bucket, key, limit)

    async def verified(self, ref: DataRef) -> bytes:
        """The bytes a reference stands for. Raises `BlobMissing`, and `BlobCorrupt` when they are others."""
        data = await self.get(ref.uri)
        if ref.sha256 and sha256(data).digest() != ref.sha256:
            raise BlobCorrupt(f"{ref.uri} is not what was put there: {len(data)} bytes, {ref.size_bytes} expected")
        return data

    async def stat(self, uri: str) -> BlobStat | None:
        """Size, MD5 and metadata of an object; None when it is not there."""
        bucket, key = split(uri)
        return await self._driver.stat(bucket, key)

    async def has_any(self, folder: str) -> bool:
        """Whether there is an object below `<folder>/`."""
        bucket, key = split(folder)
        return await self._driver.has_any(bucket, key.rstrip("/"))

    async def entries(self, folder: str) -> list[BlobEntry]:
        """All objects below `<folder>/`, in the order of their names; none when there is no such folder."""
        bucket, key = split(folder)
        return await self._driver.entries(bucket, key.rstrip("/"))

    async def fetch(self, uri: str, path: Path, *, limit: int | None = None) -> int:
        """Write an object to a file, however large it is; returns its size in bytes.

        Raises `BlobMissing`, `BlobTooLarge` when it has more than `limit` bytes, and OSError for what is wrong with the
        file; a part of it may have been written then.
        """
        bucket, key = split(uri)
        return await self._driver.fetch(bucket, key, path, limit)

    async def send(self, uri: str, path: Path) -> int:
        """Write a file as an object, whole or not at all, however large it is; returns its size in bytes."""
        bucket, key = split(uri)
        return await self._driver.send(bucket, key, path)

    async def delete(self, uri: str) -> None:
        """Delete an object. One that is not there is no error."""
        bucket, key = split(uri)
        await self._driver.delete(bucket, key)

    def sign_put(self, uri: str, *, expires: timedelta, headers: Mapping[str, str]) -> str:
        """A URL for one upload. The client must send exactly `headers` with it: they are part of the signature.

        `Content-Length` is left out of it: what Flyte announces there is the length of the MD5, not of the body
        (admin-contract §1.10), so no client could keep to it.
        """
        bucket, key = split(uri)
        signed = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        return self._signer.presign("PUT", bucket, key, expires, signed)

    def sign_get(self, uri: str, *, expires: timedelta) -> str:
        """A URL for downloading an object until it expires."""
        bucket, key = split(uri)
        return self._signer.presign("GET", bucket, key, expires, {})


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of a URI. Raises `BlobRefused` for one that names no object of an S3 store."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in ("s3", "s3a") or not bucket or not key:
        raise BlobRefused(f"{uri!r} is not s3://<bucket>/<key>")
    return bucket, key
