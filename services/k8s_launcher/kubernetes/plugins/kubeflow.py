"""Jobs of Kubeflow's training operator: what PyTorchJob, TFJob and MPIJob have in common (k8s-contract §5.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import TaskLog
from flyteidl.plugins import common_pb2
from flyteidl.plugins.kubeflow import common_pb2 as kubeflow_common_pb2

from services.k8s_launcher.kubernetes.objects import Built, Kind, Object, Reading, Seen, Task
from services.k8s_launcher.kubernetes.plugins.readings import QUEUED, RUNNING, ended, said, succeeded, under_way
from services.k8s_launcher.kubernetes.plugins.templates import has_resources, pod_template, top_metadata
from services.k8s_launcher.kubernetes.pods.endings import user_failure
from services.k8s_launcher.kubernetes.pods.logs import LogSource, links, task_config
from services.k8s_launcher.kubernetes.pods.times import moment

API_VERSION: Final = "kubeflow.org/v1"

_RESTARTS: Final = {
    common_pb2.RESTART_POLICY_NEVER: "Never",
    common_pb2.RESTART_POLICY_ON_FAILURE: "OnFailure",
    common_pb2.RESTART_POLICY_ALWAYS: "Always",
}
_VOLATILE: Final = frozenset({"lastReconcileTime", "replicaStatuses"})
_CLEANING: Final = {
    kubeflow_common_pb2.CLEANPOD_POLICY_NONE: "None",
    kubeflow_common_pb2.CLEANPOD_POLICY_RUNNING: "Running",
    kubeflow_common_pb2.CLEANPOD_POLICY_ALL: "All",
}


class GroupRequest(Protocol):
    """`Distributed…ReplicaSpec` of any framework. `common` goes before the fields beside it."""

    replicas: int
    image: str
    restart_policy: common_pb2.RestartPolicy

    @property
    def resources(self) -> tasks_pb2.Resources: ...
    @property
    def common(self) -> common_pb2.CommonReplicaSpec: ...
    def HasField(self, field_name: str, /) -> bool: ...


@dataclass(frozen=True)
class Group:
    """Replicas of one role. `image` and `args` empty: the task's."""

    replicas: int
    image: str = ""
    resources: tasks_pb2.Resources | None = None
    restart_policy: str = "Never"
    args: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Framework:
    """A kind of job, and what its operator expects in it."""

    identifier: str
    kind: Kind
    container: str
    """Name that the operator knows the task's container by."""
    replicas_field: str


def group_of(request: GroupRequest) -> Group:
    """A role as the second version of the task types describes it."""
    asked = request.common if request.HasField("common") else request
    resources = asked.resources
    return Group(
        replicas=asked.replicas,
        image=asked.image,
        resources=resources if has_resources(resources) else None,
        restart_policy=_RESTARTS.get(asked.restart_policy, "Never"),
    )


def run_policy_of(policy: kubeflow_common_pb2.RunPolicy) -> Object:
    """When the operator gives up and cleans up. Pods stay unless the task says otherwise: they have the logs."""
    found: Object = {"cleanPodPolicy": _CLEANING.get(policy.clean_pod_policy, "None")}
    if policy.ttl_seconds_after_finished:
        found["ttlSecondsAfterFinished"] = policy.ttl_seconds_after_finished
    if policy.active_deadline_seconds:
        found["activeDeadlineSeconds"] = policy.active_deadline_seconds
    if policy.backoff_limit:
        found["backoffLimit"] = policy.backoff_limit
    return found


def replica_spec(framework: Framework, task: Task, group: Group) -> Object:
    """The replicas of one role, in a job."""
    template = pod_template(task, over=group.resources)
    container = template.renamed(framework.container)
    if group.image:
        container["image"] = group.image
    if group.args is not None:
        container["args"] = list(group.args)
    return {
        "replicas": group.replicas,
        "restartPolicy": group.restart_policy,
        "template": template.as_object(),
    }


def job(framework: Framework, task: Task, replicas: Mapping[str, Object], spec: Object) -> Built:
    """The job. `spec` is what it has besides its replicas."""
    manifest: Object = {
        "apiVersion": framework.kind.api_version,
        "kind": framework.kind.kind,
        "metadata": top_metadata(task),
        "spec": {**spec, framework.replicas_field: dict(replicas)},
    }
    return Built(framework.kind, manifest)


def replica_counts(framework: Framework, manifest: Object) -> dict[str, int]:
    """How many replicas a job has, by role."""
    specs: Mapping[str, Any] = manifest["spec"].get(framework.replicas_field) or {}
    return {role: spec.get("replicas", 1) for role, spec in specs.items()}


def read(framework: Framework, seen: Seen) -> Reading:
    """What a job's conditions mean: the newest that holds counts.

    An operator that says nothing is waited for: it may be down for a while, or Kueue has only just let the job go on.
    The reason tells when that is longer than usual.
    """
    status: Mapping[str, Any] = seen.object.get("status") or {}
    # The time of the operator's last look says nothing; how many replicas do what changes with each of them.
    info = {name: value for name, value in status.items() if name not in _VOLATILE}
    current = _current(status.get("conditions") or ())
    at = moment(current.get("lastTransitionTime")) if current is not None else None
    kind = current["type"] if current is not None else ""
    if kind in {"", "Created", "Suspended"}:
        return _waiting(framework, seen, suspended=kind == "Suspended", at=at, info=info)
    logs = _logs(framework, seen)
    if kind in {"Succeeded", "Failed"} and status.get("replicaStatuses"):
        info["replicaStatuses"] = status["replicaStatuses"]
    if kind == "Succeeded":
        return succeeded(logs=logs, at=at, info=info)
    assert current is not None
    if kind == "Failed":
        message = f"Job failed:\n\t{said(current, 'reason')} - {said(current, 'message')}"
        return ended(user_failure("DownstreamSystemError", message, at), logs=logs, info=info)
    return under_way(RUNNING, said(current, "message"), logs=logs, at=at, info=info)


def _waiting(
    framework: Framework, seen: Seen, *, suspended: bool, at: datetime | None, info: Mapping[str, Any]
) -> Reading:
    run_policy: Mapping[str, Any] = seen.object["spec"].get("runPolicy") or {}
    if suspended or run_policy.get("suspend"):
        return under_way(QUEUED, "Suspended", at=at, info=info)
    created = moment(seen.object["metadata"].get("creationTimestamp"))
    if info.get("startTime") or created is None:
        return under_way(QUEUED, "JobCreated", at=at, info=info)
    patience_ends = created + seen.settings.operators.kubeflow.start_warning
    if seen.now < patience_ends:
        return under_way(QUEUED, "JobCreated", at=at, again_at=patience_ends, info=info)
    name = f"{seen.object['metadata']['namespace']}/{seen.object['metadata']['name']}"
    reason = (
        f"the training operator has not started the {framework.kind.kind} {name} since {created:%Y-%m-%dT%H:%M:%SZ}: "
        "it may be down, or not watch this namespace"
    )
    return under_way(QUEUED, reason, at=at, info=info)


def _current(conditions: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The newest condition that holds. Of those of one second the last: the operator appends."""
    holding = [
        (condition.get("lastTransitionTime") or "", place, condition)
        for place, condition in enumerate(conditions)
        if condition.get("status") == "True"
    ]
    return max(holding, key=lambda each: each[:2])[2] if holding else None


def _logs(framework: Framework, seen: Seen) -> tuple[TaskLog, ...]:
    found: list[TaskLog] = []
    metadata = seen.object["metadata"]
    config = task_config(seen.object)
    for role, count in replica_counts(framework, seen.object).items():
        for index in range(count):
            # The operator numbers all pods but an MPIJob's launcher.
            suffix = "launcher" if role == "Launcher" else f"{role.lower()}-{index}"
            source = LogSource(
                pod_name=f"{metadata['name']}-{suffix}",
                namespace=metadata["namespace"],
                container_name=framework.container,
                started_at=moment(metadata.get("creationTimestamp")),
            )
            found += links(source, seen.scheduled, seen.settings.logs, suffix=f" ({suffix})", config=config)
    return tuple(found)
