"""Links to logs, as clients see them beside an attempt (k8s-contract §2.10).

Addresses are templates: `{{ .podName }}`, `{{ $namespace }}` and their like are replaced, whatever their case; one
whose value is not known stays as it is. Tasks choose links of some types themselves, by `link_type` in their
configuration; since the configuration is not in the pod, `wanted` puts what is needed of it into the object's
annotations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import TaskLog

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.log_settings import DynamicLink, LinkTemplate, LogSettings
from services.k8s_launcher.kubernetes.pods.times import moment

USER_LOGS: Final = " (User)"
"""What kind of log a pod's own is; it follows the link's name."""

ANNOTATION: Final = "flightlog.dev/log-links"
"""The task's configuration, as JSON, on the objects of tasks that ask for links."""

_LINK_TYPE: Final = "link_type"
_PLACEHOLDER: Final = re.compile(r"\{\{\s*[.$](\w+(?:[.$]\w+)?)\s*\}\}")
_TASK_CONFIG: Final = "taskconfig"
_FORMATS: Final = {"unknown": TaskLog.UNKNOWN, "csv": TaskLog.CSV, "json": TaskLog.JSON}
# A window of time in a log's address ends here while nobody knows when the task will.
_WINDOW: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LogSource:
    """What writes a log, as far as it is known. Empty: unknown."""

    pod_name: str
    namespace: str
    pod_uid: str = ""
    container_name: str = ""
    container_id: str = ""
    """With or without the `containerd://` in front."""
    hostname: str = ""
    node_name: str = ""
    started_at: datetime | None = None
    """When the pod was created."""
    finished_at: datetime | None = None


def wanted(template: tasks_pb2.TaskTemplate) -> dict[str, str]:
    """Annotations that the object of a task needs to get the links that the task asks for; none for most tasks."""
    if not template.config.get(_LINK_TYPE, ""):
        return {}
    return {ANNOTATION: json.dumps(dict(template.config), sort_keys=True, separators=(",", ":"))}


def links(
    source: LogSource,
    scheduled: AttemptScheduled,
    settings: LogSettings,
    *,
    suffix: str = USER_LOGS,
    config: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> tuple[TaskLog, ...]:
    """The links to one log.

    Args:
        suffix: what kind of log it is, as it follows the links' names; also `{{ .logName }}`.
        config: the task's configuration, as `task_config` finds it.
        extra: more variables, of a plugin (`rayClusterName`).
    """
    config = config or {}
    values = _values(source, scheduled, suffix) | {name.lower(): value for name, value in (extra or {}).items()}
    values |= {f"{_TASK_CONFIG}.{name.lower()}": value for name, value in config.items()}
    found = [_link(link, uri, suffix, values) for link in _chosen(settings, config) for uri in link.template_uris]
    return tuple(found)


def pod_links(
    pod: Object, container: str, scheduled: AttemptScheduled, settings: LogSettings, *, suffix: str = USER_LOGS
) -> tuple[TaskLog, ...]:
    """The links to the log of one container of a pod; none before the node has taken the pod on."""
    source = log_source(pod, container)
    return () if source is None else links(source, scheduled, settings, suffix=suffix, config=task_config(pod))


def task_config(thing: Object) -> dict[str, str]:
    """The configuration of the task that an object runs, as far as links need it; none when it was spoilt there."""
    text = (thing["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def log_source(pod: Object, container: str) -> LogSource | None:
    """What writes the log of one container; None before there is a status of it."""
    metadata, spec = pod["metadata"], pod["spec"]
    statuses: Iterable[dict[str, Any]] = pod.get("status", {}).get("containerStatuses") or ()
    status = next((each for each in statuses if each["name"] == container), None)
    if status is None:
        return None
    ended = (status.get("state") or {}).get("terminated") or {}
    return LogSource(
        pod_name=metadata["name"],
        namespace=metadata["namespace"],
        pod_uid=metadata.get("uid", ""),
        container_name=container,
        container_id=status.get("containerID", ""),
        hostname=spec.get("hostname", ""),
        node_name=spec.get("nodeName", ""),
        started_at=moment(metadata.get("creationTimestamp")),
        finished_at=moment(ended.get("finishedAt")),
    )


def _values(source: LogSource, scheduled: AttemptScheduled, suffix: str) -> dict[str, str]:
    """Values by placeholder name in lower case."""
    task, execution = scheduled.task_id, scheduled.execution_id
    started = source.started_at
    finished = source.finished_at or (started + _WINDOW if started is not None else None)
    return {
        "logname": suffix,
        "podname": source.pod_name,
        "poduid": source.pod_uid,
        "namespace": source.namespace,
        "containername": source.container_name,
        "containerid": source.container_id.rpartition("://")[2],
        "hostname": source.hostname,
        "nodename": source.node_name,
        "podrfc3339starttime": _rfc3339(started),
        "podrfc3339finishtime": _rfc3339(finished),
        "podunixstarttime": _unix(started),
        "podunixfinishtime": _unix(finished),
        "taskid": task.name,
        "taskversion": task.version,
        "taskproject": task.project,
        "taskdomain": task.domain,
        "taskretryattempt": str(scheduled.attempt),
        "nodeid": scheduled.node_id,
        "executionname": execution.name,
        "executionproject": execution.project,
        "executiondomain": execution.domain,
        "generatedname": scheduled.generated_name,
    }


def _chosen(settings: LogSettings, config: Mapping[str, str]) -> Iterator[LinkTemplate]:
    """The links that are to be had, in their order."""
    if settings.kubernetes_enabled:
        view = "/#!/log/{{ .namespace }}/{{ .podName }}/pod?namespace={{ .namespace }}"
        yield _built_in("Kubernetes Logs", settings.kubernetes_template_uri or settings.kubernetes_url + view)
    if settings.cloudwatch_enabled:
        stream = "var.log.containers.{{ .podName }}_{{ .namespace }}_{{ .containerName }}-{{ .containerId }}.log"
        address = (
            f"https://console.aws.amazon.com/cloudwatch/home?region={settings.cloudwatch_region}"
            f"#logEventViewer:group={settings.cloudwatch_log_group};stream={stream}"
        )
        yield _built_in("Cloudwatch Logs", settings.cloudwatch_template_uri or address)
    if settings.stackdriver_enabled:
        project = settings.gcp_project
        address = (
            f"https://console.cloud.google.com/logs/viewer?project={project}&angularJsUrl=%2Flogs%2Fviewer%3Fproject%3D"
            f"{project}&resource={settings.stackdriver_logresourcename}"
            "&advancedFilter=resource.labels.pod_name%3D{{ .podName }}"
        )
        yield _built_in("Stackdriver Logs", settings.stackdriver_template_uri or address)
    yield from settings.templates
    for kind in sorted({name.strip() for name in config.get(_LINK_TYPE, "").split(",")}):
        asked = settings.dynamic_log_links.get(kind)
        if asked is not None:
            yield _dynamic(asked)


def _built_in(name: str, uri: str) -> LinkTemplate:
    return LinkTemplate.model_construct(
        display_name=name,
        template_uris=[uri],
        message_format="json",
        show_while_pending=False,
        hide_once_finished=False,
    )


def _dynamic(link: DynamicLink) -> LinkTemplate:
    return LinkTemplate.model_construct(**dict(link), message_format="json")


def _link(link: LinkTemplate, uri: str, suffix: str, values: Mapping[str, str]) -> TaskLog:
    return TaskLog(
        uri=_filled(uri, values),
        name=_filled(link.display_name, values) + suffix,
        message_format=_FORMATS[link.message_format],
        ShowWhilePending=link.show_while_pending,
        HideOnceFinished=link.hide_once_finished,
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return values.get(match.group(1).lower().replace("$", ".")) or match.group(0)

    return _PLACEHOLDER.sub(value, text)


def _rfc3339(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at is not None else ""


def _unix(at: datetime | None) -> str:
    return str(int(at.timestamp())) if at is not None else ""
