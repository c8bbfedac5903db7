"""Ray: `ray` tasks as RayJob of KubeRay (k8s-contract §5.3)."""

from __future__ import annotations

import base64
import binascii
import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

import yaml
from flyteidl.core.execution_pb2 import TaskLog
from flyteidl.plugins import ray_pb2

from services.k8s_launcher.kubernetes.objects import Built, Kind, Object, Reading, Seen, Task
from services.k8s_launcher.kubernetes.plugins.custom import custom_of, refused
from services.k8s_launcher.kubernetes.plugins.readings import (
    INITIALIZING,
    QUEUED,
    RUNNING,
    ended,
    said,
    succeeded,
    under_way,
)
from services.k8s_launcher.kubernetes.plugins.settings import RaySettings
from services.k8s_launcher.kubernetes.plugins.templates import (
    Template,
    asked_resources,
    has_resources,
    pod_template,
    top_metadata,
)
from services.k8s_launcher.kubernetes.pods.endings import permanent_failure, system_failure
from services.k8s_launcher.kubernetes.pods.log_settings import LogSettings
from services.k8s_launcher.kubernetes.pods.logs import LogSource, links, task_config
from services.k8s_launcher.kubernetes.pods.times import moment

KIND: Final = Kind("ray.io/v1", "RayJob", "rayjobs")
HEAD: Final = "ray-head"
WORKER: Final = "ray-worker"
SUBMITTER: Final = "ray-job-submitter"

_PORTS: Final = (("redis", 6379), ("head", 10001), ("dashboard", 8265))
# What KubeRay itself gives a submitter.
_SUBMITTER_RESOURCES: Final = {
    "requests": {"cpu": "500m", "memory": "200Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}
_STATE_FOLDER: Final = "/tmp/ray"
_STATE_VOLUME: Final = "system-ray-state"
_UPSCALING: Final = {
    ray_pb2.AutoscalerOptions.UPSCALING_MODE_DEFAULT: "Default",
    ray_pb2.AutoscalerOptions.UPSCALING_MODE_CONSERVATIVE: "Conservative",
    ray_pb2.AutoscalerOptions.UPSCALING_MODE_AGGRESSIVE: "Aggressive",
}


class Ray:
    """Runs `ray` tasks: a cluster for the task alone, and a job in it that is the task's command."""

    identifier = "ray"
    kind = KIND
    longest_name = 47

    def build(self, task: Task) -> Built:
        """A RayJob. Raises `NotLaunchable`."""
        asked = custom_of(task.template, ray_pb2.RayJob())
        settings = task.settings.operators.ray
        base = _template(task)
        spec: Object = {
            # The operator hands this to a shell: an argument stays one only in quotes.
            "entrypoint": shlex.join(base.container().get("args") or ()),
            "shutdownAfterJobFinishes": settings.shutdown_after_job_finishes,
            "ttlSecondsAfterFinished": settings.ttl_seconds_after_finished,
            "submitterPodTemplate": _submitter(base, settings),
            "rayClusterSpec": _cluster(task, asked.ray_cluster, settings),
        }
        if asked.shutdown_after_job_finishes:
            spec["shutdownAfterJobFinishes"] = True
            spec["ttlSecondsAfterFinished"] = asked.ttl_seconds_after_finished
        if not spec["shutdownAfterJobFinishes"]:
            del spec["ttlSecondsAfterFinished"]
        runtime_environment = asked.runtime_env_yaml or _as_yaml(asked.runtime_env)
        if runtime_environment:
            spec["runtimeEnvYAML"] = runtime_environment
        manifest: Object = {
            "apiVersion": KIND.api_version,
            "kind": KIND.kind,
            "metadata": top_metadata(task, base),
            "spec": spec,
        }
        return Built(KIND, manifest)

    def read(self, seen: Seen) -> Reading:
        """What the state of its deployment means.

        That the operator tries again, or waits for somebody to submit, is no failure; what it refuses to deploy it will
        refuse again.
        """
        status: Mapping[str, Any] = seen.object.get("status") or {}
        state = status.get("jobDeploymentStatus") or ""
        logs, info = _logs(seen, status), _info(status)
        end = moment(status.get("endTime"))
        match state:
            case "":
                suspended = seen.object["spec"].get("suspend")
                return under_way(QUEUED, "Suspended" if suspended else "Scheduling", info=info)
            case "Suspended" | "Suspending":
                return under_way(QUEUED, state, info=info)
            case "Initializing":
                return under_way(INITIALIZING, "cluster is creating", logs=logs, info=info)
            case "Waiting" | "Retrying":
                return under_way(INITIALIZING, _explained(state, status), logs=logs, info=info)
            case "Complete":
                return succeeded(logs=logs, at=end, info=info)
            case "Failed":
                name = seen.object["metadata"]["name"]
                message = (
                    f"Failed to run Ray job {name} with error: [{said(status, 'reason')}] {said(status, 'message')}"
                )
                failure = system_failure("TaskFailedWithError", message, end, of_no_use=True)
                return ended(failure, logs=logs, info=info)
            case "ValidationFailed":
                message = f"KubeRay refuses the job: {_explained(state, status)}"
                return ended(permanent_failure("BadTaskFormat", message, end, of_no_use=True), info=info)
            case _:
                # "Running", and what a later KubeRay may say that it does before the end.
                reason = "" if state == "Running" else _explained(state, status)
                return under_way(RUNNING, reason, logs=logs, at=moment(status.get("startTime")), info=info)


def _template(task: Task) -> Template:
    template = pod_template(task)
    account = task.settings.operators.ray.service_account
    if account:
        template.spec["serviceAccountName"] = account
    return template


def _cluster(task: Task, asked: ray_pb2.RayCluster, settings: RaySettings) -> Object:
    cluster: Object = {
        "headGroupSpec": _head(task, asked.head_group_spec, settings),
        "workerGroupSpecs": [_worker_group(task, group, settings) for group in asked.worker_group_spec],
        "enableInTreeAutoscaling": asked.enable_autoscaling,
    }
    if asked.HasField("autoscaler_options"):
        cluster["autoscalerOptions"] = _autoscaler(task, asked.autoscaler_options)
    return cluster


def _head(task: Task, asked: ray_pb2.HeadGroupSpec, settings: RaySettings) -> Object:
    template = _template(task)
    container = template.renamed(HEAD)
    container["args"] = []
    container.setdefault("env", []).append(_field("MY_POD_IP", "status.podIP"))
    _add_ports(container)
    _add_logs_sidecar(template, container, settings)
    template.overlay(asked.k8s_pod)
    own = dict(asked.ray_start_params) or dict(settings.head_start_parameters)
    defaults = {
        "include-dashboard": str(settings.include_dashboard).lower(),
        "dashboard-host": settings.dashboard_host,
        **_node_parameters(settings),
    }
    return {
        "serviceType": settings.service_type,
        "enableIngress": False,
        "rayStartParams": {**defaults, **own},
        "template": template.as_object(),
    }


def _worker_group(task: Task, asked: ray_pb2.WorkerGroupSpec, settings: RaySettings) -> Object:
    template = _template(task)
    container = template.renamed(WORKER)
    container["args"] = []
    container.setdefault("env", []).extend(
        [
            {"name": "RAY_DISABLE_DOCKER_CPU_WARNING", "value": "1"},
            {"name": "TYPE", "value": "worker"},
            _amount("CPU_REQUEST", "requests.cpu"),
            _amount("CPU_LIMITS", "limits.cpu"),
            _amount("MEMORY_REQUESTS", "requests.memory"),
            _amount("MEMORY_LIMITS", "limits.memory"),
            _field("MY_POD_NAME", "metadata.name"),
            _field("MY_POD_IP", "status.podIP"),
        ]
    )
    container["lifecycle"] = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "ray stop"]}}}
    _add_ports(container)
    _add_logs_sidecar(template, container, settings)
    template.overlay(asked.k8s_pod)
    own = dict(asked.ray_start_params) or dict(settings.worker_start_parameters)
    return {
        "groupName": asked.group_name,
        "replicas": asked.replicas,
        "minReplicas": min(asked.min_replicas, asked.replicas),
        "maxReplicas": max(asked.max_replicas, asked.replicas),
        "rayStartParams": {**_node_parameters(settings), **own},
        "template": template.as_object(),
    }


def _submitter(template: Template, settings: RaySettings) -> Object:
    container = template.renamed(SUBMITTER)
    # Without a command of its own it gets the operator's, which submits the entry point.
    container.pop("command", None)
    container.pop("args", None)
    if settings.submitter_without_gpu:
        container["resources"] = {side: dict(amounts) for side, amounts in _SUBMITTER_RESOURCES.items()}
    return template.as_object()


def _node_parameters(settings: RaySettings) -> dict[str, str]:
    parameters = {"node-ip-address": settings.node_ip_address}
    if not settings.enable_usage_stats:
        parameters["disable-usage-stats"] = "true"
    return parameters


def _autoscaler(task: Task, asked: ray_pb2.AutoscalerOptions) -> Object:
    options: Object = {}
    if asked.upscaling_mode in _UPSCALING:
        options["upscalingMode"] = _UPSCALING[asked.upscaling_mode]
    if asked.idle_timeout_seconds:
        options["idleTimeoutSeconds"] = asked.idle_timeout_seconds
    if asked.image:
        options["image"] = asked.image
    if asked.env:
        options["env"] = [{"name": pair.key, "value": pair.value} for pair in asked.env]
    if has_resources(asked.resources):
        options["resources"] = asked_resources(asked.resources, task)
    return options


def _add_ports(container: Object) -> None:
    container.setdefault("ports", []).extend({"name": name, "containerPort": port} for name, port in _PORTS)


def _add_logs_sidecar(template: Template, container: Object, settings: RaySettings) -> None:
    """A container that sees, and cannot change, what Ray writes into its folder."""
    if settings.logs_sidecar is None:
        return
    mounts: list[Object] = container.setdefault("volumeMounts", [])
    mount = next((each for each in mounts if each["mountPath"] == _STATE_FOLDER), None)
    if mount is None:
        mount = {"name": _STATE_VOLUME, "mountPath": _STATE_FOLDER}
        mounts.append(mount)
        template.spec.setdefault("volumes", []).append({"name": _STATE_VOLUME, "emptyDir": {}})
    sidecar = dict(settings.logs_sidecar)
    others = [each for each in sidecar.get("volumeMounts") or () if each["mountPath"] != _STATE_FOLDER]
    sidecar["volumeMounts"] = [*others, {**mount, "readOnly": True}]
    template.spec["containers"].append(sidecar)


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _amount(name: str, resource: str) -> Object:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"containerName": WORKER, "resource": resource}}}


def _as_yaml(encoded: str) -> str:
    """The runtime environment in its old form, base64 of JSON, in the form that the operator takes."""
    if not encoded:
        return ""
    try:
        return yaml.safe_dump(json.loads(base64.b64decode(encoded, validate=True)))
    except (binascii.Error, ValueError) as error:
        raise refused(f"the runtime environment of the Ray job cannot be read: {error}") from None


def _explained(state: str, status: Mapping[str, Any]) -> str:
    return ": ".join(part for part in (state, said(status, "reason"), said(status, "message")) if part)


def _info(status: Mapping[str, Any]) -> Object:
    """What clients may want to know of it. The rest changes all the time."""
    names = ("jobId", "jobStatus", "rayClusterName", "dashboardURL")
    return {name: status[name] for name in names if status.get(name)}


def _logs(seen: Seen, status: Mapping[str, Any]) -> tuple[TaskLog, ...]:
    metadata, settings = seen.object["metadata"], seen.settings.operators.ray
    source = LogSource("", metadata["namespace"], started_at=moment(metadata.get("creationTimestamp")))
    extra = {"rayClusterName": said(status, "rayClusterName"), "rayJobID": said(status, "jobId")}

    def found(of: LogSettings, suffix: str) -> tuple[TaskLog, ...]:
        return links(source, seen.scheduled, of, suffix=suffix, config=task_config(seen.object), extra=extra)

    # No status has the names of Ray's pods: links that need one lead nowhere.
    logs = tuple(each for each in found(settings.logs or seen.settings.logs, " (Ray Cluster)") if "{{" not in each.uri)
    if settings.dashboard_link is None or not status.get("dashboardURL") or status.get("jobStatus") != "RUNNING":
        return logs
    return logs + found(LogSettings.model_validate({"templates": [settings.dashboard_link]}), "")
