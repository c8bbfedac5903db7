"""What a launch plan must be, and what the server completes in it (admin-contract §1.3)."""

from collections.abc import Mapping

from flyteidl.admin import launch_plan_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, types_pb2

from flightlog_types import castable, describe, literal_type_of, validate_labels, validation
from services.registry.checks.schedules import check_policy, check_schedule
from services.registry.refusals import Refusal, invalid


def check_spec(spec: launch_plan_pb2.LaunchPlanSpec) -> None:
    """What can be said without the workflow: its identifier, labels, literals and parameters.

    Raises:
        Refusal, InvalidArgument: naming the first thing that is wrong.
    """
    validation.require_identifier(spec.workflow_id if spec.HasField("workflow_id") else None, identifier_pb2.WORKFLOW)
    validate_labels(spec.labels.values)
    check_policy(spec.annotations.values)
    if spec.entity_metadata.HasField("launch_conditions"):
        raise invalid("launch conditions are not supported: launch_conditions must be unset")
    validation.validate_literal_map(spec.fixed_inputs, "fixed_inputs")
    validation.validate_parameter_map(spec.default_inputs, "default_inputs")


def expected_inputs(
    spec: launch_plan_pb2.LaunchPlanSpec, interface: interface_pb2.TypedInterface
) -> interface_pb2.ParameterMap:
    """Every input a caller may give: declared defaults, and as required what neither default nor fixed inputs cover.

    Raises:
        Refusal: INVALID_ARGUMENT for an input that the workflow lacks or declares with another type.
    """
    variables = interface.inputs.variables
    defaults = spec.default_inputs.parameters
    fixed = spec.fixed_inputs.literals
    _check_against_workflow(defaults, fixed, variables)
    complete = interface_pb2.ParameterMap()
    for name in sorted(variables):
        if name in fixed:
            continue
        if name in defaults:
            complete.parameters[name].CopyFrom(defaults[name])
        else:
            complete.parameters[name].var.CopyFrom(variables[name])
            complete.parameters[name].required = True
    return complete


def _check_against_workflow(
    defaults: Mapping[str, interface_pb2.Parameter],
    fixed: Mapping[str, literals_pb2.Literal],
    variables: Mapping[str, interface_pb2.Variable],
) -> None:
    for name in sorted(defaults):
        if name not in variables:
            raise invalid(f"unexpected default_input {name}")
        if not castable(defaults[name].var.type, variables[name].type):
            raise _wrong_type("default_input", name, variables[name].type, defaults[name].var.type)
    for name in sorted(fixed):
        if name not in variables:
            raise invalid(f"unexpected fixed_input {name}")
        given = literal_type_of(fixed[name])
        if not castable(given, variables[name].type):
            raise _wrong_type("fixed_input", name, variables[name].type, given)


def _wrong_type(what: str, name: str, expected: types_pb2.LiteralType, given: types_pb2.LiteralType) -> Refusal:
    return invalid(f"invalid {what} wrong type {name}, expected {describe(expected)}, got {describe(given)} instead")


def check_metadata(metadata: launch_plan_pb2.LaunchPlanMetadata, expected: interface_pb2.ParameterMap) -> None:
    """The schedule against the expected inputs, then the notifications.

    Raises:
        Refusal, InvalidArgument: naming the first thing that is wrong.
    """
    check_schedule(metadata.schedule, expected.parameters)
    validation.validate_notifications(metadata.notifications)
