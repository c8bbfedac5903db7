"""How objects get in and out: over S3, or as files of a folder that an S3 server serves."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import md5, sha256
from pathlib import Path
from typing import Protocol

import aiohttp
from yarl import URL

from .errors import BlobError, BlobMissing, BlobTooLarge
from .settings import BlobSettings
from .signing import EMPTY_SHA256, Signer

_ATTEMPTS = 4
_RETRIED = frozenset({429, 500, 502, 503, 504})
# Writing a small file takes less time than handing it to a thread and back.
_INLINE_BYTES = 256 * 1024


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


class Driver(Protocol):
    """Keys are never empty and never leave the bucket. Reading what is not there gives None."""

    async def put(self, bucket: str, key: str, data: bytes) -> None: ...
    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None: ...
    async def has(self, bucket: str, key: str, size: int) -> bool: ...
    async def stat(self, bucket: str, key: str) -> BlobStat | None: ...
    async def delete(self, bucket: str, key: str) -> None: ...
    async def close(self) -> None: ...


class DirectoryDriver:
    """Objects are files. A put is a rename, so that a reader sees the old object or the new one, never a part."""

    def __init__(self, root: Path, *, sync: bool) -> None:
        self._root = root
        self._sync = sync
        self._folders: set[str] = set()
        self._written = 0

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        try:
            if len(data) <= _INLINE_BYTES and not self._sync:
                self._write(self._file(bucket, key), data)
            else:
                await asyncio.to_thread(self._write, self._file(bucket, key), data)
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be written: {error}") from error

    def _write(self, file: str, data: bytes) -> None:
        folder = os.path.dirname(file)
        self._written += 1
        # Beside the target, where the rename stays within one file system; the S3 server hides nothing, so the name
        # says what it is.
        partial = f"{file}.{os.getpid():x}-{self._written:x}.partial"
        for retry in (True, False):
            if folder not in self._folders:
                os.makedirs(folder, exist_ok=True)
                self._folders.add(folder)
            try:
                descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
                break
            except FileNotFoundError:  # somebody removed the folder we knew
                self._folders.discard(folder)
                if not retry:
                    raise
        try:
            with open(descriptor, "wb", buffering=0) as stream:
                view = memoryview(data)
                while view:
                    view = view[stream.write(view) :]
                if self._sync:
                    os.fsync(descriptor)
            os.replace(partial, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
        if self._sync:
            _sync_folder(folder)

    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None:
        file = self._file(bucket, key)
        try:
            with open(file, "rb", buffering=0) as stream:
                size = os.fstat(stream.fileno()).st_size
                if limit is not None and size > limit:
                    raise BlobTooLarge(f"s3://{bucket}/{key} has {size} bytes, more than {limit}")
                if size <= _INLINE_BYTES:
                    return stream.readall()
                return await asyncio.to_thread(stream.readall)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be read: {error}") from error

    async def has(self, bucket: str, key: str, size: int) -> bool:
        try:
            return os.stat(self._file(bucket, key)).st_size == size
        except OSError:
            return False

    async def stat(self, bucket: str, key: str) -> BlobStat | None:
        file = self._file(bucket, key)
        try:
            found = os.stat(file)
            if not os.path.isfile(file):
                return None
            etag = await asyncio.to_thread(_md5_of, file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be read: {error}") from error
        return BlobStat(found.st_size, etag, datetime.fromtimestamp(found.st_mtime, UTC))

    async def delete(self, bucket: str, key: str) -> None:
        try:
            os.unlink(self._file(bucket, key))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be deleted: {error}") from error

    async def close(self) -> None:
        return

    def _file(self, bucket: str, key: str) -> str:
        if any(part in ("", ".", "..") for part in key.split("/")):
            raise BlobError(f"s3://{bucket}/{key}: a folder cannot hold an object of that name")
        return f"{self._root}/{bucket}/{key}"


class S3Driver:
    """Objects over S3, path style."""

    def __init__(self, settings: BlobSettings) -> None:
        self._signer = Signer(settings)
        self._session: aiohttp.ClientSession | None = None

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        async with _Request(self, "PUT", bucket, key, data) as response:
            await response.read()

    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None:
        try:
            async with _Request(self, "GET", bucket, key) as response:
                size = response.content_length
                if limit is not None and size is not None and size > limit:
                    raise BlobTooLarge(f"s3://{bucket}/{key} has {size} bytes, more than {limit}")
                return await response.read()
        except BlobMissing:
            return None

    async def has(self, bucket: str, key: str, size: int) -> bool:
        found = await self.stat(bucket, key)
        return found is not None and found.size == size

    async def stat(self, bucket: str, key: str) -> BlobStat | None:
        try:
            async with _Request(self, "HEAD", bucket, key) as response:
                headers = response.headers
        except BlobMissing:
            return None
        modified = headers.get("Last-Modified")
        return BlobStat(
            size=int(headers.get("Content-Length", "0")),
            etag=headers.get("ETag", "").strip('"'),
            modified_at=parsedate_to_datetime(modified) if modified else datetime.now(UTC),
            content_type=headers.get("Content-Type", "binary/octet-stream"),
            metadata={
                name.lower().removeprefix("x-amz-meta-"): value
                for name, value in headers.items()
                if name.lower().startswith("x-amz-meta-")
            },
        )

    async def delete(self, bucket: str, key: str) -> None:
        with contextlib.suppress(BlobMissing):
            async with _Request(self, "DELETE", bucket, key) as response:
                await response.read()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def session(self) -> aiohttp.ClientSession:
        """Made at first use: it belongs to the event loop that uses it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=30),
                timeout=aiohttp.ClientTimeout(total=300, connect=5, sock_read=30),
                auto_decompress=False,
            )
        return self._session

    @property
    def signer(self) -> Signer:
        return self._signer


class _Request:
    """One signed request; what fails in passing is tried again. Raises `BlobMissing` for 404, `BlobError` for the rest."""

    def __init__(self, driver: S3Driver, method: str, bucket: str, key: str, data: bytes = b"") -> None:
        self._driver = driver
        self._method = method
        self._bucket = bucket
        self._key = key
        self._data = data
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        name = f"s3://{self._bucket}/{self._key}"
        digest = sha256(self._data).hexdigest() if self._data else EMPTY_SHA256
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(0.05 * 4**attempt)
            url, headers = self._driver.signer.request(self._method, self._bucket, self._key, {}, digest)
            try:
                response = await self._driver.session().request(
                    self._method,
                    URL(url, encoded=True),
                    data=self._data if self._method == "PUT" else None,
                    headers=headers,
                    skip_auto_headers=("Content-Type", "User-Agent"),
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                continue
            if response.status < 300:
                self._response = response
                return response
            text = (await response.text(errors="replace"))[:300]
            response.release()
            if response.status == 404:
                raise BlobMissing(f"{name} does not exist")
            reason = f"{response.status} {text}"
            if response.status not in _RETRIED:
                break
        raise BlobError(f"{self._method} {name}: {reason}")

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.release()


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _md5_of(file: str) -> str:
    digest = md5(usedforsecurity=False)
    with open(file, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
