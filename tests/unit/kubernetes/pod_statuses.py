"""Pods in the states that kubelets and schedulers leave them in, for the tests of what those mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes.objects import Reading, Seen
from services.k8s_launcher.kubernetes.pods.status import read_pod
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def ago(**since: float) -> str:
    """A moment before NOW, as the API writes it."""
    return (NOW - timedelta(**since)).strftime("%Y-%m-%dT%H:%M:%SZ")


def terminated(code: int, reason: str = "", message: str = "", **since: float) -> dict[str, Any]:
    ended = {"exitCode": code, "reason": reason, "message": message, "finishedAt": ago(**since)}
    return {"terminated": {**ended, "startedAt": ago(hours=1)}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def running(**since: float) -> dict[str, Any]:
    return {"running": {"startedAt": ago(**since)}}


def container(name: str, state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "lastState": last or {},
        "ready": "running" in state,
        "restartCount": 0,
        "image": "image",
        "imageID": "",
        "containerID": f"containerd://{name}",
    }


def condition(kind: str, status: str, reason: str = "", message: str = "", **since: float) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(**since),
    }


def not_ready(**since: float) -> dict[str, Any]:
    return condition("Ready", "False", "ContainersNotReady", "containers with unready status: [main]", **since)


def status(
    phase: str,
    *containers: dict[str, Any],
    init: list[dict[str, Any]] | None = None,
    conditions: list[dict[str, Any]] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    return {
        "phase": phase,
        "conditions": conditions or [],
        "containerStatuses": list(containers),
        "initContainerStatuses": init or [],
        **fields,
    }


def pod(
    state: dict[str, Any], *, primary: str | None = "main", containers: tuple[str, ...] = ("main",)
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "a1b2c3d4e5f6g7h8i9j0-n0-0",
            "namespace": "p-d",
            "annotations": {"primary_container_name": primary} if primary else {},
            "creationTimestamp": ago(hours=1),
        },
        "spec": {"containers": [{"name": name, "image": "image"} for name in containers]},
        "status": state,
    }


def read(thing: dict[str, Any], *, later: timedelta = timedelta(), **settings: Any) -> Reading:
    """What a pod's status means at NOW, or later."""
    configured = KubernetesSettings.model_validate(settings)
    return read_pod(Seen(thing, NOW + later, AttemptScheduled(node_id="n0"), configured))
