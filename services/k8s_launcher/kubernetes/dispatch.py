"""Which plugin runs tasks of a type: those of operators by their types, pods for all that have a container
(k8s-contract §0, §5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from flyteidl.core import tasks_pb2

from services.k8s_launcher.kubernetes.objects import Kind, Plugin
from services.k8s_launcher.task_templates import NotLaunchable

_OPERATORS: Final[Mapping[str, str]] = {
    "PyTorchJob": "the Kubeflow training operator",
    "TFJob": "the Kubeflow training operator",
    "MPIJob": "the Kubeflow training operator",
    "RayJob": "the KubeRay operator",
    "SparkApplication": "the Spark operator",
    "DaskJob": "the Dask operator",
}


@dataclass(frozen=True)
class Dispatch:
    """The plugins by the types of tasks."""

    by_type: Mapping[str, Plugin]
    pods: Plugin
    """Of all other types, as far as they come with a container."""

    def kinds(self) -> Iterable[Kind]:
        """All kinds of objects that run attempts."""
        return dict.fromkeys(plugin.kind for plugin in (self.pods, *self.by_type.values()))

    def plugin(self, task_type: str) -> Plugin:
        """The plugin of a task type."""
        return self.by_type.get(task_type, self.pods)

    def plugin_for(self, template: tasks_pb2.TaskTemplate) -> Plugin:
        """The plugin of a task. Raises `NotLaunchable` when none can run it."""
        plugin = self.plugin(template.type)
        if plugin is self.pods and template.WhichOneof("target") is None and not _has_pod(template):
            raise NotLaunchable(
                "TaskTypeUnknown",
                f"nothing here runs tasks of type {template.type!r}, and the task comes without a container: it needs "
                "a connector, or a plugin of this launcher",
            )
        return plugin


def operator_missing(task_type: str, kind: Kind) -> NotLaunchable:
    """The error of a task whose kind of object the cluster does not know."""
    operator = _OPERATORS.get(kind.kind, f"the operator of {kind.kind}")
    return NotLaunchable(
        "OperatorMissing",
        f"tasks of type {task_type!r} run as {kind.kind} of {kind.api_version}, which this cluster does not have: "
        f"install {operator}",
    )


def _has_pod(template: tasks_pb2.TaskTemplate) -> bool:
    """Old sidecar tasks have their pod among the custom fields."""
    return template.type == "sidecar" and bool(template.custom.fields)
