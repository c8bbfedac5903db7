"""Checks of a task at registration (admin-contract §1.1), in Flyte's order; the compiler's own come after these."""

from collections.abc import Iterator, Mapping

from flyteidl.core import identifier_pb2, tasks_pb2
from google.protobuf import struct_pb2

from flightlog_types import validate_resources
from services.registry.refusals import missing

_POD_RESOURCES = {
    "cpu": tasks_pb2.Resources.CPU,
    "memory": tasks_pb2.Resources.MEMORY,
    "ephemeral-storage": tasks_pb2.Resources.EPHEMERAL_STORAGE,
    "gpu": tasks_pb2.Resources.GPU,
}
"""What Flyte checks of a pod's containers, by Kubernetes' names."""


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
            for container in _containers(template.k8s_pod.pod_spec):
                validate_resources(identifier, _resources(container), platform_limits)
        case _:
            pass


def _containers(pod_spec: struct_pb2.Struct) -> Iterator[struct_pb2.Struct]:
    """The containers that are written as such; the compiler refuses a pod whose list holds anything else."""
    for container in pod_spec.fields["containers"].list_value.values if "containers" in pod_spec.fields else ():
        yield container.struct_value


def _resources(container: struct_pb2.Struct) -> tasks_pb2.Resources:
    resources = tasks_pb2.Resources()
    given = container.fields["resources"].struct_value if "resources" in container.fields else struct_pb2.Struct()
    for kind, entries in (("requests", resources.requests), ("limits", resources.limits)):
        amounts = given.fields[kind].struct_value.fields if kind in given.fields else {}
        for name in sorted(amounts.keys() & _POD_RESOURCES.keys()):
            entries.add(name=_POD_RESOURCES[name], value=_quantity(amounts[name]))
    return resources


def _quantity(value: struct_pb2.Value) -> str:
    """Kubernetes takes a quantity as text or as a number."""
    return f"{value.number_value:g}" if value.WhichOneof("kind") == "number_value" else value.string_value
