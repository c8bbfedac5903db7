"""What the statuses of operators' objects have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flyteidl.core.execution_pb2 import TaskLog

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Exit
from services.k8s_launcher.kubernetes.objects import Reading

QUEUED = AttemptObserved.QUEUED
INITIALIZING = AttemptObserved.INITIALIZING
RUNNING = AttemptObserved.RUNNING


def said(status: Mapping[str, Any], name: str) -> str:
    """A text of a status; empty when it is not there, or null."""
    return status.get(name) or ""


def under_way(
    stage: AttemptObserved.Stage,
    reason: str = "",
    *,
    logs: tuple[TaskLog, ...] = (),
    at: datetime | None = None,
    again_at: datetime | None = None,
    info: Mapping[str, Any] | None = None,
) -> Reading:
    """It has not ended."""
    return Reading(stage, reason, logs=logs, occurred_at=at, again_at=again_at, custom_info=info or None)


def succeeded(
    *, logs: tuple[TaskLog, ...] = (), at: datetime | None = None, info: Mapping[str, Any] | None = None
) -> Reading:
    """All of it ended well; what it wrote decides."""
    return Reading(AttemptObserved.EXITED, exit=Exit(code=0), logs=logs, occurred_at=at, custom_info=info or None)


def ended(reading: Reading, *, logs: tuple[TaskLog, ...] = (), info: Mapping[str, Any] | None = None) -> Reading:
    """The same end, with links and what clients may want to know of it."""
    return dataclasses.replace(reading, logs=logs, custom_info=info or None)
