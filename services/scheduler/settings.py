"""Settings of the scheduler service, from `FLIGHTLOG_…` variables; nested names are joined by `__`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_settings import SettingsConfigDict

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings
from services.scheduler.deliveries.settings import DeliverySettings
from services.scheduler.schedules.settings import ScheduleSettings


class SchedulerSettings(BaseModel):
    """What is particular to the scheduler."""

    model_config = ConfigDict(extra="forbid")

    schedules: ScheduleSettings = ScheduleSettings.model_validate({})
    deliveries: DeliverySettings = DeliverySettings.model_validate({})


class Settings(ServiceSettings):
    """All settings of `python -m services.scheduler`."""

    # Addresses and passwords of others are among them: a message about a wrong value does not repeat it.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    database: DatabaseSettings
    rpc: RpcSettings
    scheduler: SchedulerSettings = SchedulerSettings()
