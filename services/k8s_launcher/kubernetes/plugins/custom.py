"""What a task says to its plugin: `TaskTemplate.custom`, a message of `flyteidl.plugins` as JSON."""

from __future__ import annotations

from typing import TypeVar

from flyteidl.core import tasks_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from services.k8s_launcher.task_templates import NotLaunchable

M = TypeVar("M", bound=Message)


def refused(message: str) -> NotLaunchable:
    """The error of a task that no object can be made of; no further attempt helps (k8s-contract §3.1)."""
    return NotLaunchable("FailedToBuildResource", message)


def custom_of(template: tasks_pb2.TaskTemplate, message: M) -> M:
    """Fills `message` from a task's custom part. Fields nobody knows are left out. Raises `NotLaunchable`."""
    try:
        return json_format.ParseDict(json_format.MessageToDict(template.custom), message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError) as error:
        raise refused(f"the task's configuration for {template.type!r} is not what it should be: {error}") from None


def version_of(template: tasks_pb2.TaskTemplate, *known: int) -> int:
    """The version of the task type, which says what the custom part is. Raises `NotLaunchable` for unknown ones."""
    version = template.task_type_version
    if version not in known:
        raise refused(
            f"version {version} of the task type {template.type!r} is not known, only {', '.join(map(str, known))}"
        )
    return version
