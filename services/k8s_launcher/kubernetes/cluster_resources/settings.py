"""Settings of what projects have in the cluster: `FLIGHTLOG_KUBERNETES__CLUSTER_RESOURCES__…`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ValueSource(BaseModel):
    """Where a variable's value comes from; a plain text or whole number is the value itself."""

    model_config = ConfigDict(extra="forbid")

    value: str | None = None
    env: str | None = Field(None, description="Variable of the launcher's environment")
    file: Path | None = Field(None, description="File that holds it; blanks around it do not belong to it")

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        plain = isinstance(given, str | int) and not isinstance(given, bool)
        return {"value": str(given)} if plain else given

    @model_validator(mode="after")
    def _one_source(self) -> ValueSource:
        given = cast("list[Any]", [self.value, self.env, self.file])
        if sum(source is not None for source in given) != 1:
            raise ValueError("exactly one of value, env and file must be given")
        return self


Values = dict[str, ValueSource]


class ClusterResourceSettings(BaseModel):
    """What every project and domain has in the cluster."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(True, description="Whether the launcher makes these objects; else somebody else must")
    directory: Path | None = Field(
        None,
        description="Folder of templates, `*.yaml`, applied in the order of their names; default: a namespace alone",
    )
    domains: list[str] = Field(
        ["development", "staging", "production"], description="Domain ids that every project has, as the registry's"
    )
    values: Values = Field(default_factory=Values, description="Variables of templates, in all domains")
    domain_values: dict[str, Values] = Field(
        default_factory=dict[str, Values], description="Variables by domain; they come before the others"
    )
    refresh_seconds: float = Field(
        300.0,
        gt=0,
        description="How often templates and values are read again; what fails is tried again at least as often",
    )
    repeat_seconds: float = Field(
        3600.0, gt=0, description="How often an object is applied again that is not known to have changed"
    )
    parallel: int = Field(4, gt=0, description="Projects and domains worked on at once")
