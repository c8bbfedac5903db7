"""Files to and from S3 without holding them in memory, and what lies below a folder.

A file above a limit goes up in parts, as S3 demands of large ones. Whatever failed in passing is tried again from its
beginning, an upload from the part that failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.etree import ElementTree

import aiohttp

from .driver import BlobEntry
from .errors import BlobError, BlobTooLarge

if TYPE_CHECKING:
    from .s3 import S3Driver

_CHUNK_BYTES: Final = 1 << 20
_PART_BYTES: Final = 64 << 20
_MOST_PARTS: Final = 10_000
_TRIES: Final = 4
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=5, sock_read=60)


async def entries(driver: S3Driver, bucket: str, folder: str) -> list[BlobEntry]:
    """All objects below `<folder>/`, in the order of their keys."""
    prefix = f"{folder}/" if folder else ""
    found: list[BlobEntry] = []
    token = ""
    while True:
        query = f"continuation-token={quote(token, safe='-_.~')}&" if token else ""
        query += f"list-type=2&prefix={quote(prefix, safe='-_.~')}"
        async with driver.request("GET", bucket, "", query=query) as response:
            page = _parsed(await response.read())
        for entry in page.iter():
            if _tag(entry) == "Contents":
                fields = {_tag(field): field.text or "" for field in entry}
                found.append(BlobEntry(fields["Key"].removeprefix(prefix), int(fields["Size"])))
        token = _text(page, "NextContinuationToken")
        if _text(page, "IsTruncated") != "true" or not token:
            return found


async def fetch(driver: S3Driver, bucket: str, key: str, path: Path, limit: int | None) -> int:
    """Write an object to a file; returns its size. Raises `BlobMissing` and `BlobTooLarge`."""
    reason = ""
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(0.05 * 4**attempt)
        try:
            async with driver.request("GET", bucket, key, timeout=_TIMEOUT) as response:
                expected = response.content_length
                if limit is not None and expected is not None and expected > limit:
                    raise BlobTooLarge(f"s3://{bucket}/{key} has {expected} bytes, more than {limit}")
                size = await _written(response, path, f"s3://{bucket}/{key}", limit)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            continue
        if expected is None or size == expected:
            return size
        reason = f"{size} of {expected} bytes arrived"
    raise BlobError(f"GET s3://{bucket}/{key}: {reason}")


async def send(driver: S3Driver, bucket: str, key: str, path: Path) -> int:
    """Write a file as an object; returns its size."""
    size = path.stat().st_size  # noqa: ASYNC240 (one look)
    if size <= _PART_BYTES:
        await _put(driver, bucket, key, "", path, 0, size)
        return size
    async with driver.request("POST", bucket, key, query="uploads=") as response:
        upload = _text(_parsed(await response.read()), "UploadId")
    part_bytes = max(_PART_BYTES, -(-size // _MOST_PARTS))
    tags: list[str] = []
    try:
        for number, start in enumerate(range(0, size, part_bytes), 1):
            query = f"partNumber={number}&uploadId={quote(upload, safe='-_.~')}"
            tags.append(await _put(driver, bucket, key, query, path, start, min(part_bytes, size - start)))
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{tag}&quot;</ETag></Part>"
            for number, tag in enumerate(tags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        query = f"uploadId={quote(upload, safe='-_.~')}"
        async with driver.request("POST", bucket, key, body, query=query, timeout=_TIMEOUT) as response:
            answer = _parsed(await response.read())
        # S3 says 200 before it knows; what became of it is in the body.
        if _tag(answer) == "Error":
            raise BlobError(f"POST s3://{bucket}/{key}: {_text(answer, 'Message')}")
    except BaseException:
        async with driver.request("DELETE", bucket, key, query=f"uploadId={quote(upload, safe='-_.~')}"):
            pass
        raise
    return size


async def _put(driver: S3Driver, bucket: str, key: str, query: str, path: Path, start: int, size: int) -> str:
    digest = await asyncio.to_thread(_digest, path, start, size)

    def body() -> AsyncIterator[bytes] | bytes:
        return _chunks(path, start, size) if size else b""

    async with driver.request(
        "PUT", bucket, key, body, query=query, digest=digest, size=size, timeout=_TIMEOUT
    ) as response:
        await response.read()
        return response.headers.get("ETag", "").strip('"')


async def _written(response: aiohttp.ClientResponse, path: Path, name: str, limit: int | None) -> int:
    size = 0
    with path.open("wb", buffering=0) as file:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if limit is not None and size > limit:
                raise BlobTooLarge(f"{name} has more than {limit} bytes")
            await asyncio.to_thread(_write, file.fileno(), chunk)
    return size


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


async def _chunks(path: Path, start: int, size: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while size:
            chunk = await asyncio.to_thread(file.read, min(_CHUNK_BYTES, size))
            if not chunk:
                raise BlobError(f"{path} became shorter while it was read")
            size -= len(chunk)
            yield chunk


def _digest(path: Path, start: int, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        while size and (chunk := file.read(min(_CHUNK_BYTES, size))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()


def _parsed(data: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise BlobError(f"the object store's answer is no XML: {error}") from error


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(page: ElementTree.Element, name: str) -> str:
    return next((element.text or "" for element in page.iter() if _tag(element) == name), "")
