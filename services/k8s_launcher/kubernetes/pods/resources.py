"""What containers ask for, and what they get (k8s-contract §1.8).

From the strongest: a node's override, the container's own, the pod template's, the platform's defaults; then no more
than the platform's limits. What is zero is not asked for. Resources that the platform has no word for pass through as
they are: `google.com/tpu`, `nvidia.com/mig-1g.10gb`, `rdma/hca`. Amounts are Kubernetes quantities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from flyteidl.admin import matchable_resource_pb2
from flyteidl.core import tasks_pb2

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods.refusal import bad_specification
from services.k8s_launcher.kubernetes.pods.settings import TaskResources

CPU: Final = "cpu"
MEMORY: Final = "memory"
EPHEMERAL_STORAGE: Final = "ephemeral-storage"
GENERIC_GPU: Final = "gpu"
"""How flytekit writes a GPU into pods, whatever the cluster calls it."""

_Name = tasks_pb2.Resources.ResourceName
_SIDES: Final = ("requests", "limits")

Amounts = dict[str, str]
"""Quantities by the name that Kubernetes has for the resource."""


@dataclass(frozen=True)
class Gpu:
    """What a task means by GPU."""

    resource: str
    """How this cluster calls it."""
    aliases: frozenset[str] = frozenset({GENERIC_GPU})
    """How pods may call it besides."""

    def named(self, name: str) -> str:
        """The cluster's name of a resource."""
        return self.resource if name in self.aliases else name


@dataclass(frozen=True)
class Requirements:
    """What a container asks for, and the most that it may use."""

    requests: Mapping[str, str]
    limits: Mapping[str, str]

    @staticmethod
    def of_message(resources: tasks_pb2.Resources, gpu: str) -> Requirements:
        """Of a task's or a node's resources; GPUs are called `gpu`. Raises `NotLaunchable`."""
        return Requirements(_of_entries(resources.requests, gpu), _of_entries(resources.limits, gpu))

    @staticmethod
    def of_container(container: Object | None, gpu: Gpu) -> Requirements:
        """Of a container in a pod. Raises `NotLaunchable`."""
        found: Object = (container or {}).get("resources") or {}
        requests, limits = (_of_fields(found.get(side) or {}, gpu) for side in _SIDES)
        for text in (*requests.values(), *limits.values()):
            _amount(text)
        return Requirements(requests, limits)

    def under(self, over: Requirements) -> Requirements:
        """Both, resource by resource; `over` wins."""
        return Requirements({**self.requests, **over.requests}, {**self.limits, **over.limits})

    def fitting(self, said: Requirements, gpu: str) -> Requirements:
        """The same without requests above their limits, which Kubernetes refuses: what is `said` stays, and the other
        side follows it. Requests of GPUs are their limits."""
        requests, limits = dict(self.requests), dict(self.limits)
        for name in _named(self):
            request, limit = _amount(requests.get(name, "")), _amount(limits.get(name, ""))
            if name != gpu and (request is None or limit is None or request.value <= limit.value):
                continue
            followed = limit if name in said.limits or request is None else request
            if followed is not None:
                requests[name] = limits[name] = followed.text
        return Requirements(requests, limits)

    def fields(self) -> Object:
        """As part of a container; nothing of what is empty."""
        sides = {"requests": dict(self.requests), "limits": dict(self.limits)}
        return {side: amounts for side, amounts in sides.items() if amounts}


@dataclass(frozen=True)
class Platform:
    """What the platform gives, and the most that it gives."""

    defaults: Mapping[str, str]
    limits: Mapping[str, str]
    gpu: str
    """How this cluster calls what the task means by GPU."""

    @staticmethod
    def of(task: Task, gpu: str) -> Platform:
        """That of the task's execution, else that of the settings. Raises `NotLaunchable`."""
        scheduled, settings = task.scheduled, task.settings.task_resources
        if not scheduled.HasField("task_resources"):
            return Platform(_of_settings(settings.defaults, gpu), _of_settings(settings.limits, gpu), gpu)
        found = scheduled.task_resources
        return Platform(_of_specification(found.defaults, gpu), _of_specification(found.limits, gpu), gpu)

    def assigned(self, asked: Requirements, *, with_devices: bool = False) -> Requirements:
        """What a task's own container gets: one side stands for the other, the defaults for both.

        Args:
            with_devices: defaults of GPUs and of ephemeral storage count too, though nobody asked for any.
        """
        given = {CPU, MEMORY, *(self._scarce() if with_devices else self._scarce() & _named(asked))}
        return self._each(asked, given, self.defaults)

    def within(self, asked: Requirements) -> Requirements:
        """What other containers of a task's pod get: what they ask for, as far as the limits allow.

        A container that says nothing of CPU or memory says zero, which is no limit, as in Flyte: where a quota limits
        them, Kubernetes refuses pods with containers that say nothing.
        """
        given = self._each(asked, {CPU, MEMORY, *self._scarce()}, None)
        nothing = {name: "0" for name in (CPU, MEMORY) if name not in _named(given)}
        return Requirements(nothing, nothing).under(given)

    def _scarce(self) -> set[str]:
        return {EPHEMERAL_STORAGE, self.gpu}

    def _each(self, asked: Requirements, names: set[str], defaults: Mapping[str, str] | None) -> Requirements:
        requests, limits = dict(asked.requests), dict(asked.limits)
        for name in names:
            request, limit = _amount(requests.pop(name, "")), _amount(limits.pop(name, ""))
            if defaults is not None:
                request = request or limit or _amount(defaults.get(name, ""))
                limit = limit or request
            if name == self.gpu:
                # Kubernetes refuses requests of devices that are others than their limits.
                request = limit = limit or request
            most = _amount(self.limits.get(name, ""))
            request, limit = _at_most(request, most), _at_most(limit, most)
            request = _at_most(request, limit)
            if request is not None:
                requests[name] = request.text
            if limit is not None:
                limits[name] = limit.text
        return Requirements(dict(sorted(requests.items())), dict(sorted(limits.items())))


@dataclass(frozen=True)
class _Amount:
    value: Decimal
    text: str


def with_gpus_named(spec: Object, gpu: Gpu) -> Object:
    """A pod's spec in which GPUs have the name that this cluster has for them."""
    result = dict(spec)
    for kind in ("initContainers", "containers"):
        if spec.get(kind):
            result[kind] = [_with_gpus_named(container, gpu) for container in spec[kind]]
    return result


def _with_gpus_named(container: Object, gpu: Gpu) -> Object:
    found: Object = container.get("resources") or {}
    sides = {side: _of_fields(found[side], gpu) for side in _SIDES if found.get(side)}
    return {**container, "resources": {**found, **sides}} if sides else container


def _at_most(amount: _Amount | None, most: _Amount | None) -> _Amount | None:
    return most if amount is not None and most is not None and amount.value > most.value else amount


def _amount(text: str) -> _Amount | None:
    """None for what is not said, and for nothing."""
    if not text:
        return None
    try:
        value = quantities.parse(text)
    except quantities.BadQuantity as error:
        raise bad_specification(f"resource quantity {text!r}: {error}") from None
    return _Amount(value, quantities.canonical(text)) if value else None


def _named(requirements: Requirements) -> set[str]:
    return {*requirements.requests, *requirements.limits}


def _of_entries(entries: Iterable[tasks_pb2.Resources.ResourceEntry], gpu: str) -> Amounts:
    names = {_Name.CPU: CPU, _Name.MEMORY: MEMORY, _Name.EPHEMERAL_STORAGE: EPHEMERAL_STORAGE, _Name.GPU: gpu}
    # Storage is not heeded, as in Flyte.
    amounts = {names[entry.name]: _amount(entry.value) for entry in entries if entry.name in names}
    return {name: amount.text for name, amount in amounts.items() if amount is not None}


def _of_fields(amounts: Mapping[str, Any], gpu: Gpu) -> Amounts:
    return {gpu.named(name): str(value) for name, value in amounts.items()}


def _of_settings(amounts: TaskResources, gpu: str) -> Amounts:
    said = {
        CPU: amounts.cpu,
        MEMORY: amounts.memory,
        EPHEMERAL_STORAGE: amounts.ephemeral_storage,
        gpu: amounts.gpu,
    }
    return {name: text for name, text in said.items() if text is not None}


def _of_specification(amounts: matchable_resource_pb2.TaskResourceSpec, gpu: str) -> Amounts:
    said = {
        CPU: amounts.cpu,
        MEMORY: amounts.memory,
        EPHEMERAL_STORAGE: amounts.ephemeral_storage,
        gpu: amounts.gpu,
    }
    return {name: text for name, text in said.items() if text}
