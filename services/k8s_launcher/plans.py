"""From a scheduled attempt to what is to be run: the task's container, its rendered command, environment and resources.

Looks up the task template in the closure that the fact names and the literal map of the inputs only where the command
refers to it. The same for every runtime.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flyteidl.core import compiler_pb2, execution_pb2, literals_pb2, security_pb2, tasks_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobCorrupt, BlobMissing, BlobStore
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_types import quantities
from services.k8s_launcher.environment import task_environment
from services.k8s_launcher.templates import (
    TemplateError,
    TemplateValues,
    refers_to_inputs,
    refers_to_task_template,
    render,
)

_CLOSURES_KEPT = 64
_USER = execution_pb2.ExecutionError.USER
_SYSTEM = execution_pb2.ExecutionError.SYSTEM
_CPU = tasks_pb2.Resources.CPU
_MEMORY = tasks_pb2.Resources.MEMORY
_GPU = tasks_pb2.Resources.GPU
_PRIMARY = "primary_container_name"


class NotLaunchable(Exception):
    """An attempt cannot be started. `recoverable` says whether another attempt may help."""

    def __init__(self, code: str, message: str, *, system: bool = False, recoverable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.system = system
        self.recoverable = recoverable

    def error(self) -> execution_pb2.ExecutionError:
        """The same as Flyte's message."""
        return execution_pb2.ExecutionError(
            code=self.code, message=self.message, kind=_SYSTEM if self.system else _USER
        )


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


class Planner:
    """Makes plans. Keeps the closures it used last: the attempts of one workflow come together."""

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
        self._templates: OrderedDict[bytes, asyncio.Future[dict[str, tasks_pb2.TaskTemplate]]] = OrderedDict()

    async def plan(self, scheduled: AttemptScheduled) -> Plan:
        """The plan of one attempt. Raises `NotLaunchable`, or what the object store raises while it is away."""
        template = await self._template(scheduled)
        container = main_container(template, self._gpu_resource)
        if scheduled.HasField("pod_template"):
            container = overlaid(container, scheduled.pod_template, self._gpu_resource)
        values = await self._values(scheduled, template, container.command)
        inputs = await self._inputs(scheduled) if refers_to_inputs(container.command) else None
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
            # As in Kubernetes, a limit alone is a request too.
            requests={name: value for name, value in (limits | requests).items() if value > 0},
            memory_limit=int(limits.get("memory", 0)),
            accelerator=extended.gpu_accelerator.device,
            secrets=tuple(template.security_context.secrets),
        )

    async def _template(self, scheduled: AttemptScheduled) -> tasks_pb2.TaskTemplate:
        task = scheduled.task_id
        templates = await self._closure(scheduled)
        template = templates.get(_id_text(task))
        if template is None:
            raise NotLaunchable(
                "TaskTemplateMissing",
                f"the workflow at {scheduled.closure.uri} lacks the task {task.name!r} version {task.version!r}",
                system=True,
            )
        return template

    async def _closure(self, scheduled: AttemptScheduled) -> dict[str, tasks_pb2.TaskTemplate]:
        key = scheduled.closure.sha256 or scheduled.closure.uri.encode()
        pending = self._templates.get(key)
        if pending is None:
            pending = asyncio.ensure_future(self._load(scheduled))
            self._templates[key] = pending
            while len(self._templates) > _CLOSURES_KEPT:
                self._templates.popitem(last=False)
        else:
            self._templates.move_to_end(key)
        try:
            # Shielded: the one who loads may be cancelled while others wait for the same closure.
            return await asyncio.shield(pending)
        except BaseException:
            if pending.done() and self._templates.get(key) is pending:
                del self._templates[key]
            raise

    async def _load(self, scheduled: AttemptScheduled) -> dict[str, tasks_pb2.TaskTemplate]:
        try:
            content = await self.blobs.verified(scheduled.closure)
            closure = compiler_pb2.CompiledWorkflowClosure.FromString(content)
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            raise NotLaunchable(
                "TaskTemplateMissing",
                f"the compiled workflow at {scheduled.closure.uri} cannot be read: {error}",
                system=True,
                recoverable=True,
            ) from error
        return {_id_text(task.template.id): task.template for task in closure.tasks}

    async def _values(
        self, scheduled: AttemptScheduled, template: tasks_pb2.TaskTemplate, command: Sequence[str]
    ) -> TemplateValues:
        data_prefix = scheduled.output_prefix.rpartition("/")[0]
        template_uri = f"{data_prefix}/task.pb"
        if refers_to_task_template(command):
            await self.blobs.put(template_uri, template.SerializeToString())
        execution = scheduled.execution_id
        return TemplateValues(
            input_uri=scheduled.inputs.uri or f"{data_prefix}/inputs.pb",
            output_prefix=scheduled.output_prefix,
            raw_output_prefix=scheduled.raw_output_prefix,
            checkpoint_prefix=scheduled.checkpoint_prefix,
            previous_checkpoint_prefix=await self._previous_checkpoint(scheduled),
            task_template_uri=template_uri,
            generated_name=scheduled.generated_name,
            namespace=f"{execution.project}-{execution.domain}",
        )

    async def _previous_checkpoint(self, scheduled: AttemptScheduled) -> str:
        """Where the attempt before left its checkpoint, if it left one: flytekit fails where it finds none."""
        prefix = scheduled.previous_checkpoint_prefix
        # Elsewhere users keep their data with keys of their own.
        if not prefix.startswith(self.blobs.uri("")):
            return prefix
        return prefix if await self.blobs.has_any(prefix) else ""

    async def _inputs(self, scheduled: AttemptScheduled) -> literals_pb2.LiteralMap:
        if not scheduled.inputs.uri:
            return literals_pb2.LiteralMap()
        try:
            return literals_pb2.LiteralMap.FromString(await self.blobs.verified(scheduled.inputs))
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            raise NotLaunchable(
                "FailedToBuildResource", f"the inputs at {scheduled.inputs.uri} cannot be read: {error}", system=True
            ) from error


def main_container(template: tasks_pb2.TaskTemplate, gpu_resource: str) -> Container:
    """The one container a task consists of, from `container` or `k8s_pod`. Raises `NotLaunchable`."""
    target = template.WhichOneof("target")
    if target == "container":
        return _from_container(template, gpu_resource)
    if target == "k8s_pod":
        return _from_pod(template, gpu_resource)
    raise NotLaunchable(
        "BadTaskSpecification",
        f"task type {template.type!r} comes without a container: it needs a plugin or connector, "
        "and the process runtime runs containers' commands only",
    )


def _from_container(template: tasks_pb2.TaskTemplate, gpu_resource: str) -> Container:
    container = template.container
    if container.data_config.enabled and template.interface.outputs.variables:
        raise NotLaunchable(
            "BadTaskSpecification",
            f"the raw container returns outputs as files below {container.data_config.output_path!r}; "
            "the process runtime does not collect those. Write them to {{.rawOutputDataPrefix}} instead, "
            "or run the task on Kubernetes",
        )
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


def _id_text(identifier: Any) -> str:
    return "\0".join((identifier.project, identifier.domain, identifier.name, identifier.version))
