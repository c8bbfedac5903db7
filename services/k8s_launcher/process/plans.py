"""From a scheduled attempt to its process: the task's container, its rendered command, environment, resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from flyteidl.core import security_pb2, tasks_pb2
from google.protobuf.json_format import MessageToDict

from flightlog_blobs import BlobStore
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_types import quantities
from services.k8s_launcher.environment import task_environment
from services.k8s_launcher.process.platform_resources import within_platform
from services.k8s_launcher.process.raw_containers import RawContainer, raw_container
from services.k8s_launcher.task_templates import NotLaunchable, TaskTemplates
from services.k8s_launcher.templates import TemplateError, render

_CPU = tasks_pb2.Resources.CPU
_MEMORY = tasks_pb2.Resources.MEMORY
_GPU = tasks_pb2.Resources.GPU
_PRIMARY = "primary_container_name"


@dataclass(frozen=True)
class Container:
    """What a task template says about its main container, whichever of its forms it is written in."""

    image: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    requests: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    limits: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])


@dataclass(frozen=True)
class Plan:
    """What is to be run. `environment` lacks what the machine gives, and the values of `secrets`.

    `requests` by Kubernetes resource name, in base units (cores, bytes, devices); `memory_limit` in bytes, 0 for none.
    """

    image: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    requests: Mapping[str, Decimal]
    memory_limit: int
    accelerator: str
    secrets: tuple[security_pb2.Secret, ...] = ()
    raw: RawContainer | None = None


class Planner:
    """Makes plans."""

    def __init__(
        self,
        blobs: BlobStore,
        *,
        environment: Mapping[str, str],
        base_environment: Mapping[str, str] | None = None,
        gpu_resource: str = "nvidia.com/gpu",
    ) -> None:
        self.blobs = blobs
        self._environment = environment
        self._base_environment = base_environment
        self._gpu_resource = gpu_resource
        self._templates = TaskTemplates(blobs)

    async def plan(self, scheduled: AttemptScheduled, work: Path) -> Plan:
        """The plan of one attempt that works in the folder `work`.

        Raises `NotLaunchable`, or what the object store raises while it is away.
        """
        template = await self._templates.template(scheduled)
        container = main_container(template, self._gpu_resource)
        if scheduled.HasField("pod_template"):
            container = overlaid(container, scheduled.pod_template, self._gpu_resource)
        execution = scheduled.execution_id
        namespace = f"{execution.project}-{execution.domain}"
        values = await self._templates.values(scheduled, template, container.command, namespace)
        raw = raw_container(template, values, work)
        if raw is not None:
            # Before placeholders are replaced: what a user's value says is none of our business.
            container = replace(
                container,
                command=tuple(raw.relocated(word) for word in container.command),
                environment=tuple((name, raw.relocated(value)) for name, value in container.environment),
            )
        inputs = await self._templates.inputs(scheduled, container.command)
        try:
            argv = render(container.command, values, inputs)
        except TemplateError as error:
            raise NotLaunchable("FailedToBuildResource", str(error)) from None
        if not argv:
            raise NotLaunchable(
                "BadTaskSpecification",
                f"the container of image {container.image!r} names no command: the image's own entry point is unknown "
                "here, because the process runtime runs commands of this machine and no images",
            )
        requests, limits = dict(container.requests), dict(container.limits)
        if scheduled.HasField("resources"):
            # What the engine resolved (node overrides, platform defaults) goes before what the template says.
            requests |= _quantities(scheduled.resources.requests, self._gpu_resource)
            limits |= _quantities(scheduled.resources.limits, self._gpu_resource)
        # As in Kubernetes, a limit alone is a request too.
        asked = {name: value for name, value in (limits | requests).items() if value > 0}
        memory_limit = int(limits.get("memory", 0))
        if scheduled.HasField("task_resources"):
            asked, memory_limit = within_platform(asked, memory_limit, scheduled.task_resources, self._gpu_resource)
        extended = (
            scheduled.extended_resources if scheduled.HasField("extended_resources") else template.extended_resources
        )
        return Plan(
            image=scheduled.container_image or container.image,
            argv=tuple(argv),
            environment=task_environment(
                scheduled,
                container=container.environment,
                defaults=self._environment,
                base=self._base_environment,
            ),
            requests=asked,
            memory_limit=memory_limit,
            accelerator=extended.gpu_accelerator.device,
            secrets=tuple(template.security_context.secrets),
            raw=raw,
        )


def main_container(template: tasks_pb2.TaskTemplate, gpu_resource: str) -> Container:
    """The one container a task consists of, from `container` or `k8s_pod`. Raises `NotLaunchable`."""
    target = template.WhichOneof("target")
    if target == "container":
        return _from_container(template, gpu_resource)
    if target == "k8s_pod":
        return _from_pod(template, gpu_resource)
    raise NotLaunchable(
        "BadTaskSpecification",
        f"task type {template.type!r} comes without a container: no connector that is set (launcher.connectors) lists "
        "the type, and the process runtime itself runs containers' commands only",
    )


def _from_container(template: tasks_pb2.TaskTemplate, gpu_resource: str) -> Container:
    container = template.container
    return Container(
        image=container.image,
        command=(*container.command, *container.args),
        environment=tuple((pair.key, pair.value) for pair in container.env),
        requests=_quantities(container.resources.requests, gpu_resource),
        limits=_quantities(container.resources.limits, gpu_resource),
    )


def overlaid(container: Container, pod: tasks_pb2.K8sPod, gpu_resource: str) -> Container:
    """A task's container with a node's own pod template laid over it (engine-semantics §2.9). Raises `NotLaunchable`.

    What the primary container of the pod sets takes the place of the task's, variables one by one; its resources count
    where the task asks for none.
    """
    name = pod.primary_container_name or "primary"
    _refuse_others(pod, name)
    over = _primary(pod, name, gpu_resource)
    if over is None:
        return container
    return Container(
        image=over.image or container.image,
        command=over.command or container.command,
        environment=(*container.environment, *over.environment),
        requests={**over.requests, **container.requests},
        limits={**over.limits, **container.limits},
    )


def _from_pod(template: tasks_pb2.TaskTemplate, gpu_resource: str) -> Container:
    name = template.config.get(_PRIMARY, "") or template.k8s_pod.primary_container_name
    if not name:
        raise NotLaunchable("BadTaskSpecification", f"the pod template names no primary container ({_PRIMARY})")
    found = _primary(template.k8s_pod, name, gpu_resource)
    if found is None:
        raise NotLaunchable("PrimaryContainerNotFound", f"the pod template has no container {name!r}")
    _refuse_others(template.k8s_pod, name)
    return found


def _refuse_others(pod: tasks_pb2.K8sPod, name: str) -> None:
    specification: dict[str, Any] = MessageToDict(pod.pod_spec)
    containers = (*specification.get("containers", []), *specification.get("initContainers", []))
    others = [str(container.get("name")) for container in containers if container.get("name") != name]
    if others:
        raise NotLaunchable(
            "BadTaskSpecification",
            f"the pod has more containers than {name!r} ({', '.join(others)}); the process runtime runs one",
        )


def _primary(pod: tasks_pb2.K8sPod, name: str, gpu_resource: str) -> Container | None:
    """The container of a pod that is the task; None when the pod has no container of that name."""
    specification: dict[str, Any] = MessageToDict(pod.pod_spec)
    containers: list[dict[str, Any]] = specification.get("containers", [])
    found = next((container for container in containers if container.get("name") == name), None)
    if found is None:
        return None
    resources: dict[str, Any] = found.get("resources", {})
    variables: list[dict[str, Any]] = found.get("env", [])
    return Container(
        image=str(found.get("image", "")),
        command=tuple(str(word) for word in (*found.get("command", []), *found.get("args", []))),
        environment=tuple((str(item["name"]), str(item["value"])) for item in variables if "value" in item),
        requests=_pod_quantities(resources.get("requests", {}), gpu_resource),
        limits=_pod_quantities(resources.get("limits", {}), gpu_resource),
    )


def _quantities(entries: Sequence[tasks_pb2.Resources.ResourceEntry], gpu_resource: str) -> dict[str, Decimal]:
    names = {_CPU: "cpu", _MEMORY: "memory", _GPU: gpu_resource}
    return {names[entry.name]: _parsed(entry.value) for entry in entries if entry.name in names}


def _pod_quantities(entries: Mapping[str, Any], gpu_resource: str) -> dict[str, Decimal]:
    ignored = ("ephemeral-storage", "storage")
    return {
        gpu_resource if name == "gpu" else name: _parsed(_number_text(value))
        for name, value in entries.items()
        if name not in ignored
    }


def _number_text(value: Any) -> str:
    # Numbers of a protobuf Struct are floats; `2.0` is the quantity 2.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parsed(text: str) -> Decimal:
    try:
        return quantities.parse(text)
    except quantities.BadQuantity as error:
        raise NotLaunchable("BadTaskSpecification", f"resource quantity {text!r}: {error}") from None
