"""Settings of lineage: what one question may cost, and whether the world outside is told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LineageSettings(BaseModel):
    """What one question about lineage may read and give."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(2000, gt=0, description="Most artifacts and steps of an answer; more are cut off, and it says so")
    executions: int = Field(200, gt=0, description="Most executions that are looked into for one question")
    mentions: int = Field(1000, gt=0, description="Most executions that are looked up of one address")
    reads: int = Field(20_000, gt=0, description="Most literal maps and looks into the index for one question")
    value_bytes: int = Field(64 << 20, gt=0, description="Larger literal maps and compiled workflows are not read")


class OpenLineageSettings(BaseModel):
    """Whether and how OpenLineage events are made."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(False, description="Make an OpenLineage event of every start and end")
    namespace: str = Field("flightlog", min_length=1, description="Namespace of all jobs: the name of this deployment")
    producer: str = Field("urn:flightlog", min_length=1, description="URI that events give as their producer")
    max_in_flight: int = Field(64, gt=0, description="Envelopes of executions worked on at once")
    value_bytes: int = Field(8 << 20, gt=0, description="Data sets are not looked for in larger literal maps")
