"""Literals kept at hand, and offloaded ones as users name them."""

from __future__ import annotations

from pathlib import Path

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap

from flightlog_blobs import BlobSettings, BlobStore
from services.execution.literals import LiteralCache, load_offloaded


def text(value: str) -> Literal:
    literal = Literal()
    literal.scalar.primitive.string_value = value
    return literal


def test_what_was_used_last_stays() -> None:
    cache = LiteralCache[Literal](limit=350)
    for name in ("a", "b", "c"):
        cache.keep(name, text(name * 100))
    assert cache["a"] == text("a" * 100)
    cache.keep("d", text("d" * 100))
    assert sorted(cache) == ["a", "c", "d"]


def test_value_larger_than_the_cache_drives_nothing_out() -> None:
    cache = LiteralCache[LiteralMap](limit=100)
    cache.keep("small", LiteralMap(literals={"x": text("x")}))
    cache.keep("large", LiteralMap(literals={"x": text("x" * 100)}))
    assert list(cache) == ["small"]


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    settings = {
        "driver": "directory", "bucket": "ours", "endpoint": "http://localhost", "access_key": "k", "secret_key": "s",
        "directory": tmp_path,
    }  # fmt: skip
    return BlobStore.open(BlobSettings.model_validate(settings))


async def test_offloaded_literal_is_read(blobs: BlobStore) -> None:
    await blobs.put("s3://ours/n0/o0.pb", text("large").SerializeToString())
    assert await load_offloaded(blobs, "s3://ours/n0/o0.pb", 1000) == text("large")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://ours/missing.pb", "it does not exist"),
        ("s3://ours/none.pb", "it holds no literal"),
        ("s3://ours/large.pb", "more than 1000"),
        ("s3://theirs/o0.pb", "it names no object of this store"),
        ("s3://ours/../theirs/o0.pb", "it names no object of this store"),
        ("s3://ours/a//b", "it names no object of this store"),
        ("s3://ours/", "it names no object of this store"),
        ("gs://ours/o0.pb", "it names no object of this store"),
        ("/etc/passwd", "it names no object of this store"),
        ("", "it names no object of this store"),
    ],
)
async def test_what_can_never_be_read_says_why(blobs: BlobStore, uri: str, reason: str) -> None:
    await blobs.put("s3://ours/none.pb", b"\xff\xff\xff")
    await blobs.put("s3://ours/large.pb", text("x" * 2000).SerializeToString())
    await blobs.put("s3://theirs/o0.pb", text("secret").SerializeToString())
    assert reason in str(await load_offloaded(blobs, uri, 1000))
