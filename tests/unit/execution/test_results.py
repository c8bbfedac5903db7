"""Which error of an attempt counts that several workers ran (k8s-contract §5.5)."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from flyteidl.core.errors_pb2 import ErrorDocument

from flightlog_blobs import BlobSettings, BlobStore
from services.execution.engine import AttemptResult
from services.execution.lookup import Lookup
from services.execution.results import load_result

PREFIX = "s3://b/out/0"


def _store(path: Path) -> BlobStore:
    access = {"endpoint": "http://nowhere:1", "access_key": "a", "secret_key": "s"}
    return BlobStore.open(
        BlobSettings.model_validate({"driver": "directory", "directory": path, "bucket": "b", **access})
    )


def _document(message: str, at: int | None = None) -> bytes:
    document = ErrorDocument()
    document.error.message = message
    if at is not None:
        document.error.timestamp.FromSeconds(at)
    return document.SerializeToString()


async def _result(path: Path, files: dict[str, bytes], plugin: str, limit: int = 1000) -> AttemptResult:
    blobs = _store(path)
    for name, data in files.items():
        await blobs.put(f"{PREFIX}/{name}", data)
    # Only futures, of which there are none, ask it.
    return await load_result(blobs, cast("Lookup", None), PREFIX, limit=limit, futures_limit=limit, plugin=plugin)


async def test_earliest_error_of_the_workers_counts(tmp_path: Path) -> None:
    files = {
        "error-a.pb": _document("second", 20),
        "error-b.pb": _document("first", 10),
        "error.pb": _document("third", 30),
        "error-c.pb": _document("sometime"),
        "deep/error-d.pb": _document("elsewhere", 1),
        "myerror-e.pb": _document("something else", 1),
    }
    result = await _result(tmp_path, files, "pytorch")
    assert result.error is not None
    assert result.error.error.message == "first"
    assert not result.error_unreadable


async def test_error_without_a_time_counts_when_there_is_no_other(tmp_path: Path) -> None:
    result = await _result(tmp_path, {"error-a.pb": _document("sometime"), "error-b.pb": b"\xff"}, "pytorch")
    assert result.error is not None
    assert result.error.error.message == "sometime"


async def test_damaged_errors_of_workers(tmp_path: Path) -> None:
    result = await _result(tmp_path, {"error-a.pb": b"\xff", "error-b.pb": _document("x" * 99)}, "pytorch", limit=50)
    assert result.error is None
    assert result.error_unreadable


async def test_no_errors_of_workers(tmp_path: Path) -> None:
    result = await _result(tmp_path, {"outputs.pb": b""}, "pytorch")
    assert (result.error, result.error_unreadable) == (None, False)
    assert result.outputs is not None


async def test_other_tasks_have_one_error(tmp_path: Path) -> None:
    files = {"error-a.pb": _document("not mine", 10), "error.pb": _document("mine", 30)}
    result = await _result(tmp_path, files, "container")
    assert result.error is not None
    assert result.error.error.message == "mine"
