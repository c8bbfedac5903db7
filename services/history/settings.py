"""Settings of the history service, from `FLIGHTLOG_…` variables; nested names are joined by `__`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_settings import SettingsConfigDict

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings


class HistorySettings(BaseModel):
    """What is particular to the history service."""

    model_config = ConfigDict(extra="forbid")


class Settings(ServiceSettings):
    """All settings of `python -m services.history`."""

    # Addresses and passwords of others are among them: a message about a wrong value does not repeat it.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    database: DatabaseSettings
    rpc: RpcSettings
    history: HistorySettings = HistorySettings()
