"""Settings of connectors: `FLIGHTLOG_LAUNCHER__CONNECTORS__…` (k8s-contract §5.7).

What is here has the meaning of the same words in Flyte's `plugins.connector-service`, and its defaults unless
docs/differences.md says otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT: Final = "default"
"""Name of the connector that takes the types which are only said to be supported."""

Method = Literal["CreateTask", "GetTask", "DeleteTask", "ExecuteTaskSync", "ListAgents"]


class EndpointSettings(BaseModel):
    """Where a connector is, and how long its answers may take."""

    model_config = ConfigDict(extra="forbid")

    endpoint: str = Field(min_length=1, description="`host:port`; all addresses of the host's name are used in turn")
    tls: bool = Field(False, description="Speak TLS to it")
    ca_file: Path | None = Field(None, description="Certificates that vouch for it (PEM); default: gRPC's own")
    timeout_seconds: float = Field(10.0, gt=0, description="For an answer")
    sync_timeout_seconds: float = Field(60.0, gt=0, description="For a task that runs while the connector is asked")
    timeouts: dict[Method, float] = Field(
        default_factory=dict[Method, float], description="For an answer, by method; wins over both"
    )

    def timeout(self, method: Method) -> float:
        """Seconds that an answer may take."""
        otherwise = self.sync_timeout_seconds if method == "ExecuteTaskSync" else self.timeout_seconds
        return self.timeouts.get(method, otherwise)


class ConnectorSettings(BaseModel):
    """Connectors: where they are, and which tasks they run."""

    model_config = ConfigDict(extra="forbid")

    default: EndpointSettings | None = Field(
        None, description="The connector of types that `supported_task_types` lists; it may list types of its own too"
    )
    endpoints: dict[str, EndpointSettings] = Field(
        default_factory=dict[str, EndpointSettings], description="More connectors, by name"
    )
    connector_for_task_types: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="Task type to name of a connector, whatever it lists; goes before all else that could run the type",
    )
    supported_task_types: list[str] = Field(
        default_factory=list[str], description="Types for the default connector that no connector lists"
    )
    list_interval_seconds: float = Field(10.0, gt=0, description="Between two questions which types a connector runs")
    poll_interval_seconds: float = Field(30.0, gt=0, description="The longest time between two looks at a task")
    first_poll_seconds: float = Field(
        1.0, gt=0, description="The shortest; a task is looked at again after a quarter of the time it has taken so far"
    )
    max_consecutive_failures: int = Field(
        5, ge=0, description="Looks at a task that may fail in a row; with one more the task has failed"
    )
    patience_seconds: float = Field(
        600.0, gt=0, description="How long a connector that cannot be reached is waited for, on behalf of each task"
    )
    calls_at_once: int = Field(16, gt=0, description="Calls of one connector at the same time")

    @model_validator(mode="after")
    def _names_are_known(self) -> ConnectorSettings:
        if DEFAULT in self.endpoints:
            raise ValueError(f"the connector {DEFAULT!r} is that of the setting `default`")
        unknown = sorted({*self.connector_for_task_types.values()} - {*self.all()})
        if unknown:
            raise ValueError(f"connector_for_task_types names connectors that are not set: {', '.join(unknown)}")
        if self.supported_task_types and self.default is None:
            raise ValueError("supported_task_types needs the default connector")
        return self

    def all(self) -> dict[str, EndpointSettings]:
        """All connectors by name. The default one is the last."""
        return self.endpoints | ({DEFAULT: self.default} if self.default is not None else {})
