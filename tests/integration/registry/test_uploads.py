"""CreateUploadLocation: the signed address takes the upload that the clients make, and no other."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import grpc
import grpc.aio
import pytest
import requests
from flyteidl.service import dataproxy_pb2
from google.protobuf.duration_pb2 import Duration

from flightlog_blobs import BlobSettings, BlobStore

Call = Callable[..., Awaitable[Any]]
BODY = b"hello"
MD5 = hashlib.md5(BODY).digest()


def location(**fields: Any) -> dataproxy_pb2.CreateUploadLocationRequest:
    given = {"project": "flytesnacks", "domain": "development", "filename": "f.txt", "content_md5": MD5}
    return dataproxy_pb2.CreateUploadLocationRequest(**{**given, **fields})


async def put(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session, session.put(url, data=body, headers=headers) as answer:
        return answer.status


async def refused(answer: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return caught.value


async def stored(settings: BlobSettings, uri: str) -> bytes:
    blobs = BlobStore.open(settings)
    try:
        return await blobs.get(uri)
    finally:
        await blobs.close()


async def test_an_upload_is_addressed_by_its_content(call: Call) -> None:
    answer = await call("CreateUploadLocation", location())
    assert answer.native_url.endswith("/flytesnacks/development/LVAUAKV4JMVHNOLRTWIRAF6FSI======/f.txt")
    assert dict(answer.headers) == {"Content-MD5": "XUFAKrxLKna5cZ2REBfFkg=="}
    lifetime = answer.expires_at.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(minutes=59) < lifetime <= timedelta(hours=1)


async def test_flytekit_uploads_with_the_headers_it_was_told(call: Call, blob_settings: BlobSettings) -> None:
    answer = await call("CreateUploadLocation", location(filename=uuid4().hex, add_content_md5_metadata=True))
    assert answer.headers["x-amz-meta-flyteContentMD5"] == base64.b64encode(MD5).decode()
    headers = {"Content-MD5": base64.b64encode(MD5).decode(), **answer.headers}
    assert await put(answer.signed_url, BODY, headers) == 200
    assert await stored(blob_settings, answer.native_url) == BODY


async def test_flytekit_uploads_an_empty_file(call: Call, blob_settings: BlobSettings, tmp_path: Path) -> None:
    md5 = hashlib.md5(b"").digest()
    request = location(filename=uuid4().hex, content_md5=md5, add_content_md5_metadata=True)
    answer = await call("CreateUploadLocation", request)
    headers = {"Content-Length": "0", "Content-MD5": base64.b64encode(md5).decode(), **answer.headers}
    (tmp_path / "empty").touch()

    def upload() -> int:
        # As flytekit does it: the body of an empty file is announced as chunked, and never sent.
        with (tmp_path / "empty").open("rb") as file:
            return requests.put(answer.signed_url, data=file, headers=headers, timeout=30).status_code

    assert await asyncio.to_thread(upload) == 200
    assert await stored(blob_settings, answer.native_url) == b""
    (tmp_path / "empty").write_bytes(BODY)
    assert await asyncio.to_thread(upload) == 403


async def test_flytectl_uploads_with_the_md5_alone(call: Call, blob_settings: BlobSettings) -> None:
    answer = await call("CreateUploadLocation", location(filename=uuid4().hex))
    assert await put(answer.signed_url, BODY, {"Content-MD5": base64.b64encode(MD5).decode()}) == 200
    assert await stored(blob_settings, answer.native_url) == BODY


async def test_a_writer_without_an_md5_uploads_without_headers(call: Call, blob_settings: BlobSettings) -> None:
    root = uuid4().hex
    answer = await call("CreateUploadLocation", location(content_md5=b"", filename_root=root, filename="a/b.txt"))
    assert answer.native_url.endswith(f"/flytesnacks/development/{root}/a/b.txt")
    assert not answer.headers
    assert await put(answer.signed_url, BODY, {}) == 200
    assert await stored(blob_settings, answer.native_url) == BODY


async def test_a_file_without_a_name_gets_a_random_one(call: Call) -> None:
    one = await call("CreateUploadLocation", location(filename=""))
    other = await call("CreateUploadLocation", location(filename=""))
    assert len(one.native_url.rpartition("/")[2]) == 20
    assert one.native_url != other.native_url


async def test_a_file_that_is_there_may_be_written_again_with_the_same_content_only(call: Call) -> None:
    root = uuid4().hex
    answer = await call("CreateUploadLocation", location(filename_root=root, add_content_md5_metadata=True))
    assert await put(answer.signed_url, BODY, dict(answer.headers)) == 200
    await call("CreateUploadLocation", location(filename_root=root))
    for other in (b"", hashlib.md5(b"other").digest()):
        error = await refused(call("CreateUploadLocation", location(filename_root=root, content_md5=other)))
        assert error.code() == grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(
    "fields",
    [
        {"project": ""},
        {"domain": ""},
        {"content_md5": b""},
        {"content_md5": b"short"},
        {"expires_in": Duration(seconds=3601)},
        {"expires_in": Duration(seconds=-1)},
        {"filename": "../../f"},
        {"filename": "a/../../../f"},
        {"filename_root": "."},
        {"filename": "a\0b"},
        {"filename": "a" * 300},
        {"filename": "/".join(["a" * 200] * 20)},
        {"project": "metadata", "domain": "admin"},
    ],
    ids=str,
)
async def test_a_wrong_request_is_invalid(call: Call, fields: dict[str, Any]) -> None:
    error = await refused(call("CreateUploadLocation", location(**fields)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
