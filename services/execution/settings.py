"""Settings of the execution service."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings

_MIB = 1024 * 1024


class RetrySettings(BaseModel):
    """How failures that are nobody's fault are repeated (engine-semantics §2.6)."""

    model_config = ConfigDict(extra="forbid")

    max_system_failures: Annotated[int, Field(ge=0)] = 3
    """Further attempts after failures of the system, beside the user's own budget."""
    backoff_base: timedelta = timedelta(milliseconds=100)
    backoff_max: timedelta = timedelta(seconds=30)


class OffloadingSettings(BaseModel):
    """Literals that go into objects of their own, instead of into a node's outputs (engine-semantics §7.3)."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = True
    min_mib: Annotated[int, Field(gt=0)] = 2
    """From which size on. Outputs as a whole may have `read_bytes`."""
    max_mib: Annotated[int, Field(gt=0)] = 1000
    """Larger ones fail the task that returns them."""
    read_bytes: Annotated[int, Field(gt=0)] = 256 * _MIB
    """Largest one that the engine itself looks into: for an attribute of it, or the elements of a map."""


class ExecutionSettings(BaseModel):
    """What is particular to executions."""

    model_config = ConfigDict(extra="forbid")

    domains: list[str] = ["development", "staging", "production"]
    """Domain ids that every project has."""
    max_parallelism: Annotated[int, Field(ge=0)] = 25
    """Task nodes of one execution that may run at once when neither request nor launch plan says; 0 sets no limit."""
    metadata_prefix: str = "metadata/propeller"
    """Key prefix of node inputs and outputs in the bucket. `{shard}` in it spreads the executions over 256 folders."""
    raw_output_prefix: str = "data"
    """Key prefix of what tasks write, unless the request or the launch plan names another place."""
    inline_bytes: Annotated[int, Field(ge=0)] = 2 * _MIB
    """Inputs and outputs up to this size are answered inline, larger ones by a signed address (§4.13)."""
    read_bytes: Annotated[int, Field(gt=0)] = 2 * _MIB
    """Largest outputs and error files that tasks may write (engine-semantics §3.2)."""
    futures_bytes: Annotated[int, Field(gt=0)] = 32 * _MIB
    """Largest futures.pb, the nodes that dynamic tasks ask for."""
    link_expiry: timedelta = timedelta(hours=1)
    """Default and longest validity of signed addresses."""
    cached_executions: Annotated[int, Field(gt=0)] = 4096
    """Folded executions kept at hand."""
    cached_data_bytes: Annotated[int, Field(ge=0)] = 64 * _MIB
    """Memory for literal maps kept at hand."""
    caching: bool = True
    """Whether results are cached: without it, tasks run as if none were cacheable, and need no catalog."""
    retries: RetrySettings = RetrySettings()
    offloading: OffloadingSettings = OffloadingSettings()


class Settings(ServiceSettings):
    """All of it: `FLIGHTLOG_EXECUTION__MAX_PARALLELISM`, …"""

    database: DatabaseSettings
    rpc: RpcSettings
    execution: ExecutionSettings = ExecutionSettings()
