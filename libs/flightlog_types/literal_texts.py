"""Literals as short texts for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import msgpack
from flyteidl.core.literals_pb2 import Binary, Literal, Primitive, Scalar
from google.protobuf.json_format import MessageToDict

from flightlog_types.literals import MSGPACK

LONGEST: Final = 80
"""Characters of a value that are shown."""


def text(literal: Literal) -> str:
    """A value on one line, as JSON where it has such a form; at most `LONGEST` characters."""
    return shortened(_text(literal))


def shortened(whole: str, limit: int = LONGEST) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(whole.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _text(literal: Literal) -> str:
    if literal.hash:
        # Its author said what counts of it.
        return f"{_value(literal)} (hash {literal.hash})".lstrip()
    return _value(literal)


def _value(literal: Literal) -> str:
    match literal.WhichOneof("value"):
        case "scalar":
            return _scalar(literal.scalar)
        case "collection":
            return _list(_text(item) for item in literal.collection.literals)
        case "map":
            items = literal.map.literals
            return _braced(f"{json.dumps(name, ensure_ascii=False)}: {_text(items[name])}" for name in sorted(items))
        case "offloaded_metadata":
            return literal.offloaded_metadata.uri
        case _:
            return ""


def _scalar(scalar: Scalar) -> str:
    match scalar.WhichOneof("value"):
        case "primitive":
            return _primitive(scalar.primitive)
        case "blob":
            return scalar.blob.uri
        case "schema":
            return scalar.schema.uri
        case "structured_dataset":
            return scalar.structured_dataset.uri
        case "union":
            return _text(scalar.union.value)
        case "generic":
            return _json(MessageToDict(scalar.generic))
        case "binary":
            return _binary(scalar.binary)
        case "error":
            return scalar.error.message
        case _:
            return "null"


def _primitive(primitive: Primitive) -> str:
    match primitive.WhichOneof("value"):
        case "datetime":
            return primitive.datetime.ToJsonString()
        case "duration":
            return primitive.duration.ToJsonString()
        case None:
            return "null"
        case kind:
            return _json(getattr(primitive, kind))


def _binary(binary: Binary) -> str:
    if binary.tag == MSGPACK:
        try:
            return _json(msgpack.unpackb(binary.value, strict_map_key=False))
        except (ValueError, msgpack.UnpackException):
            pass
    return f"{len(binary.value)} bytes"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _list(items: Iterator[str]) -> str:
    return f"[{', '.join(_until_long(items))}]"


def _braced(items: Iterator[str]) -> str:
    return f"{{{', '.join(_until_long(items))}}}"


def _until_long(items: Iterator[str]) -> Iterator[str]:
    """No more of a long list than is shown."""
    length = 0
    for item in items:
        yield item
        length += len(item)
        if length > LONGEST:
            return
