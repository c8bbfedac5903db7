"""Attribute paths of promises: `node.output["key"][0].field` followed into a literal.

Rules: engine-semantics §7.4. Collections and maps of literals are walked as literals; from a MessagePack or Struct
scalar on, the decoded value is walked and its leaf is turned back into a literal.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgpack
from flyteidl.core.literals_pb2 import Binary, Literal, LiteralCollection, Primitive, Scalar, Void
from flyteidl.core.types_pb2 import PromiseAttribute
from google.protobuf import struct_pb2

MSGPACK: Final = "msgpack"
_INT64: Final = range(-(2**63), 2**63)


class AttributeMissing(Exception):
    """The path leads nowhere in this value."""


def follow(literal: Literal, path: Sequence[PromiseAttribute], whole: Callable[[Literal], Literal]) -> Literal:
    """The literal at the end of an attribute path.

    Args:
        whole: gives the literal itself where an offloaded one stands for it, and raises what it likes.

    Raises:
        AttributeMissing: a key is missing, an index is out of range, or the value has no such kind of child.
    """
    for position, attribute in enumerate(path):
        literal = whole(literal)
        match literal.WhichOneof("value"):
            case "map":
                key = _key(attribute, "a map")
                if key not in literal.map.literals:
                    raise AttributeMissing(f"key [{key}] does not exist in the map")
                literal = literal.map.literals[key]
            case "collection":
                items = literal.collection.literals
                literal = items[_index(attribute, len(items))]
            case "scalar":
                return _follow_scalar(literal.scalar, path[position:])
            case _:
                raise AttributeMissing("the value is empty")
    return literal


def _follow_scalar(scalar: Scalar, path: Sequence[PromiseAttribute]) -> Literal:
    match scalar.WhichOneof("value"):
        case "binary" if scalar.binary.tag == MSGPACK:
            return _from_msgpack(_walk(_decoded(scalar.binary.value), path))
        case "generic":
            return _from_struct(_walk(_plain(scalar.generic), path))
        case kind:
            raise AttributeMissing(f"a value of kind [{kind}] has no attributes")


def _walk(value: object, path: Sequence[PromiseAttribute]) -> object:
    for attribute in path:
        if isinstance(value, dict):
            key = _key(attribute, "a map")
            if key not in value:
                raise AttributeMissing(f"key [{key}] does not exist in the map")
            value = value[key]
        elif isinstance(value, list):
            value = value[_index(attribute, len(value))]
        else:
            raise AttributeMissing(f"a value of type [{type(value).__name__}] has no attributes")
    return value


def _key(attribute: PromiseAttribute, of: str) -> str:
    if attribute.WhichOneof("value") != "string_value":
        raise AttributeMissing(
            f"{of} is indexed with the number [{attribute.int_value}]; only text keys can be followed"
        )
    return attribute.string_value


def _index(attribute: PromiseAttribute, length: int) -> int:
    if attribute.WhichOneof("value") != "int_value":
        raise AttributeMissing(f"a collection is indexed with the key [{attribute.string_value}]")
    if not 0 <= attribute.int_value < length:
        raise AttributeMissing(f"index [{attribute.int_value}] is out of range of a collection of length [{length}]")
    return attribute.int_value


def _decoded(packed: bytes) -> object:
    try:
        return msgpack.unpackb(packed, strict_map_key=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise AttributeMissing(f"the value is no valid MessagePack: {error}") from error


def _from_msgpack(value: object) -> Literal:
    if isinstance(value, list):
        elements = [Literal(scalar=Scalar(binary=_packed(element))) for element in value]
        return Literal(collection=LiteralCollection(literals=elements))
    if isinstance(value, dict):
        return Literal(scalar=Scalar(binary=_packed(value)))
    return _leaf(value)


def _packed(value: object) -> Binary:
    return Binary(value=msgpack.packb(value), tag=MSGPACK)


def _plain(value: struct_pb2.Struct) -> dict[str, object]:
    return {key: _plain_value(item) for key, item in value.fields.items()}


def _plain_value(value: struct_pb2.Value) -> object:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _plain(value.struct_value)
        case "list_value":
            return [_plain_value(item) for item in value.list_value.values]
        case "number_value":
            return value.number_value
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _from_struct(value: object) -> Literal:
    if isinstance(value, list):
        return Literal(collection=LiteralCollection(literals=[_from_struct(element) for element in value]))
    if isinstance(value, dict):
        generic = struct_pb2.Struct()
        generic.update(value)
        return Literal(scalar=Scalar(generic=generic))
    return _leaf(value)


def _leaf(value: object) -> Literal:
    if value is None:
        return Literal(scalar=Scalar(none_type=Void()))
    if isinstance(value, bool):
        return Literal(scalar=Scalar(primitive=Primitive(boolean=value)))
    if isinstance(value, int):
        if value not in _INT64:
            raise AttributeMissing(f"the number [{value}] does not fit into 64 bits with a sign")
        return Literal(scalar=Scalar(primitive=Primitive(integer=value)))
    if isinstance(value, float):
        return Literal(scalar=Scalar(primitive=Primitive(float_value=value)))
    if isinstance(value, str):
        return Literal(scalar=Scalar(primitive=Primitive(string_value=value)))
    raise AttributeMissing(f"a value of type [{type(value).__name__}] cannot become a literal")
