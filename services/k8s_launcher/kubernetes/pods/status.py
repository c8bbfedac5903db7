"""What a pod's status means for its attempt (k8s-contract §2).

A pod with a primary container (its annotation names it) is over when that container is; one without when all are. What
a pod that succeeded has done is not known here: what it wrote says so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Exit, Usage
from services.k8s_launcher.copying.failures import FAILED_EXIT_CODE
from services.k8s_launcher.kubernetes.objects import Object, Reading, Seen
from services.k8s_launcher.kubernetes.pods.container_states import (
    OOM_KILLED,
    ContainerState,
    all_containers,
    init_containers,
    latest_change,
    regular_containers,
)
from services.k8s_launcher.kubernetes.pods.endings import permanent_failure, system_failure, user_failure
from services.k8s_launcher.kubernetes.pods.failed import read_failed
from services.k8s_launcher.kubernetes.pods.logs import pod_links
from services.k8s_launcher.kubernetes.pods.metadata import PRIMARY
from services.k8s_launcher.kubernetes.pods.pending import read_pending
from services.k8s_launcher.kubernetes.raw_containers import DOWNLOADER

_ENDS: Final = frozenset({AttemptObserved.EXITED, AttemptObserved.FAILED})

NOT_FOUND: Final = "PrimaryContainerNotFound"


def read_pod(seen: Seen) -> Reading:
    """The meaning of a pod that is there. That it is being deleted is not looked at."""
    pod, settings = seen.object, seen.settings.status
    primary = primary_container(pod)
    match pod.get("status", {}).get("phase") or "Pending":
        case "Pending":
            reading = read_pending(pod, settings, seen.now)
        case "Succeeded":
            reading = _succeeded(pod)
        case "Failed":
            reading = _told_by_downloader(pod) or read_failed(pod, primary, settings)
        case "Unknown":
            # The node is lost, its last words stand; links into what it wrote would lead nowhere.
            return _by_containers(pod, primary, delete_leftovers=settings.delete_leftover_sidecars)
        case _:
            reading = _by_containers(pod, primary, delete_leftovers=settings.delete_leftover_sidecars)
    container = primary or pod["spec"]["containers"][0]["name"]
    links = pod_links(pod, container, seen.scheduled, seen.settings.logs)
    usage = _usage(pod, container) if reading.stage in _ENDS else None
    return replace(reading, logs=links, usage=usage)


def primary_container(pod: Object) -> str | None:
    """Name of the container whose end is the task's; None when it is that of all."""
    return (pod["metadata"].get("annotations") or {}).get(PRIMARY)


def _usage(pod: Object, name: str) -> Usage | None:
    """How long a container ran; Kubernetes keeps no account of the rest."""
    ended = next((container.terminated for container in regular_containers(pod) if container.name == name), None)
    if ended is None or ended.started_at is None or ended.finished_at is None:
        return None
    usage = Usage()
    usage.wall_time.FromTimedelta(max(ended.finished_at - ended.started_at, timedelta()))
    return usage


def _succeeded(pod: Object) -> Reading:
    at = latest_change(pod)
    if any(
        container.terminated is not None and container.terminated.out_of_memory for container in all_containers(pod)
    ):
        return user_failure(OOM_KILLED, "Pod reported success despite being OOMKilled", at)
    return Reading(AttemptObserved.EXITED, exit=Exit(code=0), occurred_at=at)


def _told_by_downloader(pod: Object) -> Reading | None:
    """The inputs of a raw container could not be had, and it is written down why (k8s-contract §1.13)."""
    for container in init_containers(pod):
        ended = container.terminated
        if container.name == DOWNLOADER and ended is not None and ended.exit_code == FAILED_EXIT_CODE:
            reason = ended.told_of(container.name)
            return Reading(
                AttemptObserved.EXITED, reason, exit=Exit(code=FAILED_EXIT_CODE), occurred_at=ended.finished_at
            )
    return None


def _by_containers(pod: Object, primary: str | None, *, delete_leftovers: bool) -> Reading:
    """The meaning of a pod that runs, as far as anybody knows."""
    regular = regular_containers(pod)
    if primary is None:
        if regular and all(container.succeeded for container in (*regular, *init_containers(pod))):
            return _succeeded(pod)
        return Reading(AttemptObserved.RUNNING, occurred_at=latest_change(pod))
    container = next((container for container in regular if container.name == primary), None)
    if container is None:
        if any(listed["name"] == primary for listed in pod["spec"]["containers"]):
            return Reading(AttemptObserved.RUNNING, occurred_at=latest_change(pod))
        message = f"Primary container [{primary}] not found in pod's container statuses"
        return permanent_failure(NOT_FOUND, message, latest_change(pod))
    reading = _by_primary(pod, container)
    left_over = reading.stage != AttemptObserved.RUNNING and any(other.running for other in regular)
    return replace(reading, of_no_use=True) if left_over and delete_leftovers else reading


def _by_primary(pod: Object, container: ContainerState) -> Reading:
    ended = container.terminated
    if ended is None:
        # One that is started again and again runs, as far as its pod goes; why it is, people want to know.
        waiting = container.waiting
        reason = f"[{waiting.reason}]: {waiting.message}" if waiting is not None and waiting.reason else ""
        return Reading(AttemptObserved.RUNNING, reason, occurred_at=latest_change(pod))
    at = ended.finished_at
    if ended.out_of_memory:
        return user_failure(ended.code, ended.told_of(container.name), at)
    if ended.killed:
        return system_failure(ended.code, ended.told_of(container.name), at)
    if ended.exit_code != 0:
        return user_failure(ended.code, ended.told_of(container.name), at)
    return Reading(AttemptObserved.EXITED, exit=Exit(code=0), occurred_at=at)
