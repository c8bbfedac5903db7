"""Which types fit which: the table of admin-contract §3.4."""

import pytest
from flyteidl.core import types_pb2
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from flightlog_types import accepts_none, castable

_SIMPLE = ["NONE", "INTEGER", "FLOAT", "STRING", "BOOLEAN", "DATETIME", "DURATION", "BINARY", "ERROR", "STRUCT"]


def kind(text: dict[str, object] | str) -> types_pb2.LiteralType:
    """A type from its JSON form; a bare word is a simple type."""
    shape = {"simple": text} if isinstance(text, str) else text
    return json_format.ParseDict(shape, types_pb2.LiteralType())


def union(*variants: dict[str, object] | str) -> dict[str, object]:
    return {"unionType": {"variants": [{"simple": v} if isinstance(v, str) else v for v in variants]}}


def listed(element: dict[str, object] | str) -> dict[str, object]:
    return {"collectionType": {"simple": element} if isinstance(element, str) else element}


def mapped(element: dict[str, object] | str) -> dict[str, object]:
    return {"mapValueType": {"simple": element} if isinstance(element, str) else element}


def tagged(simple: str, tag: str) -> dict[str, object]:
    return {"simple": simple, "structure": {"tag": tag}}


def frame(*columns: tuple[str, str], style: str = "") -> dict[str, object]:
    described = [{"name": name, "literalType": {"simple": simple}} for name, simple in columns]
    return {"structuredDatasetType": {"columns": described, "format": style}}


def schema(*columns: tuple[str, str]) -> dict[str, object]:
    return {"schema": {"columns": [{"name": name, "type": simple} for name, simple in columns]}}


def structure(properties: dict[str, object], required: list[str] | None = None) -> dict[str, object]:
    described = {"type": "object", "title": "T", "properties": properties, "required": required or sorted(properties)}
    return {"simple": "STRUCT", "metadata": described}


INT, TEXT = {"type": "integer"}, {"type": "string"}
ENUM: dict[str, object] = {"enumType": {"values": ["red", "blue"]}}


@pytest.mark.parametrize(
    ("upstream", "downstream"),
    [
        ("NONE", "NONE"),
        (listed("NONE"), listed("INTEGER")),
        (mapped("NONE"), mapped(listed("INTEGER"))),
        (listed(listed("NONE")), listed(listed("STRING"))),
        ({"blob": {"format": "csv"}}, {"blob": {}}),
        ({"blob": {}}, {"blob": {"format": "csv"}}),
        ({"blob": {"format": "csv"}}, {"blob": {"format": "csv", "dimensionality": "MULTIPART"}}),
        (ENUM, "STRING"),
        ("STRING", ENUM),
        ("INTEGER", union("INTEGER", "STRING")),
        (union("STRING", "INTEGER"), union("INTEGER", "STRING", "NONE")),
        (union("INTEGER"), "INTEGER"),
        (listed(union(union("INTEGER"), union("STRING"))), listed(union("INTEGER", "STRING"))),
        (tagged("INTEGER", "int"), tagged("INTEGER", "int")),
        ("INTEGER", tagged("INTEGER", "int")),
        (frame(("a", "INTEGER"), ("b", "STRING")), frame(("a", "INTEGER"))),
        (frame(), frame(("a", "INTEGER"))),
        (frame(("a", "INTEGER")), frame()),
        (frame(style="parquet"), frame(style="PARQUET")),
        (frame(), frame(style="csv")),
        ("NONE", frame()),
        (schema(("a", "INTEGER")), frame(("a", "INTEGER"), style="parquet")),
        (frame(("a", "FLOAT"), style="parquet"), schema(("a", "FLOAT"))),
        (schema(("a", "INTEGER"), ("b", "STRING")), schema(("a", "INTEGER"))),
        ("STRUCT", structure({"x": INT})),
        (structure({"x": INT}), structure({"x": INT})),
        (structure({"x": INT, "y": TEXT}), structure({"x": INT})),
    ],
    ids=str,
)
def test_fits(upstream: dict[str, object] | str, downstream: dict[str, object] | str) -> None:
    assert castable(kind(upstream), kind(downstream))


@pytest.mark.parametrize(
    ("upstream", "downstream"),
    [
        ("INTEGER", "FLOAT"),
        ("INTEGER", "NONE"),
        ("NONE", "INTEGER"),
        (listed("INTEGER"), "INTEGER"),
        ("INTEGER", listed("INTEGER")),
        (listed("INTEGER"), mapped("INTEGER")),
        ({"blob": {"format": "csv"}}, {"blob": {"format": "png"}}),
        (ENUM, {"enumType": {"values": ["red"]}}),
        (ENUM, "INTEGER"),
        (union("INTEGER", "STRING"), "INTEGER"),
        ("INTEGER", union(tagged("INTEGER", "a"), tagged("INTEGER", "b"))),
        ("BOOLEAN", union("INTEGER", "STRING")),
        (union("BOOLEAN", "INTEGER"), union("INTEGER", "STRING")),
        (tagged("INTEGER", "int"), tagged("INTEGER", "long")),
        (tagged("INTEGER", "int"), "INTEGER"),
        (frame(("a", "INTEGER")), frame(("a", "STRING"))),
        (frame(("a", "INTEGER")), frame(("b", "INTEGER"))),
        (frame(style="csv"), frame(style="parquet")),
        (frame(style="csv"), schema()),
        (schema(), frame(style="csv")),
        (schema(("a", "STRING")), frame(("a", "INTEGER"))),
        (schema(("a", "INTEGER")), schema(("b", "INTEGER"))),
        ("INTEGER", frame()),
        (structure({"x": INT}), structure({"x": INT, "y": TEXT})),
        (structure({"x": TEXT}), structure({"x": INT})),
        ("STRUCT", "STRING"),
    ],
    ids=str,
)
def test_does_not_fit(upstream: dict[str, object] | str, downstream: dict[str, object] | str) -> None:
    assert not castable(kind(upstream), kind(downstream))


def test_only_a_union_with_none_may_stay_unbound() -> None:
    assert accepts_none(kind(union("INTEGER", "NONE")))
    assert not accepts_none(kind(union("INTEGER", listed("STRING"))))
    assert not accepts_none(kind("NONE"))


def test_annotations_and_titles_do_not_count() -> None:
    plain = kind("INTEGER")
    annotated = kind({"simple": "INTEGER", "annotation": {"annotations": {"a": 1}}, "metadata": {"title": "x"}})
    assert castable(plain, annotated)
    assert castable(annotated, plain)


def test_a_chain_of_nested_unions_is_compared_in_no_time() -> None:
    left, right = kind("INTEGER"), kind("STRING")
    for _ in range(40):
        left = types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=[left]))
        right = types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=[right]))
    assert castable(left, left)
    assert not castable(left, right)


_SIMPLE_TYPES = st.sampled_from(_SIMPLE).map(kind)
_TAGGED = st.tuples(_SIMPLE_TYPES, st.sampled_from(["", "int", "str"])).map(
    lambda pair: types_pb2.LiteralType(
        simple=pair[0].simple, structure=types_pb2.TypeStructure(tag=pair[1]) if pair[1] else None
    )
)
_LEAVES = st.one_of(
    _SIMPLE_TYPES,
    _TAGGED,
    st.lists(st.text(max_size=3), max_size=3).map(lambda v: kind({"enumType": {"values": v}})),
    st.sampled_from(["", "csv"]).map(lambda v: kind({"blob": {"format": v}})),
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["INTEGER", "STRING"])), max_size=3).map(
        lambda columns: kind(frame(*columns))
    ),
    st.just(types_pb2.LiteralType()),
    st.just(kind(structure({"x": INT}))),
)
TYPES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda t: types_pb2.LiteralType(collection_type=t)),
        inner.map(lambda t: types_pb2.LiteralType(map_value_type=t)),
        st.lists(inner, max_size=3).map(lambda v: types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=v))),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(TYPES)
def test_every_type_fits_itself(literal_type: types_pb2.LiteralType) -> None:
    assert castable(literal_type, literal_type)


@settings(max_examples=150, deadline=None)
@given(TYPES, TYPES)
def test_fitting_elements_make_fitting_lists(left: types_pb2.LiteralType, right: types_pb2.LiteralType) -> None:
    if castable(left, right):
        assert castable(types_pb2.LiteralType(collection_type=left), types_pb2.LiteralType(collection_type=right))


def test_unions_of_very_many_variants_are_answered_in_no_time() -> None:
    def many(prefix: str) -> types_pb2.LiteralType:
        return kind(union(*(tagged("INTEGER", f"{prefix}{i}") for i in range(3000))))

    assert castable(many("a"), many("a"))
    assert not castable(many("a"), many("b"))
