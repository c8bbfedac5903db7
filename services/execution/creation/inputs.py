"""Complete inputs of an execution: given ones checked, defaults and fixed ones filled in (admin-contract §4.3)."""

from flyteidl.core.interface_pb2 import Parameter, ParameterMap, TypedInterface
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import DATETIME

from flightlog_types import castable, describe, is_known, literal_type_of, validation
from flightlog_types.invalid import InvalidArgument


def expected_of_task(interface: TypedInterface) -> ParameterMap:
    """A single task run has no defaults: every input is required, optional ones included."""
    variables = interface.inputs.variables
    return ParameterMap(parameters={name: Parameter(var=variables[name], required=True) for name in variables})


def resolve_inputs(given: LiteralMap, expected: ParameterMap, fixed: LiteralMap) -> LiteralMap:
    """The inputs the workflow starts with.

    Raises:
        InvalidArgument: an input is missing, unknown, or of another type.
    """
    parameters = expected.parameters
    resolved = LiteralMap()
    resolved.literals.MergeFrom(given.literals)
    for name in sorted(parameters):
        parameter = parameters[name]
        if name in given.literals:
            _check_type(name, given.literals[name], parameter)
        elif parameter.required:
            raise InvalidArgument(f"expected_inputs {name} missing")
        elif parameter.HasField("default"):
            resolved.literals[name].CopyFrom(parameter.default)
    for name in sorted(given.literals):
        if name not in parameters:
            raise InvalidArgument(f"invalid input {name}")
    for name in fixed.literals:
        resolved.literals[name].CopyFrom(fixed.literals[name])
    return resolved


def _check_type(name: str, literal: Literal, parameter: Parameter) -> None:
    given, declared = literal_type_of(literal), parameter.var.type
    if not is_known(given):
        raise InvalidArgument(
            f"the type of input {name} cannot be determined, expected {describe(declared)}; "
            "the value may need a newer release of this server"
        )
    if not castable(given, declared):
        raise InvalidArgument(
            f"invalid {name} input wrong type. Expected {describe(declared)}, but got {describe(given)}"
        )
    if declared.WhichOneof("type") == "simple" and declared.simple == DATETIME:
        validation.validate_datetime(literal)
