"""Accelerators: which nodes a task's pod must go to, and what the cluster calls the device (k8s-contract §1.11, §8.4).

As in Flyte a pod asks for `gpu_resource_name`, and labels of nodes say which device and which part of it is meant. An
operator whose cluster has it otherwise (MIG profiles as resources of their own, TPUs, GKE's labels) says so in
`accelerator_mapping`.
"""

from __future__ import annotations

import copy

from flyteidl.core import tasks_pb2

from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods.node_selection import require
from services.k8s_launcher.kubernetes.pods.resources import GENERIC_GPU, Gpu
from services.k8s_launcher.kubernetes.pods.settings import AcceleratorMapping, Fields, PodSettings


def extended_resources(task: Task) -> tasks_pb2.ExtendedResources:
    """The task's, with those of its node in their place, each for itself."""
    found = tasks_pb2.ExtendedResources()
    found.CopyFrom(task.template.extended_resources)
    over = task.scheduled.extended_resources
    if over.HasField("gpu_accelerator"):
        found.gpu_accelerator.CopyFrom(over.gpu_accelerator)
    if over.HasField("shared_memory"):
        found.shared_memory.CopyFrom(over.shared_memory)
    return found


def gpu_of(task: Task) -> Gpu:
    """What the task means by GPU."""
    pods = task.settings.pods
    mapping = _mapping(extended_resources(task).gpu_accelerator, pods)
    resource = mapping.resource_name if mapping is not None else None
    return Gpu(resource or pods.gpu_resource_name, frozenset({GENERIC_GPU, pods.gpu_resource_name}))


def gpu_resource(task: Task) -> str:
    """What the cluster calls it."""
    return gpu_of(task).resource


def select_accelerator(spec: Object, task: Task) -> None:
    """Send a pod to nodes with the accelerator that its task names. Changes `spec`.

    Nothing happens unless a container has a limit for the device: an accelerator without a GPU asks for nothing.
    """
    accelerator, pods = extended_resources(task).gpu_accelerator, task.settings.pods
    if not _asks_for(spec, gpu_resource(task)):
        return
    mapping = _mapping(accelerator, pods)
    if mapping is not None:
        selector: dict[str, str] = spec.get("nodeSelector") or {}
        labels = {name: _filled(value, accelerator) for name, value in mapping.node_selector.items()}
        if labels:
            spec["nodeSelector"] = {**selector, **labels}
        tolerate(spec, mapping.tolerations)
        return
    requirements, tolerations = _device(accelerator, pods)
    requirements_of_part, tolerations_of_part = _part(accelerator, pods)
    require(spec, [*requirements, *requirements_of_part])
    tolerate(spec, [*tolerations, *tolerations_of_part])


def unheeded(spec: Object, task: Task) -> str:
    """A word to the user whose accelerator changes nothing; "" when it does, or none is named."""
    device, resource = extended_resources(task).gpu_accelerator.device, gpu_resource(task)
    if not device or _asks_for(spec, resource):
        return ""
    return f"the accelerator {device} is not heeded, since no container asks for {resource}"


def tolerate(spec: Object, tolerations: list[Fields]) -> None:
    """Let a pod go to nodes with these taints too. Changes `spec`."""
    if tolerations:
        spec["tolerations"] = [*(spec.get("tolerations") or []), *copy.deepcopy(tolerations)]


def _device(accelerator: tasks_pb2.GPUAccelerator, pods: PodSettings) -> tuple[list[Fields], list[Fields]]:
    """What nodes must have, and the taints they may have, for the kind of device."""
    if not accelerator.device:
        return [], []
    return _labelled(pods.gpu_device_node_label, accelerator.device)


def _part(accelerator: tasks_pb2.GPUAccelerator, pods: PodSettings) -> tuple[list[Fields], list[Fields]]:
    """The same for the part of the device that is asked for."""
    label = pods.gpu_partition_size_node_label
    match accelerator.WhichOneof("partition_size_value"):
        case "partition_size":
            return _labelled(label, accelerator.partition_size)
        case "unpartitioned" if accelerator.unpartitioned:
            whole = pods.gpu_unpartitioned_node_selector_requirement or {"key": label, "operator": "DoesNotExist"}
            toleration = pods.gpu_unpartitioned_toleration
            return [whole], [toleration] if toleration is not None else []
        case _:
            return [], []


def _labelled(label: str, value: str) -> tuple[list[Fields], list[Fields]]:
    return (
        [{"key": label, "operator": "In", "values": [value]}],
        [{"key": label, "operator": "Equal", "value": value, "effect": "NoSchedule"}],
    )


def _mapping(accelerator: tasks_pb2.GPUAccelerator, pods: PodSettings) -> AcceleratorMapping | None:
    fits = [each for each in pods.accelerator_mapping if each.device == accelerator.device]
    exact = [each for each in fits if each.partition_size is not None and each.partition_size == _size(accelerator)]
    general = [each for each in fits if each.partition_size is None]
    return next(iter((*exact, *general)), None)


def _size(accelerator: tasks_pb2.GPUAccelerator) -> str | None:
    return accelerator.partition_size or None


def _filled(text: str, accelerator: tasks_pb2.GPUAccelerator) -> str:
    return text.replace("{device}", accelerator.device).replace("{partition_size}", accelerator.partition_size)


def _asks_for(spec: Object, resource: str) -> bool:
    limits: list[Object] = [(each.get("resources") or {}).get("limits") or {} for each in spec["containers"]]
    return any(resource in each for each in limits)
