"""Settings of what a pod's status means: `FLIGHTLOG_KUBERNETES__STATUS__…` (k8s-contract §2).

Times have the meaning of Flyte's `create-container-error-grace-period` and its like in `plugins.k8s`.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field


class StatusSettings(BaseModel):
    """How patient the runtime is with pods that do not start, and whose fault failures are."""

    model_config = ConfigDict(extra="forbid")

    create_container_error_grace: timedelta = Field(
        timedelta(minutes=3), ge=timedelta(), description="How long a container may fail to be created"
    )
    create_container_config_error_grace: timedelta = Field(
        timedelta(), ge=timedelta(), description="The same for want of a secret or config map that it names"
    )
    image_pull_backoff_grace: timedelta = Field(
        timedelta(minutes=3), ge=timedelta(), description="How long an image may fail to be pulled"
    )
    pod_pending_timeout: timedelta = Field(
        timedelta(),
        ge=timedelta(),
        description="How long a pod may wait in one state before its attempt is tried again; 0: without end",
    )
    plain_exit_is_user_error: bool = Field(
        False, description="A container that exits with a code of its own uses up the task's retries, not the system's"
    )
    node_failures_are_system: bool = Field(
        False,
        description="A node that has no room or device after all (OutOfcpu, UnexpectedAdmissionError, Preempting, …)"
        " uses up the system's retries, not the task's",
    )
    delete_leftover_sidecars: bool = Field(
        True, description="A pod whose task has succeeded is deleted at once when containers of it still run"
    )
