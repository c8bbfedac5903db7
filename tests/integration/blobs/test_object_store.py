"""Both drivers against the same S3 server: what one writes the other reads."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from hashlib import md5, sha256
from uuid import uuid4

import pytest
import pytest_asyncio

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing, BlobSettings, BlobStore, BlobTooLarge
from flightlog_protos.log.v1.envelope_pb2 import DataRef


def settings_of(blob_settings: BlobSettings, driver: str) -> BlobSettings:
    return blob_settings.model_copy(update={"driver": driver})


@pytest_asyncio.fixture(loop_scope="session", params=["directory", "s3"])
async def store(blob_settings: BlobSettings, request: pytest.FixtureRequest) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(settings_of(blob_settings, request.param))
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def other(blob_settings: BlobSettings, store: BlobStore) -> AsyncIterator[BlobStore]:
    """The other driver on the same objects."""
    other = BlobStore.open(settings_of(blob_settings, "s3" if store.settings.driver == "directory" else "directory"))
    yield other
    await other.close()


@pytest.fixture
def uri(store: BlobStore) -> str:
    # A name with what S3 and URLs treat in a special way.
    return store.uri("tests", uuid4().hex, "a b+c=d&e%2F(f)~ä", "outputs.pb")


@pytest.mark.parametrize("size", [0, 1, 100_000, 1_000_000])
async def test_object_is_read_back_by_either_driver(store: BlobStore, other: BlobStore, uri: str, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    reference = await store.put(uri, data)

    assert reference == DataRef(uri=uri, sha256=sha256(data).digest(), size_bytes=size)
    for reader in (store, other):
        assert await reader.get(uri) == data
        assert await reader.verified(reference) == data
        stat = await reader.stat(uri)
        assert stat is not None
        assert (stat.size, stat.etag) == (size, md5(data).hexdigest())


@pytest.mark.parametrize("count", [0, 1, 2, 150])
async def test_many_objects_are_all_there(store: BlobStore, other: BlobStore, count: int) -> None:
    folder = store.uri("tests", uuid4().hex)
    objects = [(f"{folder}/n{number}/data/0/outputs.pb", bytes([number])) for number in range(count)]
    await store.put_many(objects)
    for uri, data in objects[:: max(1, count // 5)]:
        assert await other.get(uri) == data
    await asyncio.gather(*(store.put_many(objects[:3]) for _ in range(5)))
    assert [await store.get(uri) for uri, _ in objects] == [data for _, data in objects]


async def test_many_objects_into_a_folder_that_was_removed(store: BlobStore, blob_settings: BlobSettings) -> None:
    root = uuid4().hex
    objects = [(store.uri("tests", root, name, "x"), b"x") for name in "ab"]
    await store.put_many(objects)
    assert blob_settings.directory is not None
    shutil.rmtree(blob_settings.directory / blob_settings.bucket / "tests" / root)
    await store.put_many(objects)
    assert await store.get(objects[1][0]) == b"x"


async def test_later_put_replaces_the_object(store: BlobStore, other: BlobStore, uri: str) -> None:
    await store.put(uri, b"the first, longer text")
    await other.put(uri, b"the second")
    assert await store.get(uri) == b"the second"


async def test_missing_object_is_missing(store: BlobStore, uri: str) -> None:
    assert await store.get_or_none(uri) is None
    assert await store.stat(uri) is None
    with pytest.raises(BlobMissing, match="does not exist"):
        await store.get(uri)
    with pytest.raises(BlobMissing):
        await store.verified(DataRef(uri=uri))


async def test_deleted_object_is_gone_and_may_be_deleted_again(store: BlobStore, other: BlobStore, uri: str) -> None:
    await store.put(uri, b"x")
    await store.delete(uri)
    await store.delete(uri)
    assert await other.get_or_none(uri) is None


async def test_folder_with_an_object_somewhere_below_it_has_one(store: BlobStore, other: BlobStore, uri: str) -> None:
    folder = uri.rpartition("/")[0]
    above = folder.rpartition("/")[0]
    assert not await store.has_any(above)
    await other.put(uri, b"1")
    assert await store.has_any(above)
    assert await store.has_any(f"{folder}/")
    # No folder, only the beginning of one's name; and an object, which nothing is below.
    assert not await store.has_any(folder[:-1])
    assert not await store.has_any(uri)


async def test_object_above_the_limit_is_not_read(store: BlobStore, uri: str) -> None:
    await store.put(uri, b"0123456789")
    assert await store.get(uri, limit=10) == b"0123456789"
    with pytest.raises(BlobTooLarge, match="10 bytes, more than 9"):
        await store.get(uri, limit=9)


async def test_altered_object_is_corrupt(store: BlobStore, other: BlobStore, uri: str) -> None:
    reference = await store.put(uri, b"what was meant")
    await other.put(uri, b"something else")
    with pytest.raises(BlobCorrupt):
        await store.verified(reference)


async def test_content_has_one_name_and_is_written_once(store: BlobStore, other: BlobStore) -> None:
    data = uuid4().bytes * 10
    prefix = f"tests/{uuid4().hex}"
    reference = await store.put_content(prefix, data)
    assert reference.uri == store.uri(prefix, sha256(data).hexdigest())
    first = await store.stat(reference.uri)
    assert await other.put_content(prefix, data) == reference
    assert await store.stat(reference.uri) == first
    assert await store.verified(reference) == data


async def test_readers_never_see_part_of_an_object(blob_settings: BlobSettings) -> None:
    store = BlobStore.open(settings_of(blob_settings, "directory"))
    uri = store.uri("tests", uuid4().hex)
    versions = [bytes([n]) * 600_000 for n in range(4)]
    await store.put(uri, versions[0])

    async def write() -> None:
        for n in range(40):
            await store.put(uri, versions[n % 4])

    writers = [asyncio.create_task(write()) for _ in range(3)]
    while not all(writer.done() for writer in writers):
        assert await store.get(uri) in versions
    await asyncio.gather(*writers)
    await store.close()


async def test_many_at_once(store: BlobStore) -> None:
    base = uuid4().hex
    references = await asyncio.gather(
        *(store.put(store.uri("tests", base, str(n)), str(n).encode()) for n in range(40))
    )
    assert await asyncio.gather(*(store.verified(reference) for reference in references)) == [
        str(n).encode() for n in range(40)
    ]


@pytest.mark.parametrize("uri", ["", "s3://", "s3://bucket", "s3://bucket/", "gs://bucket/key", "/tmp/x"])
async def test_what_is_no_uri_of_an_object_is_refused(store: BlobStore, uri: str) -> None:
    with pytest.raises(BlobError, match="is not s3://"):
        await store.get(uri)


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/../../b", "a//b", "a/./b", "a/"])
async def test_folder_is_never_left(blob_settings: BlobSettings, key: str) -> None:
    store = BlobStore.open(settings_of(blob_settings, "directory"))
    for attempt in (store.get(store.uri(key)), store.put(store.uri(key), b"x"), store.delete(store.uri(key))):
        with pytest.raises(BlobError, match="folder cannot hold"):
            await attempt
    for bucket in (".", ".."):
        with pytest.raises(BlobError, match="folder cannot hold"):
            await store.get(f"s3://{bucket}/{key.strip('./')}")


async def test_store_that_is_away_is_an_error_with_its_reason(blob_settings: BlobSettings) -> None:
    settings = blob_settings.model_copy(update={"driver": "s3", "endpoint": "http://127.0.0.1:1"})
    store = BlobStore.open(settings)
    with pytest.raises(BlobError, match=r"GET s3://.*127\.0\.0\.1"):
        await store.get(store.uri("x"))
    await store.close()


async def test_wrong_key_is_refused(blob_settings: BlobSettings) -> None:
    settings = BlobSettings.model_validate(
        {**blob_settings.model_dump(), "driver": "s3", "secret_key": "wrong-secret-key-0123456789"}
    )
    store = BlobStore.open(settings)
    with pytest.raises(BlobError, match="403"):
        await store.put(store.uri("x"), b"x")
    await store.close()
