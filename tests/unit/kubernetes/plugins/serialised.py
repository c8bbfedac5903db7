"""Tasks as flytekit's plugins serialise them (`make_data.py`), and statuses of the objects that are made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flyteidl.core import tasks_pb2
from google.protobuf import json_format

from services.k8s_launcher.kubernetes.objects import Built, Object, Plugin, Reading, Seen, Task
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.unit.kubernetes.pods import tasks

DATA = Path(__file__).with_name("data")
NAMES = sorted(path.stem for path in DATA.glob("*.json"))
CREATED = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


def template(name: str) -> tasks_pb2.TaskTemplate:
    """A task template of `data/`."""
    return json_format.ParseDict(json.loads((DATA / f"{name}.json").read_text()), tasks_pb2.TaskTemplate())


def custom(task_type: str, version: int = 0, /, **fields: Any) -> tasks_pb2.TaskTemplate:
    """A task whose custom part is said here."""
    made = tasks.template(type=task_type, task_type_version=version, container=tasks.container("run", "{{.input}}"))
    made.custom.update(fields)
    return made


def settings(**fields: Any) -> KubernetesSettings:
    """Settings without limits of resources."""
    return KubernetesSettings.model_validate(
        {"task_resources": {"defaults": {"cpu": "100m", "memory": "500Mi"}}, **fields}
    )


def plugin_of(task_type: str) -> Plugin:
    return next(each.plugin for each in OPERATORS if task_type in each.task_types)


def attempt(of: str | tasks_pb2.TaskTemplate, settings_of: KubernetesSettings | None = None, **fields: Any) -> Task:
    """An attempt of a task of `data/`, or of another."""
    made = template(of) if isinstance(of, str) else of
    return tasks.task(made, settings_of=settings_of or settings(), **fields)


def built(of: str | tasks_pb2.TaskTemplate, settings_of: KubernetesSettings | None = None, **fields: Any) -> Built:
    """The object of such an attempt."""
    task = attempt(of, settings_of, **fields)
    return plugin_of(task.template.type).build(task)


def manifest(of: str | tasks_pb2.TaskTemplate, settings_of: KubernetesSettings | None = None, **fields: Any) -> Object:
    return built(of, settings_of, **fields).manifest


def reading(
    of: str,
    status: Mapping[str, Any] | None,
    *,
    settings_of: KubernetesSettings | None = None,
    now: datetime = NOW,
    spec: Mapping[str, Any] | None = None,
) -> Reading:
    """What a status means, of the object of a task of `data/`, made at `CREATED`."""
    task = attempt(of, settings_of)
    plugin = plugin_of(task.template.type)
    seen = plugin.build(task).manifest
    seen["metadata"]["creationTimestamp"] = "2026-01-01T12:00:00Z"
    seen["spec"] = {**seen["spec"], **(spec or {})}
    if status is not None:
        seen["status"] = dict(status)
    return plugin.read(Seen(seen, now, task.scheduled, task.settings))


def container(pod: Object, name: str) -> Object:
    """A container of a pod's spec."""
    return next(each for each in pod["containers"] if each["name"] == name)


def variables(of: Object) -> dict[str, Any]:
    """Of a container; the last of a name counts, as for the kubelet."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in of.get("env", ())}
