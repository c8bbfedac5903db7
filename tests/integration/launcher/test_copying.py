"""Data of raw containers between a real object store and files: what flytekit writes is read, and the reverse."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import http.server
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
import pytest_asyncio
import yaml
from flyteidl.core import interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flytekit import FlyteContext, FlyteContextManager
from flytekit.configuration import DataConfig, S3Config
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.core.type_engine import TypeEngine
from flytekit.models.literals import Literal, LiteralMap
from flytekit.models.types import LiteralType
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from flightlog_blobs import BlobSettings, BlobStore
from services.k8s_launcher.copying.collecting import collect
from services.k8s_launcher.copying.downloading import download
from services.k8s_launcher.copying.failures import CopyingFailed

JSON, YAML, PROTO = (tasks_pb2.DataLoadingConfig.LiteralMapFormat.Value(name) for name in ("JSON", "YAML", "PROTO"))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Shape:
    sides: int
    name: str


@pytest_asyncio.fixture(loop_scope="session", params=["s3", "directory"])
async def blobs(blob_settings: BlobSettings, request: pytest.FixtureRequest) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings.model_copy(update={"driver": request.param}))
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def s3(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings.model_copy(update={"driver": "s3"}))
    yield store
    await store.close()


@pytest.fixture
def prefix(blob_settings: BlobSettings) -> str:
    return f"s3://{blob_settings.bucket}/tests/{uuid4().hex}"


@pytest.fixture
def flytekit(blob_settings: BlobSettings, prefix: str, tmp_path: Path) -> Iterator[FlyteContext]:
    """flytekit as a task has it: its files go to the test's object store."""
    store = S3Config(
        endpoint=blob_settings.endpoint,
        access_key_id=blob_settings.access_key,
        secret_access_key=blob_settings.secret_key.get_secret_value(),
    )
    access = FileAccessProvider(str(tmp_path / "flytekit"), f"{prefix}/flytekit", data_config=DataConfig(s3=store))
    context = FlyteContextManager.current_context()
    with FlyteContextManager.with_context(context.with_file_access(access)) as given:
        yield given


def interface(**kinds: Any) -> interface_pb2.TypedInterface:
    """Outputs by name and Python type."""
    made = interface_pb2.TypedInterface()
    for name, kind in kinds.items():
        found = kind if isinstance(kind, types_pb2.LiteralType) else TypeEngine.to_literal_type(kind).to_flyte_idl()
        made.outputs.variables[name].type.CopyFrom(found)
    return made


def variables(literals: literals_pb2.LiteralMap) -> interface_pb2.VariableMap:
    return interface_pb2.VariableMap(variables={name: interface_pb2.Variable() for name in literals.literals})


async def written(
    blobs: BlobStore, prefix: str, folder: Path, literals: literals_pb2.LiteralMap, form: Any = JSON
) -> None:
    """The literals as files in the folder."""
    await blobs.put(f"{prefix}/inputs.pb", literals.SerializeToString())
    await download(blobs, inputs_uri=f"{prefix}/inputs.pb", interface=variables(literals), folder=folder, form=form)


async def collected(
    blobs: BlobStore, prefix: str, folder: Path, kinds: interface_pb2.TypedInterface
) -> literals_pb2.LiteralMap:
    await collect(blobs, folder=folder, interface=kinds, raw_prefix=f"{prefix}/raw/", output_prefix=f"{prefix}/out")
    return literals_pb2.LiteralMap.FromString(await blobs.get(f"{prefix}/out/outputs.pb"))


async def literal_map(context: FlyteContext, **values: tuple[Any, Any]) -> literals_pb2.LiteralMap:
    """What flytekit makes of values, each with its type."""

    def made() -> literals_pb2.LiteralMap:
        with FlyteContextManager.with_context(context.new_builder()) as own:
            return literals_pb2.LiteralMap(
                literals={
                    name: TypeEngine.to_literal(own, value, kind, TypeEngine.to_literal_type(kind)).to_flyte_idl()
                    for name, (kind, value) in values.items()
                }
            )

    return await asyncio.to_thread(made)


async def read_by_flytekit(context: FlyteContext, literal: literals_pb2.Literal, kind: Any) -> Any:
    def read() -> Any:
        with FlyteContextManager.with_context(context.new_builder()) as own:
            value = TypeEngine.to_python_value(own, Literal.from_flyte_idl(literal), kind)
            if isinstance(value, FlyteFile):
                return Path(value.download()).read_bytes()
            if isinstance(value, FlyteDirectory):
                root = Path(value.download())
                return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
            return value

    return await asyncio.to_thread(read)


NOON = dt.datetime(2025, 1, 31, 12, 0, 0, 500_000, tzinfo=dt.UTC)


@pytest.mark.parametrize("form", [JSON, YAML, PROTO])
async def test_simple_inputs_are_texts(
    s3: BlobStore, prefix: str, tmp_path: Path, flytekit: FlyteContext, form: Any
) -> None:
    literals = await literal_map(
        flytekit,
        number=(int, -3),
        rate=(float, 0.25),
        whole=(float, 2.0),
        text=(str, " two\nlines ü "),
        yes=(bool, True),
        moment=(dt.datetime, NOON),
        span=(dt.timedelta, dt.timedelta(hours=1, seconds=1.5)),
        colour=(Colour, Colour.BLUE),
        nothing=(int | None, None),
        maybe=(int | None, 4),
        many=(list[int], [1, 2]),
        nested=(dict[str, list[str]], {"a": ["x"], "b": []}),
        shape=(Shape, Shape(3, "triangle")),
    )
    await written(s3, prefix, tmp_path / "in", literals, form)
    names = ("number", "rate", "whole", "text", "yes", "moment", "span", "colour", "nothing", "maybe")
    assert {name: (tmp_path / "in" / name).read_text() for name in names} == {
        "number": "-3",
        "rate": "0.25",
        "whole": "2",
        "text": " two\nlines ü ",
        "yes": "true",
        "moment": "2025-01-31T12:00:00.5Z",
        "span": "1h0m1.5s",
        "colour": "blue",
        "nothing": "null",
        "maybe": "4",
    }
    assert [(tmp_path / "in" / "many" / name).read_text() for name in ("0", "1")] == ["1", "2"]
    assert (tmp_path / "in" / "nested" / "a" / "0").read_text() == "x"
    assert not list((tmp_path / "in" / "nested" / "b").iterdir())
    assert (tmp_path / "in" / "shape").read_bytes() == literals.literals["shape"].scalar.binary.value
    assert literals_pb2.LiteralMap.FromString((tmp_path / "in" / "inputs.pb").read_bytes()) == literals
    described = {
        "number": -3,
        "rate": 0.25,
        "whole": 2.0,
        "text": " two\nlines ü ",
        "yes": True,
        "colour": "blue",
        "moment": "2025-01-31T12:00:00.5Z",
        "span": 3_601_500_000_000,
        "nothing": None,
        "maybe": 4,
        "many": [1, 2],
        "nested": {"a": ["x"], "b": []},
    }
    there = {path.name for path in (tmp_path / "in").iterdir() if path.name.startswith("inputs.")}
    if form == PROTO:
        assert there == {"inputs.pb"}
        return
    if form == JSON:
        assert there == {"inputs.pb", "inputs.json"}
        found = json.loads((tmp_path / "in" / "inputs.json").read_text())
    else:
        assert there == {"inputs.pb", "inputs.yaml"}
        found = yaml.safe_load((tmp_path / "in" / "inputs.yaml").read_text())
    del found["shape"]
    assert found == described


async def test_files_and_folders_are_there_whole(
    blobs: BlobStore, prefix: str, tmp_path: Path, flytekit: FlyteContext
) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"a")
    (source / "deep" / "er" / "b.bin").write_bytes(bytes(300_000))
    literals = await literal_map(
        flytekit,
        file=(FlyteFile, FlyteFile(str(source / "a.txt"))),
        folder=(FlyteDirectory, FlyteDirectory(str(source))),
        files=(list[FlyteFile], [FlyteFile(str(source / "a.txt")), FlyteFile(str(source / "deep" / "er" / "b.bin"))]),
        frame=(pd.DataFrame, pd.DataFrame({"x": [1, 2, 3]})),
    )
    await written(blobs, prefix, tmp_path / "in", literals)
    at = tmp_path / "in"
    assert (at / "file").read_bytes() == b"a"
    assert (at / "folder" / "deep" / "er" / "b.bin").stat().st_size == 300_000
    assert (at / "folder" / "a.txt").read_bytes() == b"a"
    assert [(at / "files" / name).stat().st_size for name in "01"] == [1, 300_000]
    assert list(pd.read_parquet(at / "frame")["x"]) == [1, 2, 3]
    described = json.loads((at / "inputs.json").read_text())
    assert described == {
        "file": str(at / "file"),
        "folder": str(at / "folder"),
        "files": [str(at / "files" / "0"), str(at / "files" / "1")],
        "frame": str(at / "frame"),
    }
    local = literals_pb2.LiteralMap.FromString((at / "inputs.pb").read_bytes())
    assert local.literals["folder"].scalar.blob.uri == str(at / "folder")
    assert local.literals["folder"].scalar.blob.metadata == literals.literals["folder"].scalar.blob.metadata
    # What flytekit reads of the description is what lies there.
    assert LiteralMap.from_flyte_idl(local).literals["file"].scalar.blob.uri == str(at / "file")


async def test_offloaded_values_are_fetched(s3: BlobStore, prefix: str, tmp_path: Path) -> None:
    whole = literals_pb2.Literal()
    whole.collection.literals.add().scalar.primitive.integer = 5
    offloaded = literals_pb2.Literal()
    offloaded.offloaded_metadata.uri = f"{prefix}/large.pb"
    await s3.put(f"{prefix}/large.pb", whole.SerializeToString())
    await written(s3, prefix, tmp_path / "in", literals_pb2.LiteralMap(literals={"many": offloaded}))
    assert (tmp_path / "in" / "many" / "0").read_text() == "5"
    assert json.loads((tmp_path / "in" / "inputs.json").read_text()) == {"many": [5]}


async def test_files_of_the_web_are_fetched(s3: BlobStore, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "page").write_bytes(b"from the web")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        literals = literals_pb2.LiteralMap()
        literals.literals["page"].scalar.blob.uri = f"{address}/page"
        await written(s3, prefix, tmp_path / "in", literals)
        literals.literals["page"].scalar.blob.uri = f"{address}/other"
        with pytest.raises(CopyingFailed, match="404"):
            await written(s3, prefix, tmp_path / "in2", literals)
        server.shutdown()
    assert (tmp_path / "in" / "page").read_bytes() == b"from the web"


async def test_nothing_is_written_outside_of_the_folder(s3: BlobStore, prefix: str, tmp_path: Path) -> None:
    climbing = literals_pb2.LiteralMap()
    climbing.literals["by_key"].map.literals["../../escaped"].scalar.primitive.integer = 1
    with pytest.raises(CopyingFailed, match="cannot be the name of a file") as failed:
        await written(s3, prefix, tmp_path / "a" / "in", climbing)
    assert not failed.value.recoverable
    named = literals_pb2.LiteralMap()
    named.literals["../escaped"].scalar.primitive.integer = 1
    with pytest.raises(CopyingFailed, match="cannot be the name of a file"):
        await written(s3, prefix, tmp_path / "a" / "in", named)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["in"]


async def test_inputs_that_cannot_be_had_are_told(s3: BlobStore, prefix: str, tmp_path: Path) -> None:
    for uri, says, recoverable in (
        (f"{prefix}/missing", "does not exist", True),
        ("gs://elsewhere/file", "is not in the object store", False),
        ("/etc/passwd", "is not in the object store", False),
        ("file:///etc/passwd", "is not in the object store", False),
    ):
        literals = literals_pb2.LiteralMap()
        literals.literals["file"].scalar.blob.uri = uri
        with pytest.raises(CopyingFailed, match=says) as failed:
            await written(s3, prefix, tmp_path / "in", literals)
        assert failed.value.recoverable is recoverable


async def test_outputs_are_what_flytekit_reads(
    blobs: BlobStore, prefix: str, tmp_path: Path, flytekit: FlyteContext
) -> None:
    """Each as flytekit reads it when it runs such a task locally: files in the forms of Python's `str`."""
    out = tmp_path / "out"
    expected: dict[str, tuple[Any, Any]] = {
        "number": (int, -3),
        "rate": (float, 0.25),
        "text": (str, "two\nlines ü"),
        "yes": (bool, True),
        "no": (bool, False),
        "moment": (dt.datetime, NOON),
        "span": (dt.timedelta, dt.timedelta(days=-2, hours=3, seconds=1.5)),
    }
    out.mkdir()
    for name, (_, value) in expected.items():
        (out / name).write_text(f" {value}\n")
    (out / "colour.txt").write_text("blue\n")
    (out / "settings").write_text(json.dumps({"a": [1, {"b": None}], "long": "x" * 2000}))
    (out / "model.bin").write_bytes(bytes(range(256)))
    (out / "all" / "deep").mkdir(parents=True)
    (out / "all" / "x").write_bytes(b"x")
    (out / "all" / "deep" / "y").write_bytes(b"y")
    (out / "not_declared").write_text("left alone")
    kinds = {name: kind for name, (kind, _) in expected.items()}
    outputs = await collected(
        blobs,
        prefix,
        out,
        interface(**kinds, colour=Colour, settings=dict, model=FlyteFile["bin"], all=FlyteDirectory),
    )
    assert set(outputs.literals) == {*expected, "colour", "settings", "model", "all"}
    for name, (kind, value) in expected.items():
        assert await read_by_flytekit(flytekit, outputs.literals[name], kind) == value
    assert await read_by_flytekit(flytekit, outputs.literals["colour"], Colour) == Colour.BLUE
    settings = await read_by_flytekit(flytekit, outputs.literals["settings"], dict)
    assert settings == {"a": [1, {"b": None}], "long": "x" * 2000}
    model = outputs.literals["model"]
    assert model.scalar.blob.uri == f"{prefix}/raw/model.bin"
    declared = TypeEngine.to_literal_type(FlyteFile["bin"])
    assert LiteralType(blob=declared.blob).to_flyte_idl().blob == model.scalar.blob.metadata.type
    assert await read_by_flytekit(flytekit, model, FlyteFile["bin"]) == bytes(range(256))
    folder = await read_by_flytekit(flytekit, outputs.literals["all"], FlyteDirectory)
    assert folder == {"x": b"x", "deep/y": b"y"}


async def test_what_comes_in_goes_out_the_same(
    s3: BlobStore, prefix: str, tmp_path: Path, flytekit: FlyteContext
) -> None:
    """A program that copies each input to an output of its name."""
    kinds: dict[str, Any] = {
        "n": int,
        "f": float,
        "s": str,
        "b": bool,
        "t": dt.datetime,
        "d": dt.timedelta,
        "c": Colour,
    }
    values = (7, 1e-12, "text", False, NOON, dt.timedelta(microseconds=1), Colour.RED)
    literals = await literal_map(flytekit, **dict(zip(kinds, zip(kinds.values(), values, strict=True), strict=True)))
    await written(s3, prefix, tmp_path / "data", literals)
    assert await collected(s3, prefix, tmp_path / "data", interface(**kinds)) == literals


@pytest.mark.parametrize(
    ("kind", "name", "content", "says"),
    [
        (int, "x", "seven", "'x' is 'seven', which is no integer"),
        (int, "x", "7" * 1025, "has 1025 bytes; of integer there may be 1024"),
        (str, "x", b"\xff", "is no text"),
        (dict, "x", "[1]", "no JSON object"),
        (dict, "x", "{", "no JSON object"),
        (Colour, "x", "green", "none of red, blue"),
        (int, "y", "7", "has to be a file or folder"),
        (FlyteDirectory, "x", "7", "declared as a folder"),
    ],
)
async def test_outputs_that_are_not_what_was_declared_are_told(
    s3: BlobStore, prefix: str, tmp_path: Path, kind: Any, name: str, content: str | bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CopyingFailed, match=says) as failed:
        await collected(s3, prefix, tmp_path, interface(x=kind))
    assert (failed.value.code, failed.value.recoverable, failed.value.system) == ("OutputUploadFailed", True, False)
    assert await s3.get_or_none(f"{prefix}/out/outputs.pb") is None


async def test_two_files_of_one_output_are_told(s3: BlobStore, prefix: str, tmp_path: Path) -> None:
    for name in ("x.a", "x.b"):
        (tmp_path / name).touch()
    with pytest.raises(CopyingFailed, match=r"there are x\.a, x\.b"):
        await collected(s3, prefix, tmp_path, interface(x=FlyteFile))
    with pytest.raises(CopyingFailed, match="there is none"):
        await collected(s3, prefix, tmp_path / "nowhere", interface(x=FlyteFile))


async def test_what_a_link_points_at_is_not_given_away(s3: BlobStore, prefix: str, tmp_path: Path) -> None:
    secret, out = tmp_path / "secret", tmp_path / "out"
    out.mkdir()
    secret.mkdir()
    (secret / "keys").write_text("s3cret")
    (out / "folder").mkdir()
    for link, target, kind in (
        ("file", secret / "keys", FlyteFile),
        ("text", secret / "keys", str),
        ("all", secret, FlyteDirectory),
        ("folder/file", secret / "keys", FlyteDirectory),
        ("folder/all", secret, FlyteDirectory),
        ("nothing", out / "nowhere", FlyteFile),
        ("_ERROR", secret / "keys", str),
    ):
        (out / link).symlink_to(target)
        with pytest.raises(CopyingFailed, match="is a link to") as failed:
            await collected(s3, prefix, out, interface(**{link.partition("/")[0]: kind}))
        assert "s3cret" not in failed.value.message
        (out / link).unlink()
    assert await s3.entries(f"{prefix}/raw") == []


async def test_a_link_among_the_outputs_is_fine_and_a_pipe_is_not(s3: BlobStore, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("12")
    (tmp_path / "x").symlink_to("real")
    assert (await collected(s3, prefix, tmp_path, interface(x=int))).literals["x"].scalar.primitive.integer == 12
    os.mkfifo(tmp_path / "y")
    with pytest.raises(CopyingFailed, match="neither a file nor a folder"):
        await collected(s3, prefix, tmp_path, interface(y=FlyteFile))
