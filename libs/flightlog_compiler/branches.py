"""The conditions of branch nodes, and what all arms of a branch have in common (admin-contract §3.3, §3.4)."""

from collections.abc import Mapping

from flyteidl.core import condition_pb2, types_pb2, workflow_pb2

from flightlog_compiler import errors
from flightlog_compiler.bindings import Interface, Types
from flightlog_compiler.errors import Problems
from flightlog_compiler.references import branch_blocks
from flightlog_types import is_known, is_none, prototext, scalar_type
from flightlog_types.literals import primitive_type


def branch_outputs(arms: Mapping[str, Interface], problems: Problems) -> Types:
    """The outputs that every arm gives; reports those of one name and several types."""
    common: Types | None = None
    for arm_id, interface in arms.items():
        if common is None:
            common = interface.outputs
            continue
        common = {name: kind for name, kind in common.items() if name in interface.outputs}
        for name, kind in common.items():
            if kind != interface.outputs[name] and prototext(kind) != prototext(interface.outputs[name]):
                problems.add(errors.mismatching_types(arm_id, name, kind, interface.outputs[name]))
    return common or {}


def check_conditions(node: workflow_pb2.Node, inputs: Types, problems: Problems) -> None:
    """Report arms without condition or node, conditions over unbound variables, and comparisons of unlike types."""
    branch = node.branch_node
    if not branch.HasField("if_else"):
        problems.add(errors.value_required(node.id, "Branch.IfElse"))
        return
    if not branch.if_else.HasField("case"):
        problems.add(errors.value_required(node.id, "Branch.IfElse.Case"))
    for block in branch_blocks(branch):
        if not block.HasField("condition"):
            problems.add(errors.no_branch_condition(node.id))
        else:
            _check_expression(node.id, block.condition, inputs, problems)
        if not block.HasField("then_node"):
            problems.add(errors.no_branch_node(node.id))
    if branch.if_else.WhichOneof("default") is None:
        problems.add(errors.no_branch_default(node.id))


def _check_expression(
    node_id: str, expression: condition_pb2.BooleanExpression, inputs: Types, problems: Problems
) -> None:
    match expression.WhichOneof("expr"):
        case "conjunction":
            conjunction = expression.conjunction
            for side in ("left_expression", "right_expression"):
                if conjunction.HasField(side):
                    _check_expression(node_id, getattr(conjunction, side), inputs, problems)
                else:
                    problems.add(errors.no_branch_condition(node_id))
        case "comparison":
            _check_comparison(node_id, expression.comparison, inputs, problems)
        case _:
            problems.add(errors.value_required(node_id, "Expr"))


def _check_comparison(
    node_id: str, comparison: condition_pb2.ComparisonExpression, inputs: Types, problems: Problems
) -> None:
    found: list[types_pb2.LiteralType | None] = []
    for title, side in (("RightValue", "right_value"), ("LeftValue", "left_value")):
        if comparison.HasField(side):
            found.append(_operand_type(node_id, title, getattr(comparison, side), inputs, problems))
        else:
            problems.add(errors.value_required(node_id, title))
            found.append(None)
    right, left = found
    if right is None or left is None or is_none(right) or is_none(left):
        return
    if not _variants(right) & _variants(left):
        problems.add(errors.mismatching_types(node_id, "RightValue", right, left))


def _operand_type(
    node_id: str, title: str, operand: condition_pb2.Operand, inputs: Types, problems: Problems
) -> types_pb2.LiteralType | None:
    """The type of one side; None when it was reported or cannot be known."""
    match operand.WhichOneof("val"):
        case "primitive":
            return primitive_type(operand.primitive)
        case "scalar":
            return scalar_type(operand.scalar)
        case "var" if operand.var:
            if operand.var not in inputs:
                problems.add(errors.variable_not_found(node_id, operand.var))
                return None
            found = inputs[operand.var]
            return found if is_known(found) else None
        case _:
            problems.add(errors.value_required(node_id, f"{title}.Val"))
            return None


def _variants(literal_type: types_pb2.LiteralType) -> set[str]:
    """The types that a value may have when it is compared: a union's are its variants', and tags don't count.

    Values of enums are texts.
    """
    kind = literal_type.WhichOneof("type")
    if kind == "union_type":
        return {found for variant in literal_type.union_type.variants for found in _variants(variant)}
    if kind == "enum_type":
        return {prototext(types_pb2.LiteralType(simple=types_pb2.STRING))}
    bare = types_pb2.LiteralType()
    bare.CopyFrom(literal_type)
    for field in ("metadata", "annotation", "structure"):
        bare.ClearField(field)
    return {prototext(bare)}
