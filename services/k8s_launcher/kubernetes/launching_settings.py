"""Settings of creating and removing objects: `FLIGHTLOG_KUBERNETES__LAUNCHING__…`, `…__CLEANING__…`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LaunchingSettings(BaseModel):
    """How fast objects are made, and what happens while the API takes none."""

    model_config = ConfigDict(extra="forbid")

    creates_at_once: int = Field(32, gt=0, description="Objects that are being made at the same time")
    creates_per_second: float = Field(200.0, gt=0, description="Objects made, over all namespaces")
    max_in_flight: int | None = Field(
        None, gt=0, description="Attempts of one project and domain that have an object at once; default: any number"
    )
    backoff_first_seconds: float = Field(
        1.0,
        gt=0,
        description="Until a create that was refused for want of quota, or by a busy API, is tried again",
    )
    backoff_longest_seconds: float = Field(20.0, gt=0, description="The same after many refusals; each doubles it")
    patience_minutes: float = Field(
        10.0,
        gt=0,
        description="How long an attempt waits for its namespace to be made, or for a failing webhook, before it fails",
    )


class CleaningSettings(BaseModel):
    """When objects are removed."""

    model_config = ConfigDict(extra="forbid")

    keep_finished_hours: float = Field(
        23.0, ge=0, description="How long an execution's last objects stay after its end, for their logs"
    )
    abort_grace_seconds: int = Field(
        30, ge=0, description="Time that an aborted attempt has to end by itself, whatever its pod says"
    )
    sweep_minutes: float = Field(60.0, gt=0, description="Between searches for objects that are to be removed")
