"""Volcano: pods go to its scheduler, alone or as a gang that a PodGroup describes (k8s-contract §8.3).

Operators that know Volcano (KubeRay with `--batch-scheduler=volcano`, the training operator with
`--gang-scheduler-name=volcano`, Spark's) make the PodGroup themselves and are told the queue. For the others, and for
plain pods, Volcano makes one for each pod, unless `pod_groups` has the launcher make it.
"""

from __future__ import annotations

from typing import Any, Final

from services.k8s_launcher.kubernetes.objects import Kind, Object
from services.k8s_launcher.kubernetes.queueing.pod_sets import PodSet, gang_requests, gang_size, pod_sets
from services.k8s_launcher.kubernetes.queueing.settings import QueueingSettings, QueueRule

POD_GROUP: Final = Kind("scheduling.volcano.sh/v1beta1", "PodGroup", "podgroups")

QUEUE_ANNOTATION: Final = "scheduling.volcano.sh/queue-name"
QUEUE_LABEL: Final = "volcano.sh/queue-name"
"""How KubeRay has it, and how users name a queue for all kinds, by a label of the execution."""
PRIORITY_LABEL: Final = "flightlog.dev/priority-class"
"""A label of the execution; Volcano has none of its own."""

_GROUP_ANNOTATIONS: Final = ("scheduling.k8s.io/group-name", "scheduling.volcano.sh/group-name")
_RAY_PRIORITY_LABEL: Final = "ray.io/priority-class-name"
_RAY_SCHEDULER_LABEL: Final = "ray.io/scheduler-name"
_TRAINING: Final = {"PyTorchJob", "TFJob", "MPIJob"}


def enqueue(manifest: Object, rule: QueueRule | None, settings: QueueingSettings) -> list[tuple[Kind, Object]]:
    """Send an object's pods to Volcano: to the queue that its labels or annotations name, or that of the rule.

    Without either nothing changes. Returns what must exist before the object.
    """
    metadata = manifest["metadata"]
    labels: dict[str, str] = metadata.setdefault("labels", {})
    annotations: dict[str, str] = metadata.setdefault("annotations", {})
    queue = annotations.get(QUEUE_ANNOTATION) or labels.get(QUEUE_LABEL) or (rule.queue if rule is not None else "")
    if not queue:
        return []
    priority = labels.get(PRIORITY_LABEL) or (rule.priority_class if rule is not None else "")
    kind = manifest["kind"]
    if kind == "SparkApplication":
        _spark(manifest["spec"], queue, priority, settings.scheduler_name)
        return []
    sets = pod_sets(manifest)
    own_group = kind in settings.pod_groups and not any(_grouped(each) for each in sets)
    if kind == "RayJob":
        _ray(labels, queue, priority, settings.scheduler_name)
    elif kind in _TRAINING:
        _training(manifest["spec"], queue, priority)
    if own_group or kind not in {"RayJob", *_TRAINING}:
        for each in sets:
            _scheduled(each, queue, priority, settings.scheduler_name)
    if not own_group:
        return []
    for each in sets:
        if each.in_gang:
            each.metadata.setdefault("annotations", {}).update(dict.fromkeys(_GROUP_ANNOTATIONS, metadata["name"]))
    return [(POD_GROUP, _pod_group(manifest, sets, queue, priority))]


def _grouped(pods: PodSet) -> bool:
    """Whether users put the pods into a group of theirs."""
    annotations = pods.metadata.get("annotations") or {}
    return any(name in annotations for name in _GROUP_ANNOTATIONS)


def _scheduled(pods: PodSet, queue: str, priority: str, scheduler: str) -> None:
    if not pods.spec.get("schedulerName"):
        pods.spec["schedulerName"] = scheduler
    pods.metadata.setdefault("annotations", {}).setdefault(QUEUE_ANNOTATION, queue)
    if priority and not pods.spec.get("priorityClassName"):
        pods.spec["priorityClassName"] = priority


def _spark(spec: dict[str, Any], queue: str, priority: str, scheduler: str) -> None:
    spec.setdefault("batchScheduler", scheduler)
    options: dict[str, Any] = spec.setdefault("batchSchedulerOptions", {})
    options.setdefault("queue", queue)
    if priority:
        options.setdefault("priorityClassName", priority)


def _ray(labels: dict[str, str], queue: str, priority: str, scheduler: str) -> None:
    labels.setdefault(_RAY_SCHEDULER_LABEL, scheduler)
    labels.setdefault(QUEUE_LABEL, queue)
    if priority:
        labels.setdefault(_RAY_PRIORITY_LABEL, priority)


def _training(spec: dict[str, Any], queue: str, priority: str) -> None:
    policy: dict[str, Any] = spec.setdefault("runPolicy", {}).setdefault("schedulingPolicy", {})
    policy.setdefault("queue", queue)
    if priority:
        policy.setdefault("priorityClass", priority)


def _pod_group(manifest: Object, sets: list[PodSet], queue: str, priority: str) -> Object:
    metadata = manifest["metadata"]
    requests = gang_requests(sets)
    return {
        "apiVersion": POD_GROUP.api_version,
        "kind": POD_GROUP.kind,
        "metadata": {
            "name": metadata["name"],
            **({"namespace": metadata["namespace"]} if "namespace" in metadata else {}),
            "labels": dict(metadata["labels"]),
        },
        "spec": {
            "minMember": gang_size(sets),
            "queue": queue,
            **({"priorityClassName": priority} if priority else {}),
            **({"minResources": requests} if requests else {}),
        },
    }
