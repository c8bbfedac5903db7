"""Settings of how pods are made: `FLIGHTLOG_KUBERNETES__PODS__…`, Flyte's `plugins.k8s` (k8s-contract §1).

Names are those of Flyte with `_` for `-`, defaults too. Tolerations, affinities and security contexts are given as
Kubernetes has them, in `camelCase`.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.pods.shapes import AFFINITY, misshapen

Fields = dict[str, Any]
"""A part of a pod, as Kubernetes has it."""


def _number_as_text(given: Any) -> Any:
    """In YAML and JSON amounts look like numbers: `cpu: 2`."""
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given


def _is_a_quantity(text: str) -> str:
    quantities.parse(text)
    return text


def _has_the_shape_of_an_affinity(fields: Fields) -> Fields:
    wrong = misshapen(fields, AFFINITY, "the affinity")
    if wrong is not None:
        raise ValueError(wrong)
    return fields


Quantity = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_is_a_quantity)]
"""An amount in Kubernetes' notation: `500m`, `4Gi`."""
Affinity = Annotated[Fields, AfterValidator(_has_the_shape_of_an_affinity)]


class TaskResources(BaseModel):
    """Amounts by resource; None: not said."""

    model_config = ConfigDict(extra="forbid")

    cpu: Quantity | None = None
    memory: Quantity | None = None
    gpu: Quantity | None = None
    ephemeral_storage: Quantity | None = None


class TaskResourceSettings(BaseModel):
    """What the platform gives tasks, where no matchable attribute says otherwise."""

    model_config = ConfigDict(extra="forbid")

    defaults: TaskResources = Field(
        TaskResources(cpu="100m", memory="500Mi"), description="What a task gets that asks for nothing"
    )
    limits: TaskResources = Field(TaskResources(), description="The most that a container gets; default: no limits")


class AcceleratorMapping(BaseModel):
    """What stands for an accelerator on this cluster, in place of the labels of nodes that are usual."""

    model_config = ConfigDict(extra="forbid")

    device: str = Field(description="As tasks name it: `nvidia-tesla-a100`")
    partition_size: str | None = Field(
        None, description="Part of the device that it is for: `1g.5gb`; default: for all that no other entry is for"
    )
    resource_name: str | None = Field(
        None, description="Resource to ask for: `nvidia.com/mig-1g.5gb`; default: `gpu_resource_name`"
    )
    node_selector: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="Labels of the nodes that have it; `{device}` and `{partition_size}` are replaced",
    )
    tolerations: list[Fields] = Field(default_factory=list[Fields], description="Tolerations of the taints of those")


class PodSettings(BaseModel):
    """What all pods of tasks have, and what stands for what tasks ask for."""

    model_config = ConfigDict(extra="forbid")

    default_labels: dict[str, str] = Field(default_factory=dict[str, str], description="Labels of all objects")
    default_annotations: dict[str, str] = Field(
        default_factory=lambda: {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        description="Annotations of all objects",
    )
    default_env_vars: dict[str, str] = Field(
        default_factory=dict[str, str], description="Variables of all containers; they win over a task's own"
    )
    default_env_vars_from_env: dict[str, str] = Field(
        default_factory=dict[str, str], description="The same, with the names of the launcher's own as values"
    )
    default_env_from_secrets: list[str] = Field(
        default_factory=list[str], description="Secrets whose keys are variables of all containers, where they exist"
    )
    default_env_from_configmaps: list[str] = Field(
        default_factory=list[str], description="Config maps whose keys are variables of all containers"
    )
    console_url: str = Field(
        "", description="Address of the console, for `FLYTE_EXECUTION_URL` of tasks whose links need it"
    )
    role_annotation_key: str = Field(
        "", description="Annotation that an execution's IAM role is written to; default: it is not"
    )

    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = Field(
        "", description="Of containers that are no part of a pod template; default: Kubernetes'"
    )
    scheduler_name: str = Field("", description="Scheduler of pods that name none; default: Kubernetes'")
    default_tolerations: list[Fields] = Field(default_factory=list[Fields], description="Of all pods")
    default_node_selector: dict[str, str] = Field(default_factory=dict[str, str], description="Of all pods")
    default_affinity: Affinity | None = Field(None, description="Of pods without an affinity")
    default_pod_security_context: Fields | None = Field(None, description="Of pods without one")
    default_security_context: Fields | None = Field(None, description="Of primary containers without one")
    enable_host_networking_pod: bool | None = Field(
        None, description="Whether all pods use their node's network; default: what the pod says"
    )
    default_pod_dns_config: Fields | None = Field(None, description="Of pods without one")
    default_pod_template_name: str = Field(
        "", description="PodTemplate object under all tasks that name none; one that does not exist changes nothing"
    )

    interruptible_tolerations: list[Fields] = Field(default_factory=list[Fields], description="Of interruptible pods")
    interruptible_node_selector: dict[str, str] = Field(
        default_factory=dict[str, str], description="Of interruptible pods; it wins over all others"
    )
    interruptible_node_selector_requirement: Fields | None = Field(
        None, description="What nodes of interruptible pods must have, whatever else is asked of them"
    )
    non_interruptible_node_selector_requirement: Fields | None = Field(None, description="The same of all other pods")

    resource_tolerations: dict[str, list[Fields]] = Field(
        default_factory=dict[str, list[Fields]], description="Of pods with a container that asks for the resource"
    )
    add_tolerations_for_extended_resources: list[str] = Field(
        default_factory=list[str],
        description="Resources whose name is the key of a taint that pods which ask for them tolerate",
    )
    gpu_resource_name: str = Field("nvidia.com/gpu", description="What a task means that asks for a GPU")
    gpu_device_node_label: str = Field(
        "k8s.amazonaws.com/accelerator", description="Label and taint of nodes with an accelerator: its device"
    )
    gpu_partition_size_node_label: str = Field(
        "k8s.amazonaws.com/gpu-partition-size", description="Label and taint of nodes whose devices are partitioned"
    )
    gpu_unpartitioned_node_selector_requirement: Fields | None = Field(
        None, description="What nodes with whole devices have; default: no label of the partition size"
    )
    gpu_unpartitioned_toleration: Fields | None = Field(None, description="Of pods that ask for a whole device")
    accelerator_mapping: list[AcceleratorMapping] = Field(
        default_factory=list[AcceleratorMapping],
        description="Accelerators that other resources or labels stand for; the first that fits counts",
    )

    _inherited: dict[str, str] = PrivateAttr(default_factory=dict[str, str])

    @model_validator(mode="after")
    def _inherit(self) -> PodSettings:
        wanted = self.default_env_vars_from_env
        unset = sorted(own for own in wanted.values() if own not in os.environ)
        if unset:
            raise ValueError(f"default_env_vars_from_env: the launcher has no variable {', '.join(unset)}")
        self._inherited = {name: os.environ[own] for name, own in wanted.items()}
        return self

    def variables(self) -> dict[str, str]:
        """Variables of all containers: those that are given here, then those of the launcher's, as it began."""
        return {**dict(sorted(self.default_env_vars.items())), **dict(sorted(self._inherited.items()))}
