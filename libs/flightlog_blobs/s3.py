"""Objects over S3."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import aiohttp
from yarl import URL

from . import s3_files
from .driver import BlobEntry, BlobStat
from .errors import BlobError, BlobMissing, BlobRefused, BlobTooLarge
from .request_signing import EMPTY_SHA256, RequestSigner
from .settings import BlobSettings

_ATTEMPTS = 4
# Objects written at the same time: enough to hide a store's latency, few enough to be fair.
_AT_ONCE = 64
_RETRIED = frozenset({429, 500, 502, 503, 504})

Body = bytes | Callable[[], AsyncIterator[bytes] | bytes]
"""Of a request; a function makes it anew for each try."""


class S3Driver:
    """Objects over S3, path style."""

    def __init__(self, settings: BlobSettings) -> None:
        self._signer = RequestSigner(settings)
        self._session: aiohttp.ClientSession | None = None

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        async with _Request(self, "PUT", bucket, key, data) as response:
            await response.read()

    async def put_many(self, objects: Sequence[tuple[str, str, bytes]]) -> None:
        for start in range(0, len(objects), _AT_ONCE):
            await asyncio.gather(*(self.put(*one) for one in objects[start : start + _AT_ONCE]))

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

    async def has_any(self, bucket: str, folder: str) -> bool:
        query = f"list-type=2&max-keys=1&prefix={quote(f'{folder}/', safe='-_.~')}"
        try:
            async with _Request(self, "GET", bucket, "", query=query) as response:
                return b"<Contents>" in await response.read()
        except BlobMissing:
            return False

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

    async def entries(self, bucket: str, folder: str) -> list[BlobEntry]:
        return await s3_files.entries(self, bucket, folder)

    async def fetch(self, bucket: str, key: str, path: Path, limit: int | None) -> int:
        return await s3_files.fetch(self, bucket, key, path, limit)

    async def send(self, bucket: str, key: str, path: Path) -> int:
        return await s3_files.send(self, bucket, key, path)

    def request(
        self,
        method: str,
        bucket: str,
        key: str,
        data: Body = b"",
        *,
        query: str = "",
        digest: str = "",
        size: int | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> _Request:
        """A signed request, made when it is entered. A body made by a function comes with its SHA-256 and its size."""
        return _Request(self, method, bucket, key, data, query=query, digest=digest, size=size, timeout=timeout)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def session(self) -> aiohttp.ClientSession:
        """Made at first use: it belongs to the event loop that uses it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=30),
                timeout=aiohttp.ClientTimeout(total=300, connect=5, sock_read=15),
                auto_decompress=False,
            )
        return self._session

    @property
    def signer(self) -> RequestSigner:
        return self._signer


class _Request:
    """One signed request, tried again when it failed in passing.

    Raises `BlobMissing` for 404, `BlobRefused` for other refusals that stay, else `BlobError`.
    """

    def __init__(
        self,
        driver: S3Driver,
        method: str,
        bucket: str,
        key: str,
        data: Body = b"",
        *,
        query: str = "",
        digest: str = "",
        size: int | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> None:
        self._driver = driver
        self._method = method
        self._bucket = bucket
        self._key = key
        self._data = data
        self._query = query
        self._digest = digest
        self._size = size
        self._timeout = timeout
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        name = f"s3://{self._bucket}/{self._key}"
        digest = self._digest
        if isinstance(self._data, bytes):
            digest = sha256(self._data).hexdigest() if self._data else EMPTY_SHA256
        reason = ""
        sends = self._method in ("PUT", "POST")
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(0.05 * 4**attempt)
            url, headers = self._driver.signer.request(
                self._method, self._bucket, self._key, {}, digest, query=self._query
            )
            if self._size is not None:
                headers["Content-Length"] = str(self._size)
            session = self._driver.session()
            try:
                response = await session.request(
                    self._method,
                    URL(url, encoded=True),
                    data=(self._data if isinstance(self._data, bytes) else self._data()) if sends else None,
                    headers=headers,
                    skip_auto_headers=("Content-Type", "User-Agent"),
                    timeout=self._timeout or session.timeout,
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
                raise BlobRefused(f"{self._method} {name}: {reason}")
        raise BlobError(f"{self._method} {name}: {reason}")

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.release()
