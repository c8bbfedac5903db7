"""Dask: `dask` tasks as DaskJob of Dask's operator (k8s-contract §5.4)."""

from __future__ import annotations

from decimal import ROUND_CEILING
from typing import Final

from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import TaskLog
from flyteidl.plugins import dask_pb2

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import Built, Kind, Object, Reading, Seen, Task
from services.k8s_launcher.kubernetes.plugins.custom import custom_of
from services.k8s_launcher.kubernetes.plugins.readings import INITIALIZING, RUNNING, ended, succeeded, under_way
from services.k8s_launcher.kubernetes.plugins.templates import Template, has_resources, pod_template, top_metadata
from services.k8s_launcher.kubernetes.pods.endings import user_failure
from services.k8s_launcher.kubernetes.pods.logs import LogSource, links, task_config
from services.k8s_launcher.kubernetes.pods.times import moment

KIND: Final = Kind("kubernetes.dask.org/v1", "DaskJob", "daskjobs")
RUNNER: Final = "job-runner"

_PORTS: Final = (("tcp-comm", 8786), ("dashboard", 8787))


class Dask:
    """Runs `dask` tasks: a scheduler, workers, and a runner that has the task's command."""

    identifier = "dask"
    kind = KIND
    longest_name = 50

    def build(self, task: Task) -> Built:
        """A DaskJob. Raises `NotLaunchable`."""
        asked = custom_of(task.template, dask_pb2.DaskJob())
        # Losing a worker costs some work, losing one of the others all of it.
        runner = pod_template(task, interruptible=False)
        runner.renamed(RUNNER)
        runner.spec["restartPolicy"] = "Never"
        made = runner.as_object()
        manifest: Object = {
            "apiVersion": KIND.api_version,
            "kind": KIND.kind,
            "metadata": top_metadata(task, runner),
            "spec": {
                "job": made,
                "cluster": {
                    "metadata": {part: dict(made["metadata"][part]) for part in ("labels", "annotations")},
                    "spec": {
                        "worker": _workers(task, asked.workers),
                        "scheduler": _scheduler(task, asked.scheduler),
                    },
                },
            },
        }
        return Built(KIND, manifest)

    def read(self, seen: Seen) -> Reading:
        """What its state means."""
        status: Object = seen.object.get("status") or {}
        logs = _logs(seen, status)
        match status.get("jobStatus") or "":
            case "":
                return under_way(INITIALIZING, "unknown")
            case "JobCreated":
                return under_way(INITIALIZING, "job created")
            case "ClusterCreated":
                return under_way(INITIALIZING, "cluster created", logs=logs)
            case "Successful":
                return succeeded(logs=logs, at=moment(status.get("endTime")))
            case "Failed":
                failure = user_failure("DownstreamSystemError", "Dask Job failed", moment(status.get("endTime")))
                return ended(failure, logs=logs)
            case _:
                return under_way(RUNNING, logs=logs, at=moment(status.get("startTime")))


def _group(
    task: Task, name: str, image: str, resources: tasks_pb2.Resources, *, interruptible: bool | None
) -> Template:
    own = resources if has_resources(resources) else None
    template = pod_template(task, instead=own, interruptible=interruptible)
    container = template.renamed(name)
    if image:
        container["image"] = image
    # The operator makes Deployments of them.
    template.spec["restartPolicy"] = "Always"
    return template


def _workers(task: Task, asked: dask_pb2.DaskWorkerGroup) -> Object:
    template = _group(task, "dask-worker", asked.image, asked.resources, interruptible=None)
    container = template.container()
    args = ["dask-worker", "--name", "$(DASK_WORKER_NAME)"]
    limits = (container.get("resources") or {}).get("limits") or {}
    if "cpu" in limits:
        threads = quantities.parse(limits["cpu"]).to_integral_value(ROUND_CEILING)
        args += ["--nthreads", str(int(threads))]
    if "memory" in limits:
        args += ["--memory-limit", limits["memory"]]
    container["args"] = args
    return {"replicas": asked.number_of_workers, **template.as_object()}


def _scheduler(task: Task, asked: dask_pb2.DaskScheduler) -> Object:
    template = _group(task, "scheduler", asked.image, asked.resources, interruptible=False)
    container = template.container()
    container["args"] = ["dask-scheduler"]
    container["ports"] = [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _PORTS]
    ports = [{"name": name, "port": port, "protocol": "TCP", "targetPort": name} for name, port in _PORTS]
    selector = {"dask.org/cluster-name": task.name, "dask.org/component": "scheduler"}
    service = {"type": task.settings.operators.dask.service_type, "selector": selector, "ports": ports}
    return {**template.as_object(), "service": service}


def _logs(seen: Seen, status: Object) -> tuple[TaskLog, ...]:
    runner = status.get("jobRunnerPodName")
    if not runner:
        return ()
    metadata = seen.object["metadata"]
    source = LogSource(
        pod_name=runner,
        namespace=metadata["namespace"],
        container_name=RUNNER,
        started_at=moment(metadata.get("creationTimestamp")),
    )
    settings = seen.settings.operators.dask.logs or seen.settings.logs
    config = task_config(seen.object)
    return links(source, seen.scheduled, settings, suffix=" (Dask Runner Logs)", config=config)
