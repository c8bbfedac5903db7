"""Which type a literal has, as far as the value itself tells.

Rules: admin-contract §3.4 (literal to type), engine-semantics §7.2.
"""

from collections.abc import Iterable

from flyteidl.core import literals_pb2, types_pb2

from flightlog_types.digests import digest
from flightlog_types.prototext import prototext

MSGPACK = "msgpack"
"""Tag of a Binary scalar that holds a MessagePack-encoded structure (dataclass, dict)."""

_PRIMITIVES = {
    "integer": types_pb2.INTEGER,
    "float_value": types_pb2.FLOAT,
    "string_value": types_pb2.STRING,
    "boolean": types_pb2.BOOLEAN,
    "datetime": types_pb2.DATETIME,
    "duration": types_pb2.DURATION,
}


def literal_type_of(literal: literals_pb2.Literal) -> types_pb2.LiteralType:
    """The type of a literal.

    A collection or map of several types is one of their union; an empty one has elements of type NONE. An offloaded
    literal has the type recorded with it. A value of a kind this release does not know has an empty LiteralType, which
    is castable to nothing a client can declare.
    """
    match literal.WhichOneof("value"):
        case "scalar":
            return scalar_type(literal.scalar)
        case "collection":
            return types_pb2.LiteralType(collection_type=_element_type(literal.collection.literals))
        case "map":
            return types_pb2.LiteralType(map_value_type=_element_type(literal.map.literals.values()))
        case "offloaded_metadata":
            return literal.offloaded_metadata.inferred_type
        case _:
            return types_pb2.LiteralType()


def scalar_type(scalar: literals_pb2.Scalar) -> types_pb2.LiteralType:
    """The type of a scalar; empty when nothing is set in it."""
    match scalar.WhichOneof("value"):
        case "primitive":
            return primitive_type(scalar.primitive)
        case "blob" if scalar.blob.HasField("metadata"):
            return types_pb2.LiteralType(blob=scalar.blob.metadata.type)
        case "binary":
            structured = scalar.binary.tag == MSGPACK
            return types_pb2.LiteralType(simple=types_pb2.STRUCT if structured else types_pb2.BINARY)
        case "schema":
            return types_pb2.LiteralType(schema=scalar.schema.type)
        case "structured_dataset":
            dataset_type = scalar.structured_dataset.metadata.structured_dataset_type
            return types_pb2.LiteralType(structured_dataset_type=dataset_type)
        case "none_type":
            return types_pb2.LiteralType(simple=types_pb2.NONE)
        case "error":
            return types_pb2.LiteralType(simple=types_pb2.ERROR)
        case "generic":
            return types_pb2.LiteralType(simple=types_pb2.STRUCT)
        case "union":
            return types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=[scalar.union.type]))
        case _:
            return types_pb2.LiteralType()


def primitive_type(primitive: literals_pb2.Primitive) -> types_pb2.LiteralType:
    """The type of a primitive; NONE when no value is set."""
    return types_pb2.LiteralType(simple=_PRIMITIVES.get(primitive.WhichOneof("value") or "", types_pb2.NONE))


def is_known(literal_type: types_pb2.LiteralType) -> bool:
    """Whether a type, and the elements of a collection or map type, say what they are."""
    match literal_type.WhichOneof("type"):
        case None:
            return False
        case "collection_type":
            return is_known(literal_type.collection_type)
        case "map_value_type":
            return is_known(literal_type.map_value_type)
        case _:
            return True


def _element_type(literals: Iterable[literals_pb2.Literal]) -> types_pb2.LiteralType:
    distinct: dict[bytes, types_pb2.LiteralType] = {}
    empty_list: types_pb2.LiteralType | None = None
    for literal in literals:
        element = literal_type_of(literal)
        if literal.WhichOneof("value") == "collection" and not literal.collection.literals:
            # An empty list says nothing about its siblings' elements; it decides only when it is alone.
            empty_list = element
        else:
            distinct[digest(element)] = element
    if not distinct:
        return empty_list if empty_list is not None else types_pb2.LiteralType(simple=types_pb2.NONE)
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    return _union_of(sorted(distinct.values(), key=prototext))


def _union_of(elements: list[types_pb2.LiteralType]) -> types_pb2.LiteralType:
    """The union of several element types; lists of unions among them are merged into one list of their union."""
    variants: list[types_pb2.LiteralType] = []
    merged = False
    for element in elements:
        inner = element.collection_type
        if element.WhichOneof("type") == "collection_type" and inner.WhichOneof("type") == "union_type":
            merged = True
            variants.extend(inner.union_type.variants)
        else:
            variants.append(element)
    union = types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=variants))
    return types_pb2.LiteralType(collection_type=union) if merged else union
