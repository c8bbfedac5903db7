"""Which plugin runs tasks of a type: those of operators by their types, pods for all that have a container
(k8s-contract §0, §5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flyteidl.core import tasks_pb2

from services.k8s_launcher.kubernetes.objects import Kind, Plugin
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from services.k8s_launcher.kubernetes.pods.plugin import CONTAINERS, SIDECARS
from services.k8s_launcher.task_templates import NotLaunchable

_SIDECAR: Final = "sidecar"
_PODS: Final = (CONTAINERS, SIDECARS)
_OPERATORS: Final = {task_type: operator for operator in OPERATORS for task_type in operator.task_types}


def kinds() -> Iterable[Kind]:
    """All kinds of objects that run attempts."""
    return dict.fromkeys((CONTAINERS.kind, *(operator.plugin.kind for operator in OPERATORS)))


def operator_types() -> Iterable[str]:
    """All task types that operators run."""
    return _OPERATORS.keys()


def plugin(task_type: str) -> Plugin:
    """The plugin of a task type."""
    operator = _OPERATORS.get(task_type)
    if operator is not None:
        return operator.plugin
    return SIDECARS if task_type == _SIDECAR else CONTAINERS


def plugin_for(template: tasks_pb2.TaskTemplate) -> Plugin:
    """The plugin of a task. Raises `NotLaunchable` when none can run it."""
    found = plugin(template.type)
    # Old sidecar tasks have their pod among the custom fields.
    has_pod = template.WhichOneof("target") is not None or (template.type == _SIDECAR and template.custom.fields)
    if found in _PODS and not has_pod:
        raise NotLaunchable(
            "TaskTypeUnknown",
            f"nothing here runs tasks of type {template.type!r}, and the task comes without a container: no connector "
            "that is set (launcher.connectors) lists the type, and no plugin of this launcher is for it",
        )
    return found


def not_installed(task_type: str, kind: Kind) -> NotLaunchable:
    """The error of a task whose kind of object the cluster does not know: it says what to install."""
    operator = _OPERATORS.get(task_type)
    if operator is not None:
        return operator.not_installed(task_type)
    message = f"tasks of type {task_type!r} run as {kind.kind} of {kind.api_version}, which this cluster does not know"
    return NotLaunchable("OperatorNotInstalled", message)
