"""What the status of a pod means that does not run yet (k8s-contract §2.2).

Its conditions are looked at in their order; the first that says something decides. Periods of grace are counted from
that condition's transition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_types.durations import go_duration
from services.k8s_launcher.kubernetes.objects import SUBMITTED, Object, Reading
from services.k8s_launcher.kubernetes.pods.container_states import Waiting, init_containers, regular_containers
from services.k8s_launcher.kubernetes.pods.endings import permanent_failure, system_failure, user_failure
from services.k8s_launcher.kubernetes.pods.metadata import NOTE
from services.k8s_launcher.kubernetes.pods.status_settings import StatusSettings
from services.k8s_launcher.kubernetes.pods.times import moment

_GATED: Final = "SchedulingGated"
# What every container goes through; a failed pull is tried again by the kubelet, which says ImagePullBackOff then.
_ON_ITS_WAY: Final = frozenset({"ErrImagePull", "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class _Condition:
    kind: str
    status: str
    reason: str
    message: str
    since: datetime

    def about(self, waiting: Waiting) -> tuple[str, str]:
        """Code and message of an error, of what this condition and a container say."""
        return f"{self.reason}|{waiting.reason}", f"{self.message}|{waiting.message}"


def read_pending(pod: Object, settings: StatusSettings, now: datetime) -> Reading:
    """QUEUED, INITIALIZING, or FAILED where patience is at its end."""
    reading, since, gated = _decided(pod, settings, now)
    timeout = settings.pod_pending_timeout
    if reading.stage == AttemptObserved.FAILED or not timeout or gated:
        return reading
    late = since + timeout
    if now >= late:
        return user_failure("PodPendingTimeout", reading.reason, late, of_no_use=True)
    return replace(reading, again_at=late if reading.again_at is None else min(late, reading.again_at))


def _decided(pod: Object, settings: StatusSettings, now: datetime) -> tuple[Reading, datetime, bool]:
    """The meaning, since when that holds, and whether somebody holds the pod back on purpose."""
    since = now
    for condition in _conditions(pod, now):
        since = condition.since
        unscheduled = condition.kind == "PodScheduled" and condition.status == "False"
        if unscheduled or condition.kind == "Unschedulable":
            reason = f"{condition.reason}:{condition.message}"
            queued = Reading(AttemptObserved.QUEUED, reason, occurred_at=since)
            # A gate is a queue's word (Kueue): how long that takes is not the pod's fault.
            return queued, since, condition.reason == _GATED
        if condition.kind == "Ready" and condition.status == "False":
            waiting = _first_waiting(pod)
            if waiting is not None:
                return _waits(condition, waiting, settings, now), since, False
    note = (pod["metadata"].get("annotations") or {}).get(NOTE)
    return Reading(AttemptObserved.QUEUED, f"{SUBMITTED}; {note}" if note else SUBMITTED), since, False


def _conditions(pod: Object, now: datetime) -> Iterator[_Condition]:
    listed: list[dict[str, Any]] = pod.get("status", {}).get("conditions") or []
    for condition in listed:
        yield _Condition(
            kind=condition["type"],
            status=condition["status"],
            reason=condition.get("reason", ""),
            message=condition.get("message", ""),
            since=moment(condition.get("lastTransitionTime")) or now,
        )


def _first_waiting(pod: Object) -> Waiting | None:
    """Why the pod does not get on: init containers come first, in Kubernetes as here."""
    for container in (*init_containers(pod), *regular_containers(pod)):
        if container.waiting is not None and not container.ready:
            return container.waiting
    return None


def _waits(condition: _Condition, waiting: Waiting, settings: StatusSettings, now: datetime) -> Reading:
    code, message = condition.about(waiting)
    match waiting.reason:
        case reason if reason in _ON_ITS_WAY:
            return _initializing(condition, code, message)
        case "CreateContainerError":
            grace, failure = settings.create_container_error_grace, permanent_failure
        case "CreateContainerConfigError":
            grace, failure = settings.create_container_config_error_grace, permanent_failure
        case "ImagePullBackOff":
            grace, failure = settings.image_pull_backoff_grace, user_failure
        case "InvalidImageName":
            return permanent_failure(code, message, condition.since, of_no_use=True)
        case _:
            return system_failure(code, message, condition.since, of_no_use=True)
    late = condition.since + grace
    if now < late:
        return replace(_initializing(condition, code, message), again_at=late)
    return failure(code, f"Grace period [{go_duration(grace)}] exceeded|{message}", late, of_no_use=True)


def _initializing(condition: _Condition, code: str, message: str) -> Reading:
    return Reading(AttemptObserved.INITIALIZING, f"[{code}]: {message}", occurred_at=condition.since)
