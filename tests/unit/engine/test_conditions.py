"""Conditions of branch nodes: what is true of which values, and what cannot be compared."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flyteidl.core.condition_pb2 import BooleanExpression, ComparisonExpression, Operand
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive

from services.execution.engine.conditions import MalformedCondition, holds
from tests.unit.engine.story import From, joined, literal, when

X, Y = From("n0", "x"), From("", "y")


def moment(nanos: int = 0, **more: Any) -> Literal:
    found = Literal()
    found.scalar.primitive.datetime.FromDatetime(datetime(2026, 5, 1, 8, 0, tzinfo=UTC) + timedelta(**more))
    found.scalar.primitive.datetime.nanos += nanos
    return found


def lasting(**duration: Any) -> Literal:
    found = Literal()
    found.scalar.primitive.duration.FromTimedelta(timedelta(**duration))
    return found


def maybe(value: Any) -> Literal:
    """The value as flytekit writes it for an Optional or another union."""
    found = Literal()
    found.scalar.union.value.CopyFrom(literal(value))
    return found


def inputs(**values: Any) -> LiteralMap:
    names = {"x": "n0.x", "y": ".y"}
    return LiteralMap(literals={names[key]: literal(value) for key, value in values.items()})


ASCENDING = [
    pytest.param(1, 2, id="integers"),
    pytest.param(-(2**63), 2**63 - 1, id="large integers"),
    pytest.param(2**53, 2**53 + 1, id="integers beyond a float's precision"),
    pytest.param(1.5, 1.75, id="floats"),
    pytest.param("Beta", "alpha", id="strings by their bytes"),
    pytest.param("z", "é", id="strings beyond ASCII"),
    pytest.param("\ud7ff", "\U0001f600", id="strings beyond 16 bits"),
    pytest.param(moment(), moment(nanos=1), id="moments a nanosecond apart"),
    pytest.param(moment(days=-400000), moment(), id="moments before 1970"),
    pytest.param(lasting(milliseconds=1), lasting(milliseconds=2), id="durations below a second"),
    pytest.param(lasting(milliseconds=-1500), lasting(milliseconds=-1400), id="durations below zero"),
    pytest.param(maybe(1), maybe(2), id="values of unions"),
    pytest.param(maybe(maybe(1)), 2, id="a union in a union, and none"),
]


@pytest.mark.parametrize(("less", "more"), ASCENDING)
def test_values_are_compared_exactly(less: Any, more: Any) -> None:
    signs = ("EQ", "NEQ", "LT", "LTE", "GT", "GTE")
    for x, y, expected in (
        (less, more, (False, True, True, True, False, False)),
        (more, less, (False, True, False, False, True, True)),
        (less, less, (True, False, False, True, False, True)),
    ):
        found = inputs(x=x, y=y)
        assert tuple(holds(when(X, sign, Y), found) for sign in signs) == expected


@pytest.mark.parametrize(("value", "constant"), [(3, 3), ("a", "a"), (True, True), (2.5, 2.5), (maybe("a"), "a")])
def test_a_variable_is_compared_with_a_constant_on_either_side(value: Any, constant: Any) -> None:
    for condition in (when(X, "EQ", constant), when(constant, "EQ", X)):
        assert holds(condition, inputs(x=value))
    assert not holds(when(X, "NEQ", constant), inputs(x=value))
    assert holds(when(constant, "EQ", constant), inputs())


@pytest.mark.parametrize("none", [None, maybe(None)])
@pytest.mark.parametrize("value", [3, 0, "", False, maybe("a"), 0.0])
def test_none_equals_nothing_but_none(none: Any, value: Any) -> None:
    found = inputs(x=none, y=value)
    assert holds(when(X, "EQ", None), found)
    assert not holds(when(X, "NEQ", None), found)
    assert not holds(when(Y, "EQ", None), found)
    assert holds(when(Y, "NEQ", None), found)
    assert not holds(when(X, "EQ", Y), found)
    assert holds(when(None, "NEQ", Y), found)


def test_not_a_number_equals_nothing_and_has_no_order() -> None:
    found = inputs(x=float("nan"), y=float("nan"))
    assert [holds(when(X, sign, Y), found) for sign in ("EQ", "NEQ", "LT", "LTE", "GT", "GTE")] == [
        False, True, False, False, False, False,
    ]  # fmt: skip


UNFIT = [
    pytest.param(when(X, "EQ", 2.0), inputs(x=2), "integer and float", id="an integer with a float"),
    pytest.param(when(X, "EQ", 1), inputs(x=True), "boolean and integer", id="a boolean with an integer"),
    pytest.param(when(X, "LT", Y), inputs(x="1", y=1), "string and integer", id="text with an integer"),
    pytest.param(when(X, "EQ", 3), inputs(x=maybe("a")), "string and integer", id="another variant of a union"),
    pytest.param(when(X, "LT", False), inputs(x=True), "boolean cannot be compared with LT", id="order of booleans"),
    pytest.param(when(X, "GTE", None), inputs(x=1), "integer and none", id="order of None"),
    pytest.param(when(X, "GTE", None), inputs(x=None), "none cannot be compared with GTE", id="order of two None"),
    pytest.param(when(X, "EQ", 1), inputs(), r"variable \[n0.x\] has no value", id="a missing value"),
    pytest.param(when(X, "EQ", 1), inputs(x=[1]), "is no single value: collection", id="a list"),
    pytest.param(when(X, "EQ", 1), inputs(x=maybe({})), "is no single value: map", id="a map in a union"),
    pytest.param(when(X, "EQ", 1), inputs(x=Literal()), "is no single value", id="an empty literal"),
    pytest.param(BooleanExpression(), inputs(), "neither a comparison nor a conjunction", id="an empty condition"),
    pytest.param(
        BooleanExpression(comparison=ComparisonExpression(left_value=Operand(var="n0.x"))),
        inputs(x=1),
        "lacks one of its sides",
        id="a missing side",
    ),
    pytest.param(
        BooleanExpression(comparison=ComparisonExpression(left_value=Operand(primitive=Primitive()))),
        inputs(),
        "empty",
        id="an empty constant",
    ),
]


@pytest.mark.parametrize(("condition", "values", "message"), UNFIT)
def test_what_cannot_be_compared(condition: BooleanExpression, values: LiteralMap, message: str) -> None:
    with pytest.raises(MalformedCondition, match=message):
        holds(condition, values)


def test_a_structure_cannot_be_compared() -> None:
    value = Literal()
    value.scalar.binary.tag = "msgpack"
    with pytest.raises(MalformedCondition, match=r"variable \[n0.x\] is of a kind that cannot be compared: binary"):
        holds(when(X, "EQ", 1), inputs(x=value))


def test_an_operator_of_a_later_release_is_no_known_order() -> None:
    condition = when(X, "EQ", 1)
    condition.comparison.operator = 17  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(MalformedCondition, match="integer cannot be compared with 17"):
        holds(condition, inputs(x=1))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_conjunctions(left: bool, right: bool) -> None:
    sides = when(left, "EQ", True), when(right, "EQ", True)
    assert holds(joined(sides[0], "AND", sides[1]), inputs()) == (left and right)
    assert holds(joined(sides[0], "OR", sides[1]), inputs()) == (left or right)
    nested = joined(joined(sides[0], "AND", sides[1]), "OR", joined(sides[0], "OR", when(X, "EQ", 1)))
    assert holds(nested, inputs(x=1))


@pytest.mark.parametrize(("sign", "left"), [("AND", False), ("OR", True)])
def test_both_sides_of_a_conjunction_are_evaluated(sign: str, left: bool) -> None:
    decided, broken = when(left, "EQ", True), when(1, "EQ", 2.0)
    for sides in ((decided, broken), (broken, decided)):
        with pytest.raises(MalformedCondition):
            holds(joined(sides[0], sign, sides[1]), inputs())
