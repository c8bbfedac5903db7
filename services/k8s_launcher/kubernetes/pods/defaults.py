"""What all pods get that do not say otherwise (k8s-contract §1.10)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.node_selection import require
from services.k8s_launcher.kubernetes.pods.settings import Fields, PodSettings


def fill_in(spec: Object, scheduled: AttemptScheduled, pods: PodSettings, *, interruptible: bool) -> None:
    """Give a task's pod what the operator and the execution say of it. Changes `spec`."""
    _default(spec, "restartPolicy", "Never")
    _tolerations(spec, pods, interruptible=interruptible)
    _default(spec, "serviceAccountName", scheduled.security_context.run_as.k8s_service_account)
    _default(spec, "schedulerName", pods.scheduler_name)
    _node_selector(spec, pods, interruptible=interruptible)
    _default(spec, "affinity", pods.default_affinity)
    _default(spec, "securityContext", pods.default_pod_security_context)
    _default(spec, "dnsConfig", pods.default_pod_dns_config)
    if pods.enable_host_networking_pod is not None:
        spec["hostNetwork"] = pods.enable_host_networking_pod
    requirement = (
        pods.interruptible_node_selector_requirement
        if interruptible
        else pods.non_interruptible_node_selector_requirement
    )
    require(spec, [requirement] if requirement is not None else [])


def tolerate_taints_of_extended_resources(spec: Object, pods: PodSettings) -> None:
    """Let pods that ask for devices go where the device's name is the taint. Changes `spec`."""
    asked = _asked(spec, "initContainers", "containers")
    for resource in sorted(asked & {*pods.add_tolerations_for_extended_resources}):
        toleration = {"key": resource, "operator": "Exists", "effect": "NoSchedule"}
        present: list[Object] = spec.get("tolerations") or []
        if not any(_alike(toleration, each) for each in present):
            spec["tolerations"] = [*present, toleration]


def _tolerations(spec: Object, pods: PodSettings, *, interruptible: bool) -> None:
    asked = _asked(spec, "containers")
    found: list[Fields] = [each for name in sorted(asked) for each in pods.resource_tolerations.get(name, ())]
    if interruptible:
        found += pods.interruptible_tolerations
    found += pods.default_tolerations
    if found:
        spec["tolerations"] = [*copy.deepcopy(found), *(spec.get("tolerations") or [])]


def _node_selector(spec: Object, pods: PodSettings, *, interruptible: bool) -> None:
    own: Mapping[str, str] = spec.get("nodeSelector") or {}
    last = pods.interruptible_node_selector if interruptible else {}
    selector = {**pods.default_node_selector, **own, **last}
    if selector:
        spec["nodeSelector"] = selector


def _asked(spec: Object, *kinds: str) -> set[str]:
    """Resources that containers ask for. A limit alone asks too: Kubernetes makes the request of it."""
    containers = [container for kind in kinds for container in spec.get(kind) or []]
    amounts = [(each.get("resources") or {}).get(side) or {} for each in containers for side in ("requests", "limits")]
    return {name for each in amounts for name in each}


def _alike(toleration: Object, other: Object) -> bool:
    """Whether they tolerate the same, as Kubernetes compares them."""
    operator = other.get("operator") or "Equal"
    return (other.get("key"), other.get("effect"), operator, other.get("value") or "") == (
        toleration["key"],
        toleration["effect"],
        toleration["operator"],
        "",
    )


def _default(spec: Object, name: str, value: Any) -> None:
    if value and spec.get(name) in (None, ""):
        spec[name] = copy.deepcopy(value)
