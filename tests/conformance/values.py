"""Literals and Python values, times in seconds."""

from __future__ import annotations

from typing import Any

import msgpack
from flyteidl.core import literals_pb2
from google.protobuf.json_format import MessageToDict


def moment(stamp: Any) -> float:
    """A timestamp in seconds."""
    return stamp.ToNanoseconds() / 1e9


def plain_map(literals: Any) -> dict[str, Any]:
    return {name: plain(value) for name, value in literals.literals.items()}


def plain(value: Any) -> Any:
    """A literal as a Python value: blobs and data sets as their uri, errors as (message, failed node)."""
    match value.WhichOneof("value"):
        case "collection":
            return [plain(item) for item in value.collection.literals]
        case "map":
            return plain_map(value.map)
        case "scalar":
            return _plain_scalar(value.scalar)
        case other:
            return other


def _plain_scalar(scalar: Any) -> Any:
    match scalar.WhichOneof("value"):
        case "primitive":
            return _plain_primitive(scalar.primitive)
        case "none_type":
            return None
        case "union":
            return plain(scalar.union.value)
        case "binary":
            return msgpack.unpackb(scalar.binary.value)
        case "generic":
            return MessageToDict(scalar.generic)
        case "error":
            return scalar.error.message, scalar.error.failed_node_id
        case kind:
            return getattr(scalar, kind).uri


def _plain_primitive(primitive: Any) -> Any:
    kind = primitive.WhichOneof("value")
    value = getattr(primitive, kind)
    if kind == "datetime":
        return moment(value)
    return value.ToNanoseconds() / 1e9 if kind == "duration" else value


def literal(value: Any) -> literals_pb2.Literal:
    """A primitive as a literal."""
    kinds = {bool: "boolean", int: "integer", float: "float_value", str: "string_value"}
    primitive = literals_pb2.Primitive(**{kinds[type(value)]: value})
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=primitive))
