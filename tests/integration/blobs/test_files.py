"""Whole files to and from the object store, and what lies below a folder: both drivers, one S3 server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from flightlog_blobs import BlobEntry, BlobMissing, BlobSettings, BlobStore, BlobTooLarge, s3_files


@pytest_asyncio.fixture(loop_scope="session", params=["directory", "s3"])
async def store(blob_settings: BlobSettings, request: pytest.FixtureRequest) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings.model_copy(update={"driver": request.param}))
    yield store
    await store.close()


@pytest.fixture
def folder(store: BlobStore) -> str:
    return store.uri("tests", uuid4().hex, "a b+c=d&e%2F(f)~ä")


@pytest.mark.parametrize("size", [0, 1, 3_000_001])
async def test_a_file_comes_back(store: BlobStore, folder: str, tmp_path: Path, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "source").write_bytes(content)
    assert await store.send(f"{folder}/file", tmp_path / "source") == size
    assert await store.get(f"{folder}/file") == content
    assert await store.fetch(f"{folder}/file", tmp_path / "target") == size
    assert (tmp_path / "target").read_bytes() == content


async def test_a_large_file_goes_up_in_parts(
    store: BlobStore, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S3 takes no parts below 5 MiB but for the last one.
    monkeypatch.setattr(s3_files, "_PART_BYTES", 5 << 20)
    content = bytes(i % 253 for i in range((11 << 20) + 7))
    (tmp_path / "source").write_bytes(content)
    assert await store.send(f"{folder}/large", tmp_path / "source") == len(content)
    assert await store.get(f"{folder}/large") == content


async def test_what_is_too_large_or_missing_is_told(store: BlobStore, folder: str, tmp_path: Path) -> None:
    await store.put(f"{folder}/object", b"12345")
    assert await store.fetch(f"{folder}/object", tmp_path / "a", limit=5) == 5
    with pytest.raises(BlobTooLarge):
        await store.fetch(f"{folder}/object", tmp_path / "b", limit=4)
    with pytest.raises(BlobMissing):
        await store.fetch(f"{folder}/other", tmp_path / "c")
    with pytest.raises(BlobMissing):
        await store.fetch(f"{folder}/object/below", tmp_path / "d")
    with pytest.raises(FileNotFoundError):
        await store.fetch(f"{folder}/object", tmp_path / "no" / "such" / "folder")


async def test_a_folder_has_all_its_objects_in_order(
    store: BlobStore, folder: str, blob_settings: BlobSettings
) -> None:
    # More than S3 lists at once. Written as files, which takes no time.
    names = [*(f"{number:04}" for number in range(1100)), "b/c & d", "b/ü", "z"]
    await BlobStore.open(blob_settings).put_many([(f"{folder}/{name}", name.encode()) for name in names])
    await store.put(f"{folder}-beside", b"")
    expected = sorted((BlobEntry(name, len(name.encode())) for name in names), key=lambda entry: entry.name.encode())
    assert await store.entries(folder) == expected
    assert await store.entries(f"{folder}/") == expected
    assert await store.entries(f"{folder}/b") == [entry_below(entry) for entry in expected if "/" in entry.name]
    assert await store.entries(f"{folder}/nothing") == []


def entry_below(entry: BlobEntry) -> BlobEntry:
    return BlobEntry(entry.name.partition("/")[2], entry.size)
