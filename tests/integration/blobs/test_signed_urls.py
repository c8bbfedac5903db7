"""Signed URLs as Flyte's clients use them: plain HTTP requests with the announced headers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import md5
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from flightlog_blobs import BlobSettings, BlobStore

DATA = b"some code of a user"
MD5 = b64encode(md5(DATA).digest()).decode()
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(loop_scope="session")
async def store(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(skip_auto_headers=("Content-Type",)) as session:
        yield session


async def put(client: aiohttp.ClientSession, url: str, data: bytes, headers: dict[str, str]) -> int:
    async with client.put(URL(url, encoded=True), data=data, headers=headers) as response:
        await response.read()
        return response.status


async def test_upload_with_the_announced_headers_is_stored(store: BlobStore, client: aiohttp.ClientSession) -> None:
    uri = store.uri("tests", uuid4().hex, "ABC=====", "script mode.tar.gz")
    announced = {"Content-Length": "24", "Content-MD5": MD5, "x-amz-meta-flyteContentMD5": MD5}
    url = store.sign_put(uri, expires=HOUR, headers=announced)

    sent = {**announced, "Content-Length": str(len(DATA))}
    assert await put(client, url, DATA, sent) == 200
    assert await store.get(uri) == DATA
    stat = await store.stat(uri)
    assert stat is not None
    assert stat.etag == md5(DATA).hexdigest()


async def test_upload_without_an_announced_header_is_refused(store: BlobStore, client: aiohttp.ClientSession) -> None:
    uri = store.uri("tests", uuid4().hex)
    url = store.sign_put(uri, expires=HOUR, headers={"Content-MD5": MD5})
    assert await put(client, url, DATA, {}) in (400, 403)
    assert await store.get_or_none(uri) is None


async def test_url_for_one_object_does_not_open_another(store: BlobStore, client: aiohttp.ClientSession) -> None:
    name = uuid4().hex
    url = store.sign_put(store.uri("tests", name), expires=HOUR, headers={})
    assert await put(client, url.replace(name, "other"), DATA, {}) == 403


async def test_download(store: BlobStore, client: aiohttp.ClientSession) -> None:
    uri = store.uri("tests", uuid4().hex, "deck+1 ä.html")
    await store.put(uri, DATA)
    async with client.get(URL(store.sign_get(uri, expires=HOUR), encoded=True)) as response:
        assert (response.status, await response.read()) == (200, DATA)


async def test_unsigned_request_is_refused(
    store: BlobStore, blob_settings: BlobSettings, client: aiohttp.ClientSession
) -> None:
    uri = store.uri("tests", "unsigned")
    await store.put(uri, DATA)
    async with client.get(f"{blob_settings.endpoint}/{blob_settings.bucket}/tests/unsigned") as response:
        assert response.status in (400, 403)  # S3 says 403, rclone 400
        assert await response.read() != DATA


async def test_url_names_the_endpoint_that_clients_reach(blob_settings: BlobSettings) -> None:
    settings = blob_settings.model_copy(update={"public_endpoint": "https://objects.example.com:8443/"})
    url = BlobStore.open(settings).sign_put(
        "s3://flightlog/a/b", expires=timedelta(minutes=5), headers={"Content-MD5": MD5, "Content-Length": "24"}
    )
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "objects.example.com:8443", "/flightlog/a/b")
    assert query["X-Amz-SignedHeaders"] == ["content-md5;host"]
    assert query["X-Amz-Expires"] == ["300"]


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(days=8), timedelta(seconds=-1)])
async def test_lifetime_that_s3_does_not_know_is_refused(store: BlobStore, expires: timedelta) -> None:
    with pytest.raises(ValueError, match="lives between"):
        store.sign_get(store.uri("x"), expires=expires)
