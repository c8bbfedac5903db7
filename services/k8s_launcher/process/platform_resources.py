"""What the platform gives a task that asks for nothing, and the most that it gives, where attributes say so."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from flyteidl.admin.matchable_resource_pb2 import TaskResourceAttributes, TaskResourceSpec

from flightlog_types import quantities
from services.k8s_launcher.task_templates import NotLaunchable

_CPU, _MEMORY = "cpu", "memory"


def within_platform(
    requests: Mapping[str, Decimal], memory_limit: int, attributes: TaskResourceAttributes, gpu_resource: str
) -> tuple[dict[str, Decimal], int]:
    """Requests completed and cut, and the memory limit (k8s-contract §1.8). Devices are not given to who asks for none.

    Args:
        requests: by Kubernetes resource name.
        memory_limit: in bytes, 0 for none.
        attributes: TASK_RESOURCE attributes of the execution; an amount of zero is none.

    Raises:
        NotLaunchable: an amount is no quantity.
    """
    defaults, limits = _amounts(attributes.defaults, gpu_resource), _amounts(attributes.limits, gpu_resource)
    complete = {name: defaults[name] for name in (_CPU, _MEMORY) if name in defaults} | dict(requests)
    within = {name: min(amount, limits.get(name, amount)) for name, amount in complete.items()}
    most = int(limits.get(_MEMORY, 0))
    return within, min(memory_limit, most) if memory_limit and most else memory_limit or most


def _amounts(spec: TaskResourceSpec, gpu_resource: str) -> dict[str, Decimal]:
    given = {_CPU: spec.cpu, _MEMORY: spec.memory, gpu_resource: spec.gpu}
    try:
        amounts = {name: quantities.parse(text) for name, text in given.items() if text}
    except quantities.BadQuantity as error:
        raise NotLaunchable("BadTaskSpecification", f"task resources of the platform: {error}") from None
    return {name: amount for name, amount in amounts.items() if amount > 0}
