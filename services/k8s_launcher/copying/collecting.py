"""Outputs from files (k8s-contract §1.13).

For each declared output there is a file or folder of its name, a file also with any extension. Simple values are read
from their text, files and folders go to the object store below the attempt's raw outputs. A file `_ERROR` is the
program's way to say that it failed, and why.

Only what lies in the folder itself is read: a link that a program has left there could point at what is ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flyteidl.core import interface_pb2, literals_pb2, types_pb2
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.struct_pb2 import Struct

from flightlog_blobs import BlobStore
from services.k8s_launcher.copying.at_once import all_of
from services.k8s_launcher.copying.failures import OUTPUTS, USER_ERROR, CopyingFailed
from services.k8s_launcher.copying.interfaces import ERROR_FILE, is_file_name, types_of
from services.k8s_launcher.copying.texts import primitive_of

_AT_ONCE: Final = 8
_LARGEST_PRIMITIVE: Final = 1024
_LARGEST_STRUCTURE: Final = 1 << 20
_LARGEST_ERROR: Final = 64 << 10
_BLANKS: Final = " \t\r\n"
_STRUCTURES: Final = (types_pb2.STRUCT, types_pb2.BINARY, types_pb2.ERROR)


async def collect(
    blobs: BlobStore,
    *,
    folder: Path,
    interface: interface_pb2.TypedInterface,
    raw_prefix: str,
    output_prefix: str,
) -> None:
    """Write `outputs.pb` from what a raw container has left in a folder.

    Raises `CopyingFailed`; `BlobError` and `OSError` for what may pass.
    """
    error = await asyncio.to_thread(_error, folder)
    if error is not None:
        raise CopyingFailed(USER_ERROR, error, recoverable=False)
    turns = asyncio.Semaphore(_AT_ONCE)
    kinds = types_of(interface.outputs)
    literals = await all_of([_literal(blobs, turns, folder, name, kinds[name], raw_prefix) for name in kinds])
    outputs = literals_pb2.LiteralMap(literals=dict(zip(kinds, literals, strict=True)))
    await blobs.put(f"{output_prefix.rstrip('/')}/outputs.pb", outputs.SerializeToString(deterministic=True))


async def _literal(
    blobs: BlobStore, turns: asyncio.Semaphore, folder: Path, name: str, kind: types_pb2.LiteralType, raw_prefix: str
) -> literals_pb2.Literal:
    path, info = await asyncio.to_thread(_found, folder, name)
    match kind.WhichOneof("type"):
        case "simple":
            return _simple(name, kind.simple, await _content(path, info, name, kind.simple))
        case "enum_type":
            value = _text(name, await _content(path, info, name, types_pb2.STRING))
            if value not in kind.enum_type.values:
                raise _unfit(f"the output {name!r} is {value!r}, which is none of {', '.join(kind.enum_type.values)}")
            return _primitive(literals_pb2.Primitive(string_value=value))
        case "blob":
            uri = f"{raw_prefix.rstrip('/')}/{path.name}"
            is_folder = kind.blob.dimensionality == types_pb2.BlobType.MULTIPART
            if is_folder != stat.S_ISDIR(info.st_mode):
                declared, is_there = ("folder", "file") if is_folder else ("file", "folder")
                raise _unfit(f"the output {name!r} is declared as a {declared}, but there is a {is_there}")
            files = await asyncio.to_thread(lambda: list(_files(path))) if is_folder else [path]
            await all_of([_send(blobs, turns, _below(uri, path, file), file) for file in files])
            literal = literals_pb2.Literal()
            literal.scalar.blob.uri = uri
            literal.scalar.blob.metadata.type.CopyFrom(kind.blob)
            return literal
        case other:
            raise CopyingFailed(
                OUTPUTS, f"the output {name!r} is a {other}, which cannot be read from a file", recoverable=False
            )


async def _send(blobs: BlobStore, turns: asyncio.Semaphore, uri: str, path: Path) -> None:
    async with turns:
        await blobs.send(uri, path)


def _below(uri: str, path: Path, file: Path) -> str:
    return uri if file == path else f"{uri}/{file.relative_to(path).as_posix()}"


def _found(folder: Path, name: str) -> tuple[Path, os.stat_result]:
    """The file or folder of an output, whatever its extension. Raises `CopyingFailed`."""
    if not is_file_name(name):
        raise CopyingFailed(OUTPUTS, f"the output {name!r} cannot be the name of a file", recoverable=False)
    path = folder / name
    if not os.path.lexists(path):
        others = [entry for entry in folder.iterdir() if entry.name.startswith(f"{name}.")] if folder.is_dir() else []
        if len(others) != 1:
            which = f"there are {', '.join(sorted(entry.name for entry in others))}" if others else "there is none"
            raise _unfit(f"the output {name!r} has to be a file or folder {path}, with any extension: {which}")
        path = others[0]
    return path, _looked_at(folder, path)


def _looked_at(folder: Path, path: Path) -> os.stat_result:
    """What a path in the folder is: a file or a folder, and in it. Raises `CopyingFailed`."""
    resolved, root = path.resolve(), folder.resolve()
    if resolved != root / path.relative_to(folder) and not resolved.is_relative_to(root):
        raise _unfit(f"{path} is a link to {resolved}, which is not among the outputs")
    try:
        info = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise _unfit(f"{path} is a link to nothing") from None
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
        raise _unfit(f"{path} is neither a file nor a folder")
    return info


def _files(folder: Path) -> Iterator[Path]:
    """All files of a folder and the folders in it."""
    for root, folders, names in os.walk(folder):
        for name in sorted(folders):
            if (Path(root) / name).is_symlink():
                raise _unfit(f"{Path(root) / name} is a link to a folder")
        for name in sorted(names):
            path = Path(root) / name
            if not stat.S_ISREG(_looked_at(folder, path).st_mode):
                raise _unfit(f"{path} is a link to a folder")
            yield path


async def _content(path: Path, info: os.stat_result, name: str, simple: types_pb2.SimpleType) -> bytes:
    kind = types_pb2.SimpleType.Name(simple).lower()
    if not stat.S_ISREG(info.st_mode):
        raise _unfit(f"the output {name!r} is declared as {kind}, but there is a folder")
    limit = _LARGEST_STRUCTURE if simple in _STRUCTURES else _LARGEST_PRIMITIVE
    if info.st_size > limit:
        raise _unfit(f"the output {name!r} has {info.st_size} bytes; of {kind} there may be {limit}")
    return await asyncio.to_thread(path.read_bytes)


def _simple(name: str, simple: types_pb2.SimpleType, content: bytes) -> literals_pb2.Literal:
    literal = literals_pb2.Literal()
    if simple == types_pb2.BINARY:
        # As it is: what it holds, nobody knows.
        literal.scalar.binary.value = content
        return literal
    text = _text(name, content)
    match simple:
        case types_pb2.STRUCT:
            literal.scalar.generic.CopyFrom(_struct(name, text))
        case types_pb2.ERROR:
            literal.scalar.error.message = text
        case types_pb2.NONE:
            literal.scalar.none_type.SetInParent()
        case _:
            try:
                return _primitive(primitive_of(simple, text))
            except ValueError as error:
                raise _unfit(f"the output {name!r} is {text[:80]!r}, which {error}") from None
    return literal


def _struct(name: str, text: str) -> Struct:
    try:
        return ParseDict(json.loads(text), Struct())
    except (ValueError, ParseError, AttributeError, TypeError, RecursionError) as error:
        raise _unfit(f"the output {name!r} is no JSON object: {error}") from None


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode().strip(_BLANKS)
    except UnicodeDecodeError as error:
        raise _unfit(f"the output {name!r} is no text: {error}") from None


def _primitive(primitive: literals_pb2.Primitive) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=primitive))


def _error(folder: Path) -> str | None:
    path = folder / ERROR_FILE
    if not os.path.lexists(path):
        return None
    if not stat.S_ISREG(_looked_at(folder, path).st_mode):
        raise _unfit(f"{path} is a folder; it is to be a file that says what failed")
    with path.open("rb") as file:
        content = file.read(_LARGEST_ERROR + 1)
    text = content[:_LARGEST_ERROR].decode(errors="replace").strip(_BLANKS)
    return text + " …" if len(content) > _LARGEST_ERROR else text


def _unfit(message: str) -> CopyingFailed:
    """What the program left is not what it declares. Another attempt may do better."""
    return CopyingFailed(OUTPUTS, message)
