"""Why a pod cannot be made of a task: always the task's own fault, so no other attempt is made of it."""

from __future__ import annotations

from services.k8s_launcher.task_templates import NotLaunchable


def bad_specification(message: str) -> NotLaunchable:
    """Flyte's `BadTaskSpecification`, which clients see as `FailedToBuildResource` (k8s-contract §1.5)."""
    return NotLaunchable("FailedToBuildResource", message)
