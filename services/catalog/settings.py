"""Settings of the catalog service, from `FLIGHTLOG_…` variables; nested names are joined by `__`."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings
from services.catalog.entries import Rules
from services.catalog.lineage.settings import LineageSettings, OpenLineageSettings


class CatalogSettings(BaseModel):
    """What is particular to the catalog."""

    model_config = ConfigDict(extra="forbid")

    max_in_flight: int = Field(512, gt=0, description="Envelopes of executions worked on at once")
    entries_at_once: int = Field(256, gt=0, description="Entries looked at once: a map of thousands asks for as many")
    max_age: timedelta | None = Field(
        None, description="Results older than this are found by nobody, unless they are pinned; by default none is"
    )
    heartbeat: timedelta = Field(
        timedelta(seconds=10),
        gt=timedelta(0),
        description="Longest interval at which clients must extend a reservation; while somebody waits for one, its "
        "holder is looked at as often",
    )

    lineage: LineageSettings = LineageSettings.model_validate({})
    openlineage: OpenLineageSettings = OpenLineageSettings.model_validate({})

    @property
    def rules(self) -> Rules:
        """What the entries are decided by."""
        return Rules(max_age=self.max_age, heartbeat=self.heartbeat)


class Settings(ServiceSettings):
    """All settings of `python -m services.catalog`."""

    database: DatabaseSettings
    rpc: RpcSettings
    catalog: CatalogSettings = CatalogSettings.model_validate({})
