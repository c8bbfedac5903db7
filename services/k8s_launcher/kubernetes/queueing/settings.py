"""Settings of queues: `FLIGHTLOG_KUBERNETES__QUEUEING__…` (k8s-contract §8)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class QueueRule(BaseModel):
    """Which queue the attempts of a project and domain go to."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field("*", min_length=1, description="Project of the execution, or a pattern: `team-*`")
    domain: str = Field("*", min_length=1, description="Its domain, or a pattern")
    queue: str = Field(min_length=1, description="LocalQueue of Kueue, Queue of Volcano")
    priority_class: str = Field("", description="WorkloadPriorityClass of Kueue, PriorityClass for Volcano")

    def holds(self, project: str, domain: str) -> bool:
        """Whether it is for executions of this project and domain."""
        return fnmatchcase(project, self.project) and fnmatchcase(domain, self.domain)


class QueueingSettings(BaseModel):
    """Who admits an attempt's pods."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["none", "kueue", "volcano"] = Field(
        "none", description="What `rules` speak of. Labels and annotations that users give themselves pass in any case"
    )
    rules: list[QueueRule] = Field(
        default_factory=list[QueueRule], description="The first that holds counts; a queue that users name goes before"
    )
    kinds: list[str] = Field(
        default_factory=lambda: ["Pod", "RayJob", "PyTorchJob", "TFJob", "MPIJob"],
        description="Kinds of object that `rules` are for; with Kueue those whose integration is on there",
    )
    suspend: bool = Field(
        False,
        description="With Kueue: objects with a queue are created suspended, for clusters whose webhook may be away",
    )
    pod_groups: list[str] = Field(
        default_factory=list[str],
        description="With Volcano: kinds of object for which the launcher makes the PodGroup; for others their"
        " operator does, or Volcano itself",
    )
    scheduler_name: str = Field("volcano", min_length=1, description="Name that Volcano's scheduler goes by")
