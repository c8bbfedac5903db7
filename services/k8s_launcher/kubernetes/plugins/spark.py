"""Spark: `spark` tasks as SparkApplication of Kubeflow's Spark operator (k8s-contract §5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import TaskLog
from flyteidl.plugins import spark_pb2

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
from services.k8s_launcher.kubernetes.plugins.settings import SparkSettings
from services.k8s_launcher.kubernetes.plugins.templates import Template, pod_template, top_metadata
from services.k8s_launcher.kubernetes.pods.endings import user_failure
from services.k8s_launcher.kubernetes.pods.log_settings import LogSettings
from services.k8s_launcher.kubernetes.pods.logs import LogSource, links, task_config
from services.k8s_launcher.kubernetes.pods.times import moment

KIND: Final = Kind("sparkoperator.k8s.io/v1beta2", "SparkApplication", "sparkapplications")
DRIVER: Final = "spark-kubernetes-driver"
EXECUTOR: Final = "spark-kubernetes-executor"

_LANGUAGES: Final = {
    spark_pb2.SparkApplication.PYTHON: "Python",
    spark_pb2.SparkApplication.JAVA: "Java",
    spark_pb2.SparkApplication.SCALA: "Scala",
    spark_pb2.SparkApplication.R: "R",
}
_FEATURE: Final = re.compile(r"spark\.(?:flyteorg|flyte)\.(.+)\.enabled")
_SUBMISSIONS: Final = 14
# Older operators do not know templates; the least that the webhook lets have one.
_FIRST_WITH_TEMPLATES: Final = "3.0.0"
# Fields of a pod that the operator has in its own description of driver and executors.
_OF_THE_POD: Final = {
    "affinity": "affinity",
    "tolerations": "tolerations",
    "schedulerName": "schedulerName",
    "nodeSelector": "nodeSelector",
    "hostNetwork": "hostNetwork",
    "dnsConfig": "dnsConfig",
    "securityContext": "podSecurityContext",
    "priorityClassName": "priorityClassName",
}


class Spark:
    """Runs `spark` tasks: the driver has the task's command, executors come from it."""

    identifier = "spark"
    kind = KIND
    longest_name = 50

    def build(self, task: Task) -> Built:
        """A SparkApplication. Raises `NotLaunchable`."""
        asked = custom_of(task.template, spark_pb2.SparkJob())
        if not asked.mainApplicationFile and not asked.mainClass:
            raise refused("either MainApplicationFile or MainClass must be set")
        settings = task.settings.operators.spark
        conf = _conf(task, asked, settings)
        driver = _role(task, asked.driverPod, interruptible=False)
        executor = _role(task, asked.executorPod, interruptible=None)
        container = executor.container()
        spec: Object = {
            "type": _LANGUAGES[asked.applicationType],
            "mode": "cluster",
            "sparkVersion": settings.spark_version,
            "image": container.get("image", ""),
            "arguments": list(container.get("args") or ()),
            "sparkConf": conf,
            # Failures of the job are the execution's to deal with, those of submitting it the operator's.
            "restartPolicy": {"type": "OnFailure", "onSubmissionFailureRetries": _SUBMISSIONS},
        }
        if asked.hadoopConf:
            spec["hadoopConf"] = dict(sorted(asked.hadoopConf.items()))
        if asked.mainApplicationFile:
            spec["mainApplicationFile"] = asked.mainApplicationFile
        if asked.mainClass:
            spec["mainClass"] = asked.mainClass
        if "spark.batchScheduler" in conf:
            spec["batchScheduler"] = conf["spark.batchScheduler"]
        volumes = {
            each["name"]: each for role in (driver, executor) for each in role.secret_fields().get("volumes", ())
        }
        if volumes:
            spec["volumes"] = list(volumes.values())
        spec["driver"] = _pod_fields(task, driver) | _size(conf, "driver")
        spec["executor"] = _pod_fields(task, executor) | _size(conf, "executor")
        if (instances := _whole(conf.get("spark.executor.instances"))) is not None:
            spec["executor"]["instances"] = instances
        if settings.pod_template:
            spec["sparkVersion"] = settings.spark_version or _FIRST_WITH_TEMPLATES
            for role, template, name in (("driver", driver, DRIVER), ("executor", executor, EXECUTOR)):
                spec[role]["template"] = _template_object(template, name)
                conf[f"spark.kubernetes.{role}.podTemplateContainerName"] = name
        manifest: Object = {
            "apiVersion": KIND.api_version,
            "kind": KIND.kind,
            "metadata": top_metadata(task),
            "spec": spec,
        }
        return Built(KIND, manifest)

    def read(self, seen: Seen) -> Reading:
        """What the application's state means."""
        status: Mapping[str, Any] = seen.object.get("status") or {}
        application: Mapping[str, Any] = status.get("applicationState") or {}
        state = application.get("state") or ""
        logs, info = _links(seen, status, state)
        end = moment(status.get("terminationTime"))
        match state:
            case "":
                return under_way(QUEUED, "job queued", logs=logs, info=info)
            case "SUSPENDING" | "SUSPENDED" | "RESUMING":
                return under_way(QUEUED, "Suspended" if state == "SUSPENDED" else state.title(), logs=logs, info=info)
            case "SUBMITTED":
                at = moment(status.get("lastSubmissionAttemptTime"))
                return under_way(INITIALIZING, "job submitted", logs=logs, at=at, info=info)
            case "SUBMISSION_FAILED":
                message = f"Spark Job Submission Failed with Error: {said(application, 'errorMessage')}"
                return ended(user_failure("DownstreamSystemError", message, end), logs=logs, info=info)
            case "FAILED":
                message = f"Spark Job Failed with Error: {said(application, 'errorMessage')}"
                return ended(user_failure("DownstreamSystemError", message, end), logs=logs, info=info)
            case "COMPLETED":
                return succeeded(logs=logs, at=end, info=info)
            case _:
                return under_way(RUNNING, "" if state == "RUNNING" else state, logs=logs, info=info)


def _conf(task: Task, asked: spark_pb2.SparkJob, settings: SparkSettings) -> dict[str, str]:
    """Spark's configuration: the operator's defaults, the task's, and what makes names and times the attempt's own."""
    conf = dict(settings.default_conf)
    if asked.executorPath:
        conf["spark.pyspark.python"] = conf["spark.pyspark.driver.python"] = asked.executorPath
    features = {feature.name: feature.conf for feature in settings.features}
    for name, value in sorted(asked.sparkConf.items()):
        feature = _FEATURE.fullmatch(name)
        if feature is not None and value.strip().lower() == "true" and feature[1] in features:
            conf |= features[feature[1]]
        else:
            conf[name] = value
    for role in ("driver", "executor"):
        limit = f"spark.kubernetes.{role}.limit.cores"
        cores = conf.get(f"spark.kubernetes.{role}.request.cores") or conf.get(f"spark.{role}.cores")
        if cores and not conf.get(limit):
            conf[limit] = cores
    conf["spark.kubernetes.executor.podNamePrefix"] = task.name
    # The order's time, not this moment: whoever builds the object again builds the same.
    conf["spark.kubernetes.driverEnv.FLYTE_START_TIME"] = str(task.scheduled.occurred_at.ToMilliseconds())
    return conf


def _role(task: Task, pod: tasks_pb2.K8sPod, *, interruptible: bool | None) -> Template:
    template = pod_template(task, interruptible=interruptible)
    template.overlay(pod)
    attempts = str(task.template.metadata.retries.retries + 1)
    template.container().setdefault("env", []).append({"name": "FLYTE_MAX_ATTEMPTS", "value": attempts})
    return template


def _pod_fields(task: Task, template: Template) -> Object:
    """Driver or executors, as the operator describes them."""
    container, metadata = template.container(), template.as_object()["metadata"]
    secret = template.secret_fields()
    fields: Object = {
        "labels": metadata["labels"],
        "annotations": metadata["annotations"],
        "image": container.get("image", ""),
        "env": container.get("env") or [],
        "serviceAccount": template.spec.get("serviceAccountName") or task.settings.operators.spark.service_account,
    }
    for name, own_name in _OF_THE_POD.items():
        if template.spec.get(name):
            fields[own_name] = template.spec[name]
    if container.get("securityContext"):
        fields["securityContext"] = container["securityContext"]
    if container.get("envFrom"):
        fields["envFrom"] = container["envFrom"]
    if secret["volumeMounts"]:
        fields["volumeMounts"] = secret["volumeMounts"]
    return fields


def _template_object(template: Template, name: str) -> Object:
    container = template.renamed(name)
    # The operator has its own for them.
    container.pop("command", None)
    container.pop("args", None)
    return template.as_object()


def _size(conf: Mapping[str, str], role: str) -> Object:
    size: Object = {}
    if (cores := _whole(conf.get(f"spark.{role}.cores"))) is not None:
        size["cores"] = cores
    if memory := conf.get(f"spark.{role}.memory"):
        size["memory"] = memory
    return size


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None


def _links(seen: Seen, status: Mapping[str, Any], state: str) -> tuple[tuple[TaskLog, ...], Object]:
    settings, metadata = seen.settings.operators.spark, seen.object["metadata"]
    config = task_config(seen.object)
    driver: Mapping[str, Any] = status.get("driverInfo") or {}
    created = moment(metadata.get("creationTimestamp"))

    def of(pod: str, of_section: LogSettings, suffix: str) -> list[TaskLog]:
        source = LogSource(pod, metadata["namespace"], container_name=DRIVER, started_at=created)
        return list(links(source, seen.scheduled, of_section, suffix=suffix, config=config))

    found: list[TaskLog] = []
    pod = driver.get("podName") or ""
    if pod:
        found += of(pod, settings.logs.mixed, " (Driver Logs)")
        found += of(pod, settings.logs.user, " (User Logs)")
    found += of(metadata["name"], settings.logs.system, " (System Logs)")
    for link in of(metadata["name"], settings.logs.all_user, " (Spark-Submit/All User Logs)"):
        link.ShowWhilePending = True
        found.append(link)
    info: Object = {}
    application = status.get("sparkApplicationId")
    if state in {"FAILED", "COMPLETED"}:
        if application and settings.history_server_url:
            info["sparkHistoryUI"] = f"{settings.history_server_url.rstrip('/')}/history/{application}"
            found.append(_page("Spark History UI", info["sparkHistoryUI"]))
    elif state == "RUNNING" and driver.get("webUIIngressAddress"):
        address = driver["webUIIngressAddress"]
        info["sparkDriverUI"] = address if address.startswith(("http://", "https://")) else f"https://{address}"
        found.append(_page("Spark Driver UI", info["sparkDriverUI"]))
    return tuple(found), info


def _page(name: str, uri: str) -> TaskLog:
    return TaskLog(uri=uri, name=name, message_format=TaskLog.JSON)
