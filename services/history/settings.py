"""Settings of the history service, from `FLIGHTLOG_…` variables; nested names are joined by `__`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings
from services.history.archiving.settings import ArchiveSettings


class HistorySettings(BaseModel):
    """What is particular to the history service."""

    model_config = ConfigDict(extra="forbid")

    niceness: Annotated[int, Field(ge=0, le=19)] = 10
    """By how much the process lowers its own priority."""
    archive: ArchiveSettings = ArchiveSettings()
    watch_sign_seconds: Annotated[float, Field(gt=0)] = 10.0
    """A client of WatchEvents that was told nothing for so long is told how far the stream was looked through."""
    watches: Annotated[int, Field(gt=0)] = 500
    """Calls of WatchEvents answered at once by one instance; each holds up to 2 MB and one consumer of NATS."""


class Settings(ServiceSettings):
    """All settings of `python -m services.history`."""

    # Addresses and passwords of others are among them: a message about a wrong value does not repeat it.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    database: DatabaseSettings
    rpc: RpcSettings
    history: HistorySettings = HistorySettings()
