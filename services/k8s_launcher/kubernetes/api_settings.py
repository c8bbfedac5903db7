"""Settings of how the launcher speaks to the Kubernetes API: `FLIGHTLOG_KUBERNETES__API__…`, `…__LEASE__…`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ApiSettings(BaseModel):
    """Calls of the Kubernetes API."""

    model_config = ConfigDict(extra="forbid")

    connections: int = Field(64, gt=0, description="Calls at the same time; watches do not count")
    connect_seconds: float = Field(5.0, gt=0, description="Until a connection is there")
    request_seconds: float = Field(
        30.0, gt=0, description="Until a call is answered, its wait for a connection included"
    )
    page: int = Field(500, gt=0, description="Objects that one call of a list returns")
    watch_seconds: float = Field(300.0, ge=1, description="How long one watch lasts before the next goes on from it")
    longest_pause_seconds: float = Field(
        15.0, gt=0, description="Between attempts to watch again while the API does not answer; the first comes at once"
    )
    user_agent: str = Field("flightlog-launcher", min_length=1, description="What the API's audit log knows it by")
