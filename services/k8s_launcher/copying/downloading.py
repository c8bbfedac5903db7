"""Inputs as files (k8s-contract §1.13).

In a folder, one file for each input by its name: the text of a simple value, the content of a file; a folder for a
folder, a list (files `0`, `1`, …) and a map (files by key). All of them together are in `inputs.pb`, where files are
named by their local paths, and in `inputs.json` or `inputs.yaml` as the task wants it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from flyteidl.core import interface_pb2, literals_pb2, tasks_pb2, types_pb2
from google.protobuf import struct_pb2
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobMissing, BlobStore, BlobTooLarge
from services.k8s_launcher.copying.at_once import all_of
from services.k8s_launcher.copying.failures import INPUTS, CopyingFailed
from services.k8s_launcher.copying.interfaces import DESCRIPTIONS, is_file_name
from services.k8s_launcher.copying.texts import moment_text, nanoseconds, primitive_text
from services.k8s_launcher.copying.web import fetch_from_web

Format = tasks_pb2.DataLoadingConfig.LiteralMapFormat

_AT_ONCE: Final = 8
_LARGEST_LITERAL: Final = 256 << 20
_DEEPEST: Final = 64
_EXACT: Final = 1 << 53


async def download(
    blobs: BlobStore,
    *,
    inputs_uri: str,
    interface: interface_pb2.VariableMap,
    folder: Path,
    form: tasks_pb2.DataLoadingConfig.LiteralMapFormat,
) -> None:
    """Put an attempt's inputs into a folder.

    Args:
        inputs_uri: of the literals; nothing there means none.
        interface: the task's inputs; others are left out.
        form: of the description of all inputs, beside `inputs.pb`.

    Raises `CopyingFailed`; `BlobError` and `OSError` for what may pass.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    literals = await _literals(blobs, inputs_uri)
    copying = _Download(blobs)
    names = sorted(set(literals.literals) & set(interface.variables))
    for name in names:
        if name in DESCRIPTIONS:
            raise _unfit(f"the input {name!r} has the name of a description of all inputs")
    found = await copying.together([(literals.literals[name], folder, name) for name in names])
    local = literals_pb2.LiteralMap(literals={name: literal for name, (_, literal) in zip(names, found, strict=True)})
    plain = {name: value for name, (value, _) in zip(names, found, strict=True)}
    description = {"inputs.pb": local.SerializeToString(deterministic=True)}
    if form == tasks_pb2.DataLoadingConfig.JSON:
        description["inputs.json"] = json.dumps(plain, ensure_ascii=False).encode()
    elif form == tasks_pb2.DataLoadingConfig.YAML:
        description["inputs.yaml"] = yaml.safe_dump(plain, allow_unicode=True).encode()
    for name, content in description.items():
        await asyncio.to_thread((folder / name).write_bytes, content)


class _Download:
    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def together(
        self, things: Sequence[tuple[literals_pb2.Literal, Path, str]], depth: int = 0
    ) -> list[tuple[Any, literals_pb2.Literal]]:
        """Each literal as a file or folder; its plain value, and itself with local paths."""
        for _, _, name in things:
            if not is_file_name(name):
                raise _unfit(f"{name!r} cannot be the name of a file")
        return await all_of([self._place(literal, at / name, depth) for literal, at, name in things])

    async def _place(self, literal: literals_pb2.Literal, path: Path, depth: int) -> tuple[Any, literals_pb2.Literal]:
        if depth > _DEEPEST:
            raise _unfit(f"an input has more than {_DEEPEST} values within one another")
        match literal.WhichOneof("value"):
            case "offloaded_metadata":
                whole = await self._offloaded(literal.offloaded_metadata.uri)
                return await self._place(whole, path, depth + 1)
            case "collection":
                await asyncio.to_thread(path.mkdir, exist_ok=True)
                items = literal.collection.literals
                placed = await self.together([(item, path, str(at)) for at, item in enumerate(items)], depth + 1)
                local = literals_pb2.LiteralCollection(literals=[item for _, item in placed])
                return [value for value, _ in placed], literals_pb2.Literal(collection=local)
            case "map":
                await asyncio.to_thread(path.mkdir, exist_ok=True)
                keys = sorted(literal.map.literals)
                placed = await self.together([(literal.map.literals[key], path, key) for key in keys], depth + 1)
                pairs = dict(zip(keys, placed, strict=True))
                mapped = literals_pb2.LiteralMap(literals={key: item for key, (_, item) in pairs.items()})
                return {key: value for key, (value, _) in pairs.items()}, literals_pb2.Literal(map=mapped)
            case "scalar":
                value, scalar = await self._scalar(literal.scalar, path, depth)
                return value, literals_pb2.Literal(scalar=scalar)
            case _:
                await asyncio.to_thread(path.write_bytes, b"null")
                return None, literal

    async def _scalar(self, scalar: literals_pb2.Scalar, path: Path, depth: int) -> tuple[Any, literals_pb2.Scalar]:
        local = literals_pb2.Scalar()
        local.CopyFrom(scalar)
        match scalar.WhichOneof("value"):
            case "blob":
                folder = scalar.blob.metadata.type.dimensionality == types_pb2.BlobType.MULTIPART
                await (self._folder if folder else self._file)(scalar.blob.uri, path)
                local.blob.uri = str(path)
                return str(path), local
            case "schema":
                await self._folder(scalar.schema.uri, path)
                local.schema.uri = str(path)
                return str(path), local
            case "structured_dataset":
                await self._folder(scalar.structured_dataset.uri, path)
                local.structured_dataset.uri = str(path)
                return str(path), local
            case "union":
                value, inner = await self._place(scalar.union.value, path, depth + 1)
                local.union.value.CopyFrom(inner)
                return value, local
            case "primitive":
                content, value = primitive_text(scalar.primitive).encode(), _plain_primitive(scalar.primitive)
            case "binary":
                content, value = scalar.binary.value, base64.b64encode(scalar.binary.value).decode()
            case "error":
                content, value = scalar.error.message.encode(), scalar.error.message
            case "generic":
                value = _plain_struct(scalar.generic)
                content = json.dumps(value, ensure_ascii=False).encode()
            case _:
                content, value = b"null", None
        await asyncio.to_thread(path.write_bytes, content)
        return value, local

    async def _file(self, uri: str, path: Path) -> None:
        async with self._turns:
            try:
                if uri.startswith(("https://", "http://")):
                    await fetch_from_web(uri, path)
                else:
                    await self._blobs.fetch(_checked(uri), path)
            except BlobMissing as error:
                raise CopyingFailed(INPUTS, str(error)) from None

    async def _folder(self, uri: str, path: Path) -> None:
        """All objects below a folder; of one object that is called a folder, itself."""
        entries = await self._blobs.entries(_checked(uri))
        if not entries and not uri.endswith("/") and await self._blobs.stat(uri) is not None:
            await self._file(uri, path)
            return
        await asyncio.to_thread(path.mkdir, exist_ok=True)
        # What ends with a slash stands for an empty folder in consoles of object stores.
        names = [entry.name for entry in entries if entry.name and not entry.name.endswith("/")]
        for name in names:
            if not all(is_file_name(part) for part in name.split("/")):
                raise _unfit(f"the object {name!r} of {uri} cannot be a file")
            await asyncio.to_thread(path.joinpath(name).parent.mkdir, parents=True, exist_ok=True)
        await all_of([self._file(f"{uri.rstrip('/')}/{name}", path / name) for name in names])

    async def _offloaded(self, uri: str) -> literals_pb2.Literal:
        try:
            return literals_pb2.Literal.FromString(await self._blobs.get(uri, limit=_LARGEST_LITERAL))
        except (BlobMissing, BlobTooLarge, DecodeError) as error:
            raise CopyingFailed(INPUTS, f"the input at {uri} cannot be read: {error}") from None


async def _literals(blobs: BlobStore, uri: str) -> literals_pb2.LiteralMap:
    try:
        content = await blobs.get_or_none(uri, limit=_LARGEST_LITERAL)
        return literals_pb2.LiteralMap.FromString(content or b"")
    except (BlobTooLarge, DecodeError) as error:
        raise CopyingFailed(INPUTS, f"the inputs at {uri} cannot be read: {error}", system=True) from None


def _checked(uri: str) -> str:
    if not uri.startswith(("s3://", "s3a://")):
        raise _unfit(f"{uri!r} is not in the object store: raw containers get files of s3://, https:// and http://")
    return uri


def _unfit(message: str) -> CopyingFailed:
    return CopyingFailed(INPUTS, message, recoverable=False)


def _plain_primitive(primitive: literals_pb2.Primitive) -> Any:
    match primitive.WhichOneof("value"):
        case "float_value":
            value = primitive.float_value
            # JSON has no such numbers; these are the words of protobuf's JSON.
            return value if math.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")
        case "datetime":
            return moment_text(primitive.datetime)
        case "duration":
            return nanoseconds(primitive.duration)
        case None:
            return None
        case name:
            return getattr(primitive, name)


def _plain_struct(struct: struct_pb2.Struct) -> Mapping[str, Any]:
    return {name: _plain_value(value) for name, value in struct.fields.items()}


def _plain_value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _plain_struct(value.struct_value)
        case "list_value":
            return [_plain_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            if not math.isfinite(number):
                return str(number)
            return int(number) if number.is_integer() and abs(number) < _EXACT else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None
