"""Settings of the scheduler service, from `FLIGHTLOG_…` variables; nested names are joined by `__`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings


class SchedulerSettings(BaseModel):
    """What is particular to the scheduler."""

    model_config = ConfigDict(extra="forbid")


class Settings(ServiceSettings):
    """All settings of `python -m services.scheduler`."""

    database: DatabaseSettings
    rpc: RpcSettings
    scheduler: SchedulerSettings = SchedulerSettings()
