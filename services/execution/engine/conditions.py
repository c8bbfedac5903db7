"""The conditions of branch nodes: which case is the first to be true, with these inputs (engine-semantics §2.8).

Values are compared exactly, and only with values of the same type; a value of a union is compared as what is in it.
None equals nothing but None, and has no order.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from flyteidl.core.condition_pb2 import BooleanExpression, ComparisonExpression, ConjunctionExpression, Operand
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar

from services.execution.engine.program import Branch

_NANOS: Final = 1_000_000_000
_NONE: Final = "none"
_TYPES: Final = {
    "integer": "integer",
    "float_value": "float",
    "string_value": "string",
    "boolean": "boolean",
    "datetime": "datetime",
    "duration": "duration",
}
_EQUALITIES: Final[Mapping[int, Callable[[Any, Any], bool]]] = {
    ComparisonExpression.EQ: operator.eq,
    ComparisonExpression.NEQ: operator.ne,
}
_ORDERS: Final[Mapping[int, Callable[[Any, Any], bool]]] = {
    ComparisonExpression.GT: operator.gt,
    ComparisonExpression.GTE: operator.ge,
    ComparisonExpression.LT: operator.lt,
    ComparisonExpression.LTE: operator.le,
}

_Value = tuple[str, Any]
"""Name of a type, and a value of it."""


class MalformedCondition(Exception):
    """A condition cannot be evaluated: a value is missing, or is of a type that cannot be compared so."""


def first_true(branch: Branch, inputs: LiteralMap) -> int | None:
    """Number of the first case whose condition is true; None when none is. Cases after it are not looked at.

    Raises:
        MalformedCondition: a condition that was looked at cannot be evaluated.
    """
    return next((number for number, (condition, _) in enumerate(branch.cases) if holds(condition, inputs)), None)


def holds(expression: BooleanExpression, inputs: LiteralMap) -> bool:
    """Whether a condition is true. Both sides of a conjunction are evaluated, whatever the first one is.

    Raises:
        MalformedCondition: it cannot be evaluated.
    """
    match expression.WhichOneof("expr"):
        case "comparison":
            return _compared(expression.comparison, inputs)
        case "conjunction":
            conjunction = expression.conjunction
            left = holds(conjunction.left_expression, inputs)
            right = holds(conjunction.right_expression, inputs)
            return left or right if conjunction.operator == ConjunctionExpression.OR else left and right
        case _:
            raise MalformedCondition("a condition is neither a comparison nor a conjunction")


def _compared(comparison: ComparisonExpression, inputs: LiteralMap) -> bool:
    left_type, left = _operand(comparison.left_value, inputs)
    right_type, right = _operand(comparison.right_value, inputs)
    sign = comparison.operator
    equality = _EQUALITIES.get(sign)
    if equality is not None and _NONE in (left_type, right_type):
        return equality(left_type, right_type)
    if left_type != right_type:
        raise MalformedCondition(f"values of different types cannot be compared: {left_type} and {right_type}")
    if equality is not None:
        return equality(left, right)
    if left_type in (_NONE, "boolean") or sign not in _ORDERS:
        raise MalformedCondition(f"values of type {left_type} cannot be compared with {_sign(sign)}")
    return _ORDERS[sign](left, right)


def _operand(operand: Operand, inputs: LiteralMap) -> _Value:
    match operand.WhichOneof("val"):
        case "primitive":
            return _primitive(operand.primitive)
        case "scalar":
            return _scalar(operand.scalar, "a constant")
        case "var" if operand.var in inputs.literals:
            return _literal(inputs.literals[operand.var], f"variable [{operand.var}]")
        case "var":
            raise MalformedCondition(f"variable [{operand.var}] has no value")
        case _:
            raise MalformedCondition("a comparison lacks one of its sides")


def _literal(literal: Literal, what: str) -> _Value:
    if literal.WhichOneof("value") != "scalar":
        raise MalformedCondition(f"{what} is no single value: {literal.WhichOneof('value')}")
    return _scalar(literal.scalar, what)


def _scalar(scalar: Scalar, what: str) -> _Value:
    match scalar.WhichOneof("value"):
        case "primitive":
            return _primitive(scalar.primitive)
        case "none_type":
            return _NONE, None
        case "union":
            return _literal(scalar.union.value, what)
        case kind:
            raise MalformedCondition(f"{what} is of a kind that cannot be compared: {kind}")


def _primitive(primitive: Primitive) -> _Value:
    kind = primitive.WhichOneof("value")
    if kind is None:
        raise MalformedCondition("a primitive value is empty")
    value = getattr(primitive, kind)
    # Moments and durations by their nanoseconds.
    return _TYPES[kind], value.seconds * _NANOS + value.nanos if kind in ("datetime", "duration") else value


def _sign(sign: int) -> str:
    known = sign in ComparisonExpression.Operator.values()
    return ComparisonExpression.Operator.Name(ComparisonExpression.Operator.ValueType(sign)) if known else str(sign)
