"""The pod that a task describes, in whichever of its forms, before anything is added to it (k8s-contract §1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flyteidl.core import tasks_pb2
from google.protobuf import struct_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.metadata import PRIMARY, Metadata
from services.k8s_launcher.kubernetes.pods.names import container_name
from services.k8s_launcher.kubernetes.pods.refusal import bad_specification
from services.k8s_launcher.kubernetes.pods.resources import GENERIC_GPU, Requirements
from services.k8s_launcher.kubernetes.pods.shapes import POD, misshapen

SIDECAR: Final = "sidecar"
"""Type of tasks that flytekit's pod plugin makes; they end with their primary container."""
_UNNAMED_PRIMARY: Final = "primary"


@dataclass(frozen=True)
class RawPod:
    """A pod as the task has it. `spec` is nobody else's and may be changed."""

    spec: Object
    metadata: Metadata
    primary: str
    """Name of the container that is the task."""
    of_container: bool = False
    """The task has a container and no pod: the pod is all ours."""


def raw_pod(
    template: tasks_pb2.TaskTemplate, scheduled: AttemptScheduled, *, name: str, image_pull_policy: str = ""
) -> RawPod:
    """The pod of a task: of its container, of its pod, or of its node's in the place of either.

    Args:
        name: of the object; a task's single container has it too.
        image_pull_policy: of a task's single container; "": as Kubernetes decides.

    Raises:
        NotLaunchable: the task has neither, it does not say which container is the task, or it is no pod.
    """
    if template.type == SIDECAR and template.task_type_version == 0:
        raw = _first_sidecar(template)
    elif template.type == SIDECAR and template.task_type_version == 1:
        spec, primary = plain(template.custom), _primary_of(template)
        raw = RawPod(spec, Metadata.of(template.k8s_pod.metadata), primary)
    else:
        raw = _of_target(template, name, image_pull_policy)
        over = scheduled.pod_template
        if over.HasField("pod_spec"):
            metadata = raw.metadata.under(Metadata.of(over.metadata))
            raw = RawPod(plain(over.pod_spec), metadata, over.primary_container_name or _UNNAMED_PRIMARY)
    wrong = misshapen(raw.spec, POD, "the pod's specification")
    if wrong is not None:
        raise bad_specification(wrong)
    return raw


def _of_target(template: tasks_pb2.TaskTemplate, name: str, image_pull_policy: str) -> RawPod:
    match template.WhichOneof("target"):
        case "container":
            return _of_container(template.container, container_name(name), image_pull_policy)
        case "k8s_pod" if template.k8s_pod.HasField("pod_spec"):
            pod = template.k8s_pod
            return RawPod(plain(pod.pod_spec), Metadata.of(pod.metadata), _primary_of(template))
        case "k8s_pod":
            raise bad_specification("the task's pod has no specification")
        case _:
            raise bad_specification(f"a task of type {template.type!r} has neither a container nor a pod to run")


def plain(message: struct_pb2.Struct) -> Object:
    """A struct as JSON: whole numbers are integers again, and what is null is not there."""
    return {name: _plain(value) for name, value in message.fields.items() if value.WhichOneof("kind") != "null_value"}


def _plain(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _first_sidecar(template: tasks_pb2.TaskTemplate) -> RawPod:
    custom = plain(template.custom)
    spec = custom.get("podSpec")
    if not isinstance(spec, dict):
        raise bad_specification("the sidecar task has no `podSpec`")
    labels, annotations = (_texts(custom.get(name)) for name in ("labels", "annotations"))
    return RawPod(spec, Metadata(labels, annotations), str(custom.get("primaryContainerName", "")))


def _texts(value: Any) -> Mapping[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _primary_of(template: tasks_pb2.TaskTemplate) -> str:
    if PRIMARY not in template.config:
        raise bad_specification(f"the task does not say which container of its pod it is: no `{PRIMARY}` in its config")
    return template.config[PRIMARY]


def _of_container(container: tasks_pb2.Container, name: str, image_pull_policy: str) -> RawPod:
    fields: Object = {
        "name": name,
        "image": container.image,
        "command": list(container.command),
        "args": list(container.args),
        "env": [{"name": pair.key, "value": pair.value} for pair in container.env],
        "resources": Requirements.of_message(container.resources, GENERIC_GPU).fields(),
        "imagePullPolicy": image_pull_policy,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec: Object = {"containers": [{key: value for key, value in fields.items() if value}]}
    return RawPod(spec, Metadata(), name, of_container=True)
