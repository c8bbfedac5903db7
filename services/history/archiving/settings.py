"""Settings of the archive."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class TrimmingSettings(BaseModel):
    """When events of executions that are over leave the hot log. They are read from the archive from then on."""

    model_config = ConfigDict(extra="forbid")

    after_days: Annotated[float, Field(ge=0)] | None = None
    """So long after they were recorded; not set: never."""
    pause_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Between two looks at what has become old enough."""


class ArchiveSettings(BaseModel):
    """How the log is archived."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = True
    """Whether this instance writes the archive when no other one does."""
    close_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A segment is closed when its first message has waited for so long: about so much is lost with the log."""
    close_messages: Annotated[int, Field(gt=0)] = 20_000
    """A segment has no more messages than this, whether closed or merged."""
    close_bytes: Annotated[int, Field(gt=0)] = 64 * 1024 * 1024
    """A segment is closed when its messages have so many bytes together."""
    look_seconds: Annotated[float, Field(gt=0)] = 2.0
    """Between two looks at where the streams end."""
    trimming: TrimmingSettings = TrimmingSettings()
