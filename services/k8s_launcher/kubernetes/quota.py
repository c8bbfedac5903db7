"""What the API says when a ResourceQuota has no room, and what an object counts against one (k8s-contract §3.1, §3.2).

Any resource that a quota can name is understood: `limits.cpu`, `requests.nvidia.com/gpu`, `count/rayjobs.ray.io`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import POD, Kind, Object

_EXCEEDED = re.compile(r"exceeded quota: (.+?), requested: (.+?), used: (.+?), limited: (\S+)")
Amounts = Mapping[str, Decimal]
"""Quantities in base units by resource name."""


@dataclass(frozen=True)
class Exceeded:
    """A quota that had no room for an object. Only the resources that lack room are named."""

    quota: str
    requested: Amounts
    used: Amounts
    limited: Amounts

    @property
    def never(self) -> tuple[str, ...]:
        """Resources of which more is asked for than the quota will ever give; what equals it fits."""
        return tuple(
            name for name, amount in self.requested.items() if name in self.limited and amount > self.limited[name]
        )


def parse(message: str) -> Exceeded | None:
    """What the message of a refusal says about a quota; None when it speaks of none."""
    found = _EXCEEDED.search(message)
    if found is None:
        return None
    try:
        requested, used, limited = (_amounts(found.group(number)) for number in (2, 3, 4))
    except quantities.BadQuantity:
        return None
    return Exceeded(found.group(1), requested, used, limited)


def speaks_of_quota(message: str) -> bool:
    """Whether an object was refused because a quota is used up, however the rest of the message is worded."""
    return "exceeded quota" in message


def counted(kind: Kind, manifest: Object) -> Amounts:
    """What an object counts against quotas. Of what an operator makes of it, only the object itself is known."""
    group, slash, _ = kind.api_version.partition("/")
    amounts = {f"count/{kind.plural}{'.' + group if slash else ''}": Decimal(1)}
    if kind != POD:
        return amounts
    amounts["pods"] = Decimal(1)
    specification = cast("Mapping[str, Any]", manifest.get("spec") or {})
    requests = _of_pod(specification, "requests")
    for name, amount in requests.items():
        amounts[f"requests.{name}"] = amount
        amounts[name] = amount
    for name, amount in _of_pod(specification, "limits").items():
        amounts[f"limits.{name}"] = amount
    return amounts


def _of_pod(specification: Mapping[str, Any], which: str) -> dict[str, Decimal]:
    """What the scheduler counts: all that run at once, or the init container that needs more while it runs."""
    running: dict[str, Decimal] = {}
    most: dict[str, Decimal] = {}
    for container in cast("Iterable[Mapping[str, Any]]", specification.get("initContainers") or ()):
        own = _of_container(container, which)
        if container.get("restartPolicy") == "Always":
            running = _sum(running, own)
            most = _most(most, running)
        else:
            most = _most(most, _sum(running, own))
    for container in cast("Iterable[Mapping[str, Any]]", specification.get("containers") or ()):
        running = _sum(running, _of_container(container, which))
    return _most(most, running)


def _of_container(container: Mapping[str, Any], which: str) -> dict[str, Decimal]:
    resources = cast("Mapping[str, Any]", container.get("resources") or {})
    named = cast("Mapping[str, Any]", resources.get(which) or {})
    if which == "requests":
        # As in the API: what is only limited is requested to the same amount.
        named = {**cast("Mapping[str, Any]", resources.get("limits") or {}), **named}
    return {name: quantities.parse(str(value)) for name, value in named.items()}


def _sum(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in {**one, **other}}


def _most(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in {**one, **other}}


def _amounts(text: str) -> dict[str, Decimal]:
    pairs = (item.partition("=") for item in text.split(","))
    return {name.strip(): quantities.parse(value.strip()) for name, equals, value in pairs if equals}
