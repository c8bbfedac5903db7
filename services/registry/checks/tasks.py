"""Checks of a task at registration (admin-contract §1.1), in Flyte's order; the compiler's own come after these."""

from collections.abc import Mapping

from flyteidl.core import identifier_pb2, tasks_pb2

from flightlog_types import validate_resources
from services.registry.refusals import missing


def check_template(
    identifier: identifier_pb2.Identifier, template: tasks_pb2.TaskTemplate, platform_limits: Mapping[int, str]
) -> None:
    """Required fields, then what the target needs.

    Args:
        identifier: of the task, for the messages.
        template: as the client sent it.
        platform_limits: the most a task may ask for, by `Resources.ResourceName`.

    Raises:
        Refusal, InvalidArgument: naming the first thing that is wrong.
    """
    if not template.type:
        raise missing("type")
    if not template.HasField("metadata"):
        raise missing("metadata")
    if template.metadata.HasField("runtime") and not template.metadata.runtime.version:
        raise missing("runtime version")
    if not template.HasField("interface"):
        raise missing("typed interface")
    match template.WhichOneof("target"):
        case "container":
            if not template.container.image:
                raise missing("image")
            validate_resources(identifier, template.container.resources, platform_limits)
        case "k8s_pod":
            if not template.k8s_pod.HasField("pod_spec"):
                raise missing("pod_spec")
        case _:
            pass
