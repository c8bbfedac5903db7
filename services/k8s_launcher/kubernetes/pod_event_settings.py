"""Settings of reasons that come from Kubernetes Events: `FLIGHTLOG_KUBERNETES__POD_EVENTS__…`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PodEventSettings(BaseModel):
    """What the cluster says about an attempt's pods (no node has room, an image is pulled) becomes its reasons."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(True, description="Watch the Events of pods and of operators' objects")
    most_per_attempt: int = Field(40, gt=0, description="Reasons that one attempt gets from Events")
    pause_seconds: float = Field(
        30.0, ge=0, description="Between two of one attempt with the same word for the reason, `FailedScheduling` say"
    )
