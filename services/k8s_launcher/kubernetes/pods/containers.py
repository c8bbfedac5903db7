"""What each container of a task's pod gets: its command with placeholders replaced, variables, resources
(k8s-contract §1.6 to §1.8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from services.k8s_launcher.environment import task_environment
from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods.accelerators import gpu_of
from services.k8s_launcher.kubernetes.pods.merge import template_container
from services.k8s_launcher.kubernetes.pods.refusal import bad_specification
from services.k8s_launcher.kubernetes.pods.resources import Platform, Requirements
from services.k8s_launcher.kubernetes.pods.specification import RawPod
from services.k8s_launcher.templates import TemplateError, render

_LINK_TYPE: Final = "link_type"


def complete_containers(raw: RawPod, task: Task) -> None:
    """Complete all containers of a task's pod. Changes `raw.spec`.

    Raises `NotLaunchable`: a command refers to an input that is not there, an amount of a resource is none, or the
    container that is the task is missing.
    """
    variables, sources = environment(task), environment_sources(task)
    gpu = gpu_of(task)
    platform = Platform.of(task, gpu.resource)
    over = Requirements.of_message(task.scheduled.resources, gpu.resource)
    base = [{"name": name, "value": value} for name, value in task.base_environment.items()]
    for kind in ("initContainers", "containers"):
        init = kind == "initContainers"
        for container in raw.spec.get(kind) or []:
            primary = not init and container.get("name") == raw.primary
            _render(container, task)
            _set(container, "env", [*base, *(container.get("env") or []), *variables])
            _set(container, "envFrom", [*(container.get("envFrom") or []), *sources])
            under = Requirements.of_container(
                template_container(task.pod_template, container.get("name", ""), primary=primary, init=init), gpu
            )
            own = Requirements.of_container(container, gpu)
            if primary or init:
                asked = under.under(own).under(over)
                given = platform.assigned(asked, with_devices=raw.of_container)
            else:
                given = platform.within(under.under(own))
            # Claims of dynamic resources stay.
            _set(container, "resources", {**_claims(container), **given.fields()})
    if not any(container.get("name") == raw.primary for container in raw.spec.get("containers") or []):
        raise bad_specification(f"the pod has no container {raw.primary!r}, which is to be the task's")


def environment(task: Task) -> list[Object]:
    """Variables of every container after its own, in their order (k8s-contract §1.7)."""
    pods, scheduled = task.settings.pods, task.scheduled
    found = task_environment(
        scheduled, container=(), defaults={**pods.variables(), **dict(sorted(task.environment.items()))}
    )
    if pods.console_url and _LINK_TYPE in task.template.config:
        execution = scheduled.execution_id
        found["FLYTE_EXECUTION_URL"] = (
            f"{pods.console_url.rstrip('/')}/projects/{execution.project}/domains/{execution.domain}"
            f"/executions/{execution.name}/nodeId/{scheduled.node_id}/nodes"
        )
    last = {name: entry for name, entry in task.secret_environment.items() if name not in task.environment}
    return [
        *({"name": name, "value": value} for name, value in found.items() if name not in last),
        *({"name": name, "valueFrom": entry.source()} for name, entry in sorted(last.items())),
    ]


def environment_sources(task: Task) -> list[Object]:
    """Secrets and config maps whose keys are variables of every container, where they exist."""
    pods = task.settings.pods
    secrets = [{"secretRef": {"name": name, "optional": True}} for name in pods.default_env_from_secrets]
    maps = [{"configMapRef": {"name": name, "optional": True}} for name in pods.default_env_from_configmaps]
    return [*secrets, *maps]


def rendered(words: Sequence[str], task: Task) -> list[str]:
    """A command with its placeholders replaced. Raises `NotLaunchable`.

    `$(NAME)` and `$$` in a command are Kubernetes' to replace; in a value they are the value's.
    """
    try:
        return render(words, task.values, task.inputs, written=lambda value: value.replace("$", "$$"))
    except TemplateError as error:
        raise bad_specification(str(error)) from None


def _render(container: Object, task: Task) -> None:
    for name in ("command", "args"):
        words: list[Any] = container.get(name) or []
        _set(container, name, rendered([str(word) for word in words], task))


def _claims(container: Object) -> Object:
    resources: Object = container.get("resources") or {}
    return {name: value for name, value in resources.items() if name not in ("requests", "limits")}


def _set(container: Object, name: str, value: Any) -> None:
    if value:
        container[name] = value
    else:
        container.pop(name, None)
