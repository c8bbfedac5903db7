"""What can be wrong with a task or a workflow, and how it is told.

All problems of one compilation are collected, because people fix them together; codes and texts are Flyte's
(admin-contract §3.0), because people search for them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from flyteidl.core import identifier_pb2, types_pb2
from google.protobuf.message import Message

from flightlog_types import describe, prototext


@dataclass(frozen=True, order=True)
class CompileError:
    """One problem: what kind, at which node, and a sentence. `node_id` is `root` or the like where there is no node."""

    code: str
    node_id: str
    description: str

    def __str__(self) -> str:
        return f"Code: {self.code}, Node Id: {self.node_id}, Description: {self.description}"


class CompileErrors(Exception):
    """A task or workflow that does not compile; clients see INVALID_ARGUMENT with all problems."""

    grpc_code = "INVALID_ARGUMENT"

    def __init__(self, errors: Iterable[CompileError]) -> None:
        self.errors = tuple(sorted(set(errors), key=lambda error: (error.code, str(error))))
        lines = [f"Collected Errors: {len(self.errors)}"]
        lines += (f"\tError {index}: {error}" for index, error in enumerate(self.errors))
        self.message = "\n".join(lines) + "\n"
        super().__init__(self.message)


class Problems:
    """The problems found so far in one compilation.

    With trial=True those of one attempt among several, which nobody will read: only their number counts.
    """

    def __init__(self, *, trial: bool = False) -> None:
        self._found: list[CompileError] = []
        self.trial = trial

    def __len__(self) -> int:
        """How many were reported, repetitions included: a caller that compares before and after learns of new ones."""
        return len(self._found)

    def add(self, error: CompileError) -> None:
        self._found.append(error)

    def raise_any(self) -> None:
        """Raise CompileErrors when there are problems."""
        if self._found:
            raise CompileErrors(self._found)


def value_required(node_id: str, what: str) -> CompileError:
    return CompileError("ValueRequired", node_id, f"Value required [{what}].")


def invalid_value(node_id: str, what: str) -> CompileError:
    return CompileError("InvalidValue", node_id, f"Invalid value [{what}].")


def unrecognized_value(node_id: str, value: str) -> CompileError:
    return CompileError("UnrecognizedValue", node_id, f"Unrecognized value [{value}].")


def no_nodes(workflow_id: identifier_pb2.Identifier) -> CompileError:
    text = prototext(workflow_id)
    return CompileError("NoNodesFound", text, f"Can't find any nodes in workflow [{text}].")


def duplicate_id(node_id: str) -> CompileError:
    return CompileError("DuplicateId", node_id, "Trying to insert two nodes with the same id.")


def node_not_found(node_id: str, referenced: str) -> CompileError:
    return CompileError("NodeReferenceNotFound", node_id, f"Referenced node [{referenced}] not found.")


def task_not_found(node_id: str, task_id: identifier_pb2.Identifier) -> CompileError:
    return CompileError("TaskReferenceNotFound", node_id, f"Referenced Task [{prototext(task_id)}] not found.")


def workflow_not_found(node_id: str, reference: str) -> CompileError:
    return CompileError("WorkflowReferenceNotFound", node_id, f"Referenced Workflow [{reference}] not found.")


def variable_not_found(node_id: str, variable: str) -> CompileError:
    return CompileError("VariableNameNotFound", node_id, f"Variable [{variable}] not found on node [{node_id}].")


def not_bound(node_id: str, variable: str) -> CompileError:
    return CompileError("ParameterNotBound", node_id, f"Parameter not bound [{variable}].")


def bound_twice(node_id: str, variable: str) -> CompileError:
    return CompileError("ParameterBoundMoreThanOnce", node_id, f"Input [{variable}] is bound more than once.")


def duplicate_alias(node_id: str, alias: str) -> CompileError:
    text = f"Duplicate alias [{alias}] found. An output alias can only be used once in the Workflow."
    return CompileError("DuplicateAlias", node_id, text)


def mismatching_types(
    node_id: str, variable: str, given: types_pb2.LiteralType, expected: types_pb2.LiteralType
) -> CompileError:
    text = f"Variable [{variable}] (type [{describe(given)}]) doesn't match expected type [{describe(expected)}]."
    return CompileError("MismatchingTypes", node_id, text)


def mismatching_variables(
    node_id: str, output: str, given: types_pb2.LiteralType, variable: str, expected: types_pb2.LiteralType
) -> CompileError:
    text = (
        f"The output variable '{output}' has type [{describe(given)}], but it's assigned to the input variable "
        f"'{variable}' which has type type [{describe(expected)}]."
    )
    return CompileError("MismatchingTypes", node_id, text)


def mismatching_bindings(node_id: str, variable: str, expected: types_pb2.LiteralType, given: str) -> CompileError:
    text = (
        f"Input [{variable}] on node [{node_id}] expects bindings of type [{prototext(expected)}].  Received [{given}]"
    )
    return CompileError("MismatchingBindings", node_id, text)


def field_not_found(node_id: str, variable: str, given: types_pb2.LiteralType, field: str) -> CompileError:
    text = f"Variable [{variable}] (type [{prototext(given)}]) doesn't have field [{field}]."
    return CompileError("FieldNotFound", node_id, text)


def illegal_enum_value(node_id: str, variable: str, value: str, values: Iterable[str]) -> CompileError:
    text = (
        f"Input [{variable}] on node [{node_id}] is an Enum and expects value to be one of [[{' '.join(values)}]].  "
        f"Received [{value}]"
    )
    return CompileError("IllegalEnumValue", node_id, text)


def ambiguous_union(
    node_id: str,
    variable: str,
    expected: types_pb2.LiteralType,
    binding: Message,
    variants: tuple[types_pb2.LiteralType, types_pb2.LiteralType],
) -> CompileError:
    first, second = map(prototext, variants)
    text = (
        f"Input [{variable}] on node [{node_id}] expects bindings of union type [{prototext(expected)}].  Received "
        f"[{prototext(binding)}] which is ambiguous as both variants [{first}] and [{second}] match."
    )
    return CompileError("AmbiguousBindingUnionValue", node_id, text)


def incompatible_union(node_id: str, variable: str, expected: types_pb2.LiteralType, binding: Message) -> CompileError:
    text = (
        f"Input [{variable}] on node [{node_id}] expects bindings of union type [{prototext(expected)}].  Received "
        f"[{prototext(binding)}] which does not match any of the variants."
    )
    return CompileError("IncompatibleBindingUnionValue", node_id, text)


def cycle(node_id: str, path: Iterable[str]) -> CompileError:
    text = f"A cycle has been detected while traversing the Workflow [{'>'.join(path)}]."
    return CompileError("CycleDetected", node_id, text)


def unreachable(node_id: str, nodes: Iterable[str]) -> CompileError:
    text = f"The Workflow contain unreachable nodes [{','.join(sorted(nodes))}]."
    return CompileError("UnreachableNodes", node_id, text)


def syntax_error(node_id: str, element: str) -> CompileError:
    return CompileError("SyntaxError", node_id, f"Failed to parse element [{element}].")


def too_complex(node_id: str, variable: str) -> CompileError:
    return CompileError("WorkflowBuildError", node_id, f"The unions of input [{variable}] are too many to be tried.")


def no_gate_condition(node_id: str) -> CompileError:
    return CompileError("NoConditionFound", node_id, f"Can't find any condition in gate node [{node_id}].")


def no_branch_condition(node_id: str) -> CompileError:
    text = "One of the branches on the node doesn't have a condition."
    return CompileError("BranchNodeHasNoCondition", node_id, text)


def no_branch_default(node_id: str) -> CompileError:
    text = "Branch Node must have either the else case set or a default error."
    return CompileError("BranchNodeHasNoDefault", node_id, text)


def no_branch_node(node_id: str) -> CompileError:
    return CompileError("BranchNodeIdNotFound", node_id, "BranchNode not assigned")
