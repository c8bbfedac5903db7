"""Settings of the catalog service, from `FLIGHTLOG_…` variables; nested names are joined by `__`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings


class CatalogSettings(BaseModel):
    """What is particular to the catalog."""

    model_config = ConfigDict(extra="forbid")

    max_in_flight: int = Field(512, gt=0, description="Envelopes of executions worked on at once")
    entries_at_once: int = Field(64, gt=0, description="Entries looked at once: a map of thousands asks for as many")


class Settings(ServiceSettings):
    """All settings of `python -m services.catalog`."""

    database: DatabaseSettings
    rpc: RpcSettings
    catalog: CatalogSettings = CatalogSettings.model_validate({})
