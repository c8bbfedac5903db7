"""The type a literal shows."""

import datetime

from flyteidl.core import literals_pb2, types_pb2
from google.protobuf import struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_types import castable, describe, is_known, literal_type_of


def scalar(**value: object) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(**value))


def number(value: int) -> literals_pb2.Literal:
    return scalar(primitive=literals_pb2.Primitive(integer=value))


def text(value: str) -> literals_pb2.Literal:
    return scalar(primitive=literals_pb2.Primitive(string_value=value))


def listed(*elements: literals_pb2.Literal) -> literals_pb2.Literal:
    return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=elements))


def test_primitives() -> None:
    now = Timestamp()
    now.FromDatetime(datetime.datetime(2024, 1, 1))
    assert describe(literal_type_of(number(0))) == "simple:INTEGER"
    assert describe(literal_type_of(scalar(primitive=literals_pb2.Primitive(boolean=False)))) == "simple:BOOLEAN"
    assert describe(literal_type_of(scalar(primitive=literals_pb2.Primitive(datetime=now)))) == "simple:DATETIME"


def test_a_msgpack_binary_is_a_structure() -> None:
    tagged = scalar(binary=literals_pb2.Binary(value=b"\x80", tag="msgpack"))
    assert literal_type_of(tagged).simple == types_pb2.STRUCT
    assert literal_type_of(scalar(binary=literals_pb2.Binary(value=b"x"))).simple == types_pb2.BINARY
    assert literal_type_of(scalar(generic=struct_pb2.Struct())).simple == types_pb2.STRUCT


def test_an_empty_list_has_elements_of_type_none() -> None:
    found = literal_type_of(listed())
    assert describe(found) == "collection_type:{simple:NONE}"
    assert castable(found, types_pb2.LiteralType(collection_type=types_pb2.LiteralType(simple=types_pb2.STRING)))


def test_a_mixed_list_is_a_list_of_a_union() -> None:
    found = literal_type_of(listed(text("a"), number(1), text("b")))
    variants = found.collection_type.union_type.variants
    assert sorted(variant.simple for variant in variants) == [types_pb2.INTEGER, types_pb2.STRING]


def test_an_empty_list_among_others_does_not_make_a_union() -> None:
    found = literal_type_of(listed(listed(), listed(number(1))))
    assert describe(found) == "collection_type:{collection_type:{simple:INTEGER}}"


def test_lists_of_unions_are_merged() -> None:
    found = literal_type_of(listed(listed(number(1), text("a")), listed(number(1)), text("x")))
    assert found.collection_type.WhichOneof("type") == "collection_type"


def test_a_map_of_one_type() -> None:
    literal = literals_pb2.Literal(map=literals_pb2.LiteralMap(literals={"a": number(1), "b": number(2)}))
    assert describe(literal_type_of(literal)) == "map_value_type:{simple:INTEGER}"


def test_a_union_literal_has_its_stored_variant() -> None:
    variant = types_pb2.LiteralType(simple=types_pb2.INTEGER, structure=types_pb2.TypeStructure(tag="int"))
    found = literal_type_of(scalar(union=literals_pb2.Union(value=number(1), type=variant)))
    assert list(found.union_type.variants) == [variant]


def test_an_offloaded_literal_has_its_recorded_type() -> None:
    recorded = types_pb2.LiteralType(collection_type=types_pb2.LiteralType(simple=types_pb2.FLOAT))
    offloaded = literals_pb2.LiteralOffloadedMetadata(uri="s3://b/k", inferred_type=recorded)
    assert literal_type_of(literals_pb2.Literal(offloaded_metadata=offloaded)) == recorded


def test_an_unset_literal_has_no_known_type() -> None:
    assert not is_known(literal_type_of(literals_pb2.Literal()))
    assert not is_known(literal_type_of(listed(literals_pb2.Literal())))
    assert not is_known(literal_type_of(scalar(blob=literals_pb2.Blob(uri="s3://b/k"))))
