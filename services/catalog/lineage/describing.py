"""Literals told in a few words, for people who look at lineage. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Final

from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl.core.types_pb2 import BlobType

from flightlog_types.addresses import located

LONGEST: Final = 60
_ITEMS: Final = 3
_DEEPEST: Final = 3


def kind(literal: Literal | None) -> str:
    """ "literal", "file", "folder", "frame", "collection", "map", "structure", "none" or "unknown"."""
    if literal is None:
        return "unknown"
    match literal.WhichOneof("value"):
        case "collection":
            return "collection"
        case "map":
            return "map"
        case "offloaded_metadata":
            inferred = literal.offloaded_metadata.inferred_type.WhichOneof("type")
            return {"collection_type": "collection", "map_value_type": "map"}.get(inferred or "", "literal")
        case "scalar":
            return _kind(_inner(literal.scalar))
        case _:
            return "unknown"


def address(literal: Literal | None) -> str:
    """Where it lies, or the first of what is in it; "" when nothing of it lies anywhere."""
    return "" if literal is None else next((found for _, found in located(literal)), "")


def short(literal: Literal | None) -> str:
    """The value in at most `LONGEST` characters."""
    return "?" if literal is None else cut(_told(literal, 0))


def cut(text: str, longest: int = LONGEST) -> str:
    """The text in one line; of a long one, beginning and end."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    end = longest // 2 - 1
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def _kind(scalar: Scalar) -> str:
    match scalar.WhichOneof("value"):
        case "primitive" | "binary" | "error":
            return "literal" if scalar.binary.tag != "msgpack" else "structure"
        case "blob":
            return "folder" if scalar.blob.metadata.type.dimensionality == BlobType.MULTIPART else "file"
        case "schema" | "structured_dataset":
            return "frame"
        case "generic":
            return "structure"
        case "none_type":
            return "none"
        case _:
            return "unknown"


def _inner(scalar: Scalar) -> Scalar:
    while scalar.WhichOneof("value") == "union" and scalar.union.value.HasField("scalar"):
        scalar = scalar.union.value.scalar
    return scalar


def _told(literal: Literal, depth: int) -> str:
    match literal.WhichOneof("value"):
        case "collection":
            items = literal.collection.literals
            return f"[{_listed((_told(item, depth + 1) for item in items[:_ITEMS]), len(items), depth)}]"
        case "map":
            entries = literal.map.literals
            told = (f"{key}: {_told(entries[key], depth + 1)}" for key in sorted(entries)[:_ITEMS])
            return f"{{{_listed(told, len(entries), depth)}}}"
        case "offloaded_metadata":
            return literal.offloaded_metadata.uri
        case "scalar":
            return _scalar(_inner(literal.scalar), depth)
        case _:
            return "?"


def _listed(told: Iterable[str], count: int, depth: int) -> str:
    if depth >= _DEEPEST:
        return "…"
    return ", ".join([*told, *([f"… {count} in all"] if count > _ITEMS else [])])


def _scalar(scalar: Scalar, depth: int) -> str:
    match scalar.WhichOneof("value"):
        case "primitive":
            return _primitive(scalar.primitive)
        case "blob":
            return scalar.blob.uri
        case "schema":
            return scalar.schema.uri
        case "structured_dataset":
            return scalar.structured_dataset.uri
        case "none_type":
            return "None"
        case "binary":
            return f"{len(scalar.binary.value)} bytes"
        case "generic":
            return f"{{{', '.join(sorted(scalar.generic.fields))}}}"
        case "error":
            return scalar.error.message
        case "union":
            return _told(scalar.union.value, depth + 1) if depth < _DEEPEST else "…"
        case _:
            return "?"


def _primitive(primitive: Primitive) -> str:
    match primitive.WhichOneof("value"):
        case "string_value":
            return repr(primitive.string_value[: 4 * LONGEST])
        case "datetime":
            return primitive.datetime.ToDatetime(UTC).isoformat()
        case "duration":
            return f"{primitive.duration.ToJsonString()}"
        case None:
            return "?"
        case value:
            return str(getattr(primitive, value))
