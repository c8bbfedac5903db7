"""Values and types as people read them: short, on one line, and never another value than the one of the key."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import BlobType, LiteralType
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types import cache_keys
from flightlog_types.object_hash import encoded
from services.catalog.looking import interfaces, values


def literal(document: dict[str, Any]) -> Literal:
    return ParseDict(document, Literal())


def primitive(**value: Any) -> dict[str, Any]:
    return {"scalar": {"primitive": value}}


SCALARS = st.one_of(
    st.integers(-(2**40), 2**40).map(lambda value: primitive(integer=value)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: primitive(floatValue=value)),
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda value: primitive(stringValue=value)),
    st.booleans().map(lambda value: primitive(boolean=value)),
)
LITERALS = st.recursive(
    SCALARS,
    lambda items: st.one_of(
        st.lists(items, max_size=30).map(lambda found: {"collection": {"literals": found}}),
        st.dictionaries(st.text("ab", max_size=3), items).map(lambda found: {"map": {"literals": found}}),
    ),
    max_leaves=60,
).map(literal)


@given(LITERALS)
def test_any_value_is_one_short_line(value: Literal) -> None:
    shown = values.text(value)
    assert len(shown) <= values.LONGEST
    assert len(shown.splitlines()) <= 1


@given(LITERALS, LITERALS, st.booleans())
def test_a_value_is_told_only_for_its_own_hash(value: Literal, other: Literal, in_list: bool) -> None:
    digest = encoded(cache_keys.input_digests(LiteralMap(literals={"x": value}))["x"])
    stored = Literal()
    if in_list:
        stored.collection.literals.extend([other, value])
    else:
        stored.CopyFrom(other)
    found = values.value_of("x", digest, LiteralMap(literals={"x": stored}), 1 if in_list else None)
    if found is None:
        assert not in_list
        assert encoded(cache_keys.input_digests(LiteralMap(literals={"x": other}))["x"]) != digest
    else:
        assert encoded(cache_keys.input_digests(LiteralMap(literals={"x": found}))["x"]) == digest


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        (primitive(integer="3"), "3"),
        (primitive(floatValue=0.5), "0.5"),
        (primitive(stringValue='a "b"'), '"a \\"b\\""'),
        (primitive(boolean=False), "false"),
        (primitive(datetime="2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z"),
        (primitive(duration="90s"), "90s"),
        ({"scalar": {"noneType": {}}}, "null"),
        ({"scalar": {"blob": {"uri": "s3://b/o"}}}, "s3://b/o"),
        ({"scalar": {"structuredDataset": {"uri": "s3://b/t"}}}, "s3://b/t"),
        ({"scalar": {"generic": {"a": 1}}}, '{"a": 1.0}'),
        ({"scalar": {"union": {"value": primitive(integer="3")}}}, "3"),
        ({"collection": {"literals": [primitive(integer="1"), primitive(integer="2")]}}, "[1, 2]"),
        ({"map": {"literals": {"b": primitive(integer="1"), "a": primitive(integer="2")}}}, '{"a": 2, "b": 1}'),
        ({"scalar": {"blob": {"uri": "s3://b/o"}}, "hash": "h1"}, "s3://b/o (hash h1)"),
        ({"offloadedMetadata": {"uri": "s3://b/large"}}, "s3://b/large"),
    ],
)
def test_values_as_they_are_shown(document: dict[str, Any], shown: str) -> None:
    assert values.text(literal(document)) == shown


def test_structures_are_shown_as_json_and_other_bytes_by_their_size() -> None:
    packed = Literal()
    packed.scalar.binary.value = b"\x81\xa1a\x92\x01\xc0"
    packed.scalar.binary.tag = "msgpack"
    assert values.text(packed) == '{"a": [1, null]}'
    packed.scalar.binary.value = b"\xc1"
    assert values.text(packed) == "1 bytes"


@pytest.mark.parametrize(
    ("node_id", "element"), [("n0-0-n3", 3), ("fjxktwsq-n12", 12), ("n0", None), ("n0-0-dn1", None)]
)
def test_elements_are_known_by_their_ids(node_id: str, element: int | None) -> None:
    assert values.element_of(node_id) == element


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"simple": "INTEGER"}, "integer"),
        ({"collectionType": {"mapValueType": {"simple": "STRING"}}}, "list[dict[string]]"),
        ({"unionType": {"variants": [{"simple": "INTEGER"}, {"simple": "NONE"}]}}, "integer | none"),
        ({"enumType": {"values": ["a", "b"]}}, "enum[a, b]"),
        ({"blob": {"format": "csv"}}, "file[csv]"),
        ({"blob": {"dimensionality": BlobType.MULTIPART}}, "directory"),
        (
            {"structuredDatasetType": {"columns": [{"name": "c", "literalType": {"simple": "FLOAT"}}]}},
            "dataframe[c: float]",
        ),
        ({}, "unknown"),
    ],
)
def test_types_as_they_are_shown(document: dict[str, Any], shown: str) -> None:
    assert interfaces.type_text(ParseDict(document, LiteralType())) == shown
