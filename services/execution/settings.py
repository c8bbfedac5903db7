"""Settings of the execution service."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flightlog_read import DatabaseSettings
from flightlog_rpc import RpcSettings
from flightlog_service import ServiceSettings
from services.execution.creation.limits import LARGEST

_MIB = 1024 * 1024


class RetrySettings(BaseModel):
    """How failures that are nobody's fault are repeated (engine-semantics §2.6)."""

    model_config = ConfigDict(extra="forbid")

    max_system_failures: Annotated[int, Field(ge=0)] = 3
    """Further attempts after failures of the system, beside the user's own budget."""
    default_max_attempts: Annotated[int, Field(ge=1)] = 1
    """Attempts of tasks whose authors said nothing about retries."""
    ignore_cause: bool = False
    """One budget for failures of all kinds, the user's own; `max_system_failures` then means nothing."""
    interruptible_failure_threshold: int = -1
    """System failures from which on a task is not interruptible any more; -1: its last attempt, -2: the last two, …"""
    backoff_base: Annotated[timedelta, Field(ge=timedelta())] = timedelta(milliseconds=100)
    """Pause before the first retry; doubles up to `backoff_max`. Tasks may ask for others by annotation."""
    backoff_max: Annotated[timedelta, Field(ge=timedelta())] = timedelta(seconds=30)


class DeadlineSettings(BaseModel):
    """Deadlines of those who set none themselves; 0 is none."""

    model_config = ConfigDict(extra="forbid")

    attempt: Annotated[timedelta, Field(ge=timedelta())] = timedelta()
    """Of an attempt of a task, a map or a launch plan without a timeout."""
    node: Annotated[timedelta, Field(ge=timedelta())] = timedelta()
    """Of all attempts together."""
    queueing: Annotated[timedelta, Field(ge=timedelta())] = timedelta()
    """How long an attempt may wait until it runs, unless execution, launch plan or workflow have a queueing budget."""


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


class RetentionSettings(BaseModel):
    """How long executions are kept after their end; a project's label `flightlog.retention` goes before."""

    model_config = ConfigDict(extra="forbid")

    default: Annotated[timedelta, Field(gt=timedelta())] | None = None
    """Of projects without the label; none: for ever."""
    pause: Annotated[timedelta, Field(gt=timedelta())] = timedelta(minutes=10)
    """Between two looks for executions that are old enough."""
    at_once: Annotated[int, Field(ge=1)] = 200
    """Executions of a project that one look deletes at most."""
    longest_wait: Annotated[timedelta, Field(ge=timedelta())] = timedelta(days=1)
    """What is deleted is erased when all consumers of its events have had them: how long it waits for those that are
    not there."""


class ExecutionSettings(BaseModel):
    """What is particular to executions."""

    model_config = ConfigDict(extra="forbid")

    domains: list[str] = ["development", "staging", "production"]
    """Domain ids that every project has."""
    limits: dict[Annotated[str, Field(pattern="^[^/]+/[^/]+$")], Annotated[int, Field(ge=1, le=LARGEST)]] = {}
    """Executions of a project and domain that may run at once, others wait: `{"flytesnacks/development": 20}`. `*`
    stands for any project or domain; the first of `project/domain`, `project/*`, `*/domain`, `*/*` holds. A child runs
    in the place of its parent."""
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
    cached_nodes: Annotated[int, Field(gt=0)] = 50_000
    """Nodes of compiled workflows kept at hand."""
    cached_data_bytes: Annotated[int, Field(ge=0)] = 64 * _MIB
    """Memory for literal maps kept at hand."""
    caching: bool = True
    """Whether results are cached: without it, tasks run as if none were cacheable, and need no catalog."""
    retries: RetrySettings = RetrySettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    offloading: OffloadingSettings = OffloadingSettings()
    retention: RetentionSettings = RetentionSettings()


class Settings(ServiceSettings):
    """All of it: `FLIGHTLOG_EXECUTION__MAX_PARALLELISM`, …"""

    database: DatabaseSettings
    rpc: RpcSettings
    execution: ExecutionSettings = ExecutionSettings()
