"""Settings of the registry service."""

from datetime import timedelta
from typing import Annotated

from flyteidl.core import tasks_pb2
from pydantic import BaseModel, ConfigDict, Field, field_validator

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings
from flightlog_types import quantities


class DomainSettings(BaseModel):
    """A domain every project has."""

    model_config = ConfigDict(extra="forbid")

    id: str
    name: str


class ProjectSettings(BaseModel):
    """A project that is registered when it is not there yet."""

    model_config = ConfigDict(extra="forbid")

    id: str
    name: str
    description: str = ""


class ResourceSettings(BaseModel):
    """Amounts in Kubernetes' notation ("500m", "4Gi"); None sets no limit."""

    model_config = ConfigDict(extra="forbid")

    cpu: str | None = None
    memory: str | None = None
    gpu: str | None = None
    ephemeral_storage: str | None = None

    @field_validator("*")
    @classmethod
    def _is_a_quantity(cls, value: str | None) -> str | None:
        if value is not None:
            quantities.parse(value)
        return value

    def by_name(self) -> dict[int, str]:
        """The quantities that are set, by `Resources.ResourceName`."""
        names = tasks_pb2.Resources.ResourceName
        amounts = {
            names.CPU: self.cpu,
            names.MEMORY: self.memory,
            names.GPU: self.gpu,
            names.EPHEMERAL_STORAGE: self.ephemeral_storage,
        }
        return {name: quantity for name, quantity in amounts.items() if quantity is not None}


class UploadSettings(BaseModel):
    """Where clients upload to, and for how long a signed address is good."""

    model_config = ConfigDict(extra="forbid")

    storage_prefix: str = ""
    max_expiry: timedelta = timedelta(hours=1)


class RegistrySettings(BaseModel):
    """What is particular to the registry."""

    model_config = ConfigDict(extra="forbid")

    domains: list[DomainSettings] = [
        DomainSettings(id=name, name=name) for name in ("development", "staging", "production")
    ]
    projects: list[ProjectSettings] = [
        ProjectSettings(id="flytesnacks", name="flytesnacks", description="flytesnacks description")
    ]
    max_workflow_nodes: Annotated[int, Field(ge=0)] = 10_000
    """User nodes of one workflow; 0 sets no limit."""
    task_resource_limits: ResourceSettings = ResourceSettings()
    """The most one task may ask for, unless attributes of its project or domain say otherwise. A task above it is
    refused at registration."""
    max_parallelism: Annotated[int, Field(ge=0)] = 25
    """The execution service's setting of this name: clients are shown it among a project's attributes."""
    upload: UploadSettings = UploadSettings()
    cache_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """Memory for registered versions kept at hand; they never change."""


class Settings(ServiceSettings):
    """All of it: `FLIGHTLOG_REGISTRY__UPLOAD__MAX_EXPIRY`, …"""

    database: DatabaseSettings
    rpc: RpcSettings
    registry: RegistrySettings = RegistrySettings()
