"""What a request to create an execution must be before anything is looked up (admin-contract §4.1)."""

from flyteidl.admin.execution_pb2 import ExecutionCreateRequest
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, TASK
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_types import validate_labels, validation
from flightlog_types.invalid import InvalidArgument


def check_place(request: ExecutionCreateRequest) -> None:
    """Project and domain are named.

    Raises:
        InvalidArgument: one of them is empty.
    """
    validation.require_text(request.project, "project")
    validation.require_text(request.domain, "domain")


def check_request(request: ExecutionCreateRequest) -> None:
    """Name, spec, launch plan id, inputs, notifications and labels, in Flyte's order.

    Raises:
        InvalidArgument: naming the first thing that is wrong.
    """
    if request.name:
        # Flyte compares and reports the name in lower case (recorded).
        validation.require_execution_name(request.name.lower())
    spec = validation.require_message(request.spec if request.HasField("spec") else None, "spec")
    launch = validation.require_identifier_parts(spec.launch_plan if spec.HasField("launch_plan") else None)
    if launch.resource_type not in (LAUNCH_PLAN, TASK):
        raise InvalidArgument(
            f"unexpected resource type {launch.resource_type} of the launch plan: "
            "an execution starts from a launch plan or a task"
        )
    validation.validate_literal_map(given_inputs(request), "inputs")
    validation.validate_notifications(spec.notifications.notifications)
    validate_labels(spec.labels.values)


def given_inputs(request: ExecutionCreateRequest) -> LiteralMap:
    """What the caller gave: `inputs`, or `spec.inputs` where those are empty (the console sends only these, T42)."""
    return request.inputs if request.inputs.literals else request.spec.inputs
