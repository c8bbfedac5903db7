"""What a pod counts as: for the scheduler, for quotas, and for the group that it is a part of."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import Object

Amounts = Mapping[str, Decimal]
"""Quantities in base units by resource name."""


def pod_amounts(spec: Object, side: Literal["requests", "limits"]) -> dict[str, Decimal]:
    """What a pod asks for in all: what runs at once, or an init container that needs more while it runs.

    Init containers that go on running count all along, and so does what the pod itself costs. Raises
    `quantities.BadQuantity`.
    """
    running: Amounts = {}
    most: Amounts = {}
    for container in spec.get("initContainers") or ():
        with_it = _sum(running, _of_container(container, side))
        most = _most(most, with_it)
        if container.get("restartPolicy") == "Always":
            running = with_it
    for container in spec.get("containers") or ():
        running = _sum(running, _of_container(container, side))
    overhead = _parsed(spec.get("overhead") or {})
    found = _most(most, running)
    if side == "limits":
        # Of what is not limited, the pod's cost is no limit.
        overhead = {name: amount for name, amount in overhead.items() if name in found}
    return _sum(found, overhead)


def _of_container(container: Object, side: str) -> Amounts:
    resources: Object = container.get("resources") or {}
    named: Object = resources.get(side) or {}
    if side == "requests":
        # As in the API: what is only limited is requested to the same amount.
        named = {**(resources.get("limits") or {}), **named}
    return _parsed(named)


def _parsed(amounts: Object) -> Amounts:
    return {name: quantities.parse(str(value)) for name, value in amounts.items()}


def _sum(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal()) + other.get(name, Decimal()) for name in {**one, **other}}


def _most(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal()), other.get(name, Decimal())) for name in {**one, **other}}
