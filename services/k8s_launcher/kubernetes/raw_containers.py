"""Pods of raw containers: volumes for inputs and outputs, and the containers that copy them (k8s-contract §1.13).

A raw container (flytekit's `ContainerTask`) is a program that knows nothing of Flyte. Before it runs, an init container
puts its inputs into files; after it has ended, a sidecar, which Kubernetes stops only then, collects what it has left.
Containers and volumes have Flyte's names; what runs in them is `services.k8s_launcher.copying`. Keys of the object
store come from a Secret and are in no pod's specification. Pure: no input or output, no clock.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from flyteidl.core import tasks_pb2

from services.k8s_launcher.copying import interfaces
from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.raw_container_settings import RawContainerSettings
from services.k8s_launcher.task_templates import NotLaunchable

UPLOADER: Final = "flyte-copilot-uploader"
DOWNLOADER: Final = "flyte-copilot-downloader"
_INPUTS: Final = "flyte-inputs"
_OUTPUTS: Final = "flyte-outputs"
# Writable also where the rest of a container's files are not.
_READY_FILE: Final = "/dev/shm/flyte-copilot-uploader"
_FORMATS: Final = tasks_pb2.DataLoadingConfig.LiteralMapFormat


def add_copying(spec: Object, task: Task, primary: str) -> None:
    """Have a raw container's data copied. Changes `spec`, the pod's; does nothing for other tasks.

    To be called when the task's containers are complete, and before a PodTemplate is laid under them. `primary` names
    the container that is the task. Raises `NotLaunchable` for a task whose data can never be copied.
    """
    config = _config(task)
    if config is None:
        return
    refusal = interfaces.refusal(task.template, config)
    if refusal:
        raise NotLaunchable("BadTaskSpecification", refusal)
    settings = task.settings.raw_containers
    input_path, output_path = interfaces.paths(config)
    before: list[Object] = []
    after: list[Object] = []
    if interfaces.has_inputs(task.template):
        mount = _mount(spec, task, primary, _INPUTS, input_path)
        after.append(_container(DOWNLOADER, settings, mount, _download(task, config, input_path)))
    if interfaces.has_outputs(task.template):
        mount = _mount(spec, task, primary, _OUTPUTS, output_path)
        uploader = _container(UPLOADER, settings, mount, _collect(task, settings, output_path))
        uploader["restartPolicy"] = "Always"
        # It must not miss that the others have ended: they start when it listens.
        uploader["startupProbe"] = {
            "exec": {"command": ["test", "-e", _READY_FILE]},
            "periodSeconds": 1,
            "failureThreshold": 300,
        }
        before.append(uploader)
        spec["terminationGracePeriodSeconds"] = settings.timeout_seconds
    if before or after:
        spec["initContainers"] = [*before, *(spec.get("initContainers") or []), *after]


def secure_copying(spec: Object, task: Task, primary: str) -> None:
    """Give the containers that copy the rights they need, as far as the pod lets them. Changes `spec`.

    To be called when all is known that operator, PodTemplate and task say of rights; what a PodTemplate says of init
    containers goes before.
    """
    if _config(task) is None:
        return
    context = _security_context(spec, primary, task.settings.raw_containers)
    for container in spec.get("initContainers") or []:
        if container.get("name") in (UPLOADER, DOWNLOADER):
            container["securityContext"] = {**copy.deepcopy(context), **(container.get("securityContext") or {})}


def _config(task: Task) -> tasks_pb2.DataLoadingConfig | None:
    config = interfaces.data_config(task.template)
    if config is None:
        return None
    settings = task.settings.raw_containers
    whole = tasks_pb2.DataLoadingConfig()
    whole.CopyFrom(config)
    whole.input_path = config.input_path or settings.input_path
    whole.output_path = config.output_path or settings.output_path
    return whole


def _mount(spec: Object, task: Task, primary: str, name: str, path: str) -> Object:
    volume: Object = {"name": name, "emptyDir": {}}
    size = _volume_size(task) or task.settings.raw_containers.volume_size
    if size:
        volume["emptyDir"]["sizeLimit"] = size
    spec["volumes"] = [*(spec.get("volumes") or []), volume]
    mount = {"name": name, "mountPath": path}
    main = _main(spec, primary)
    main["volumeMounts"] = [*(main.get("volumeMounts") or []), mount]
    return mount


def _volume_size(task: Task) -> str:
    """What the task asks for as `storage`, which is good for nothing else."""
    for resources in (task.scheduled.resources, task.template.container.resources):
        for entry in (*resources.limits, *resources.requests):
            if entry.name == tasks_pb2.Resources.STORAGE and entry.value:
                return entry.value
    return ""


def _download(task: Task, config: tasks_pb2.DataLoadingConfig, path: str) -> list[str]:
    return [
        "download",
        *("--from-remote", task.values.input_uri),
        *("--to-output-prefix", task.values.output_prefix),
        *("--to-local-dir", path),
        *("--format", _FORMATS.Name(config.format)),
        *("--input-interface", interfaces.encoded(task.template.interface.inputs)),
    ]


def _collect(task: Task, settings: RawContainerSettings, path: str) -> list[str]:
    return [
        "collect",
        *("--timeout", str(settings.timeout_seconds)),
        *("--to-raw-output", task.values.raw_output_prefix),
        *("--to-output-prefix", task.values.output_prefix),
        *("--from-local-dir", path),
        *("--interface", interfaces.encoded(task.template.interface)),
        *("--ready-file", _READY_FILE),
    ]


def _container(name: str, settings: RawContainerSettings, mount: Object, arguments: list[str]) -> Object:
    amounts = {"cpu": settings.cpu, "memory": settings.memory}
    return {
        "name": name,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": list(settings.command),
        "args": arguments,
        "workingDir": "/",
        "env": _environment(settings),
        "resources": {"requests": dict(amounts), "limits": dict(amounts)},
        "volumeMounts": [dict(mount)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _environment(settings: RawContainerSettings) -> list[Object]:
    access_key, secret_key = settings.keys
    return [
        {"name": "FLIGHTLOG_BLOBS__ENDPOINT", "value": settings.endpoint},
        {"name": "FLIGHTLOG_BLOBS__BUCKET", "value": settings.bucket},
        {"name": "FLIGHTLOG_BLOBS__REGION", "value": settings.region},
        {"name": "FLIGHTLOG_BLOBS__ACCESS_KEY", "valueFrom": access_key.source()},
        {"name": "FLIGHTLOG_BLOBS__SECRET_KEY", "valueFrom": secret_key.source()},
    ]


def _security_context(spec: Object, primary: str, settings: RawContainerSettings) -> Object:
    if settings.security_context is not None:
        return copy.deepcopy(settings.security_context)
    own: Object = _main(spec, primary).get("securityContext") or {}
    of_pod: Object = spec.get("securityContext") or {}
    if own.get("runAsNonRoot") or of_pod.get("runAsNonRoot"):
        # Files of the same user can be read whatever their mode is.
        user = own.get("runAsUser") or of_pod.get("runAsUser")
        found = {"runAsUser": user, "seccompProfile": own.get("seccompProfile")}
        return {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            **{name: value for name, value in found.items() if value},
        }
    # A program may leave files that only its own user may read, whoever that is.
    return {
        "runAsUser": 0,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
    }


def _main(spec: Object, primary: str) -> Object:
    containers: list[dict[str, Any]] = spec.get("containers") or []
    for container in containers:
        if container.get("name") == primary:
            return container
    raise NotLaunchable("BadTaskSpecification", f"the pod has no container {primary!r}, whose data is to be copied")
