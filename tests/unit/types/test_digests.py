"""Digests are of content, not of encodings."""

from flyteidl.core import interface_pb2, literals_pb2
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types import digest


@given(st.dictionaries(st.text(max_size=5), st.integers(-5, 5), max_size=8), st.randoms())
def test_the_order_of_map_entries_does_not_count(entries: dict[str, int], random: object) -> None:
    names = list(entries)
    random.shuffle(names)  # type: ignore[attr-defined]
    first, second = literals_pb2.LiteralMap(), literals_pb2.LiteralMap()
    for name, value in entries.items():
        first.literals[name].scalar.primitive.integer = value
    for name in names:
        second.literals[name].scalar.primitive.integer = entries[name]
    assert digest(first) == digest(second)
    second.literals["another name"].scalar.primitive.integer = 1
    assert digest(first) != digest(second)


def test_the_order_of_entries_on_the_wire_does_not_count() -> None:
    one = interface_pb2.VariableMap(variables={"a": interface_pb2.Variable(description="1")})
    two = interface_pb2.VariableMap(variables={"b": interface_pb2.Variable(description="2")})
    forth = interface_pb2.VariableMap.FromString(one.SerializeToString() + two.SerializeToString())
    back = interface_pb2.VariableMap.FromString(two.SerializeToString() + one.SerializeToString())
    assert digest(forth) == digest(back)


def test_fields_of_a_newer_client_count() -> None:
    known = interface_pb2.Variable(description="x")
    newer = interface_pb2.Variable.FromString(known.SerializeToString() + b"\xfa\x7f\x01y")
    assert digest(known) != digest(newer)
