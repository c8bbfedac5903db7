"""Settings of the Kubernetes runtime: `FLIGHTLOG_KUBERNETES__…`.

What is here has the meaning of the same words in Flyte's `plugins.k8s` (k8s-contract §1, §2), and its defaults unless
docs/differences.md says otherwise. Objects in Kubernetes' own form (tolerations, affinity, …) are given as there.
All of it may stand in a YAML file too, which `FLIGHTLOG_KUBERNETES__FILE` names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.k8s_launcher.kubernetes.api_settings import ApiSettings
from services.k8s_launcher.kubernetes.cluster_resources.settings import ClusterResourceSettings
from services.k8s_launcher.kubernetes.launching_settings import CleaningSettings, LaunchingSettings
from services.k8s_launcher.kubernetes.lease_settings import LeaseSettings
from services.k8s_launcher.kubernetes.plugins.settings import OperatorSettings
from services.k8s_launcher.kubernetes.pod_event_settings import PodEventSettings
from services.k8s_launcher.kubernetes.pods.log_settings import LogSettings
from services.k8s_launcher.kubernetes.pods.settings import PodSettings, TaskResourceSettings
from services.k8s_launcher.kubernetes.pods.status_settings import StatusSettings
from services.k8s_launcher.kubernetes.queueing.settings import QueueingSettings
from services.k8s_launcher.kubernetes.raw_container_settings import RawContainerSettings
from services.k8s_launcher.kubernetes.secret_settings import SecretInjectionSettings
from services.k8s_launcher.kubernetes.settings_file import laid_over, read_settings

_PART: Final = r"([a-z0-9]|\{project\}|\{domain\})"


class KubernetesSettings(BaseModel):
    """The Kubernetes runtime."""

    model_config = ConfigDict(extra="forbid")

    file: Path | None = Field(
        None, description="YAML file with settings of the same names; variables of the environment win over it"
    )
    kubeconfig: Path | None = Field(
        None, description="Kubeconfig file; default: the pod's service account, else $KUBECONFIG or ~/.kube/config"
    )
    context: str | None = Field(None, description="Context of the kubeconfig; default: its current one")
    api: ApiSettings = ApiSettings.model_validate({})
    instance: str = Field(
        "flightlog",
        pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Which Flightlog's objects these are: a label of them all, for several in one cluster",
    )
    lease: LeaseSettings = LeaseSettings.model_validate({})
    launching: LaunchingSettings = LaunchingSettings.model_validate({})
    cleaning: CleaningSettings = CleaningSettings.model_validate({})
    pod_events: PodEventSettings = PodEventSettings.model_validate({})
    own_namespace: str = Field(
        "flightlog", description="Namespace of the launcher: its lease, and pod templates that all projects may use"
    )
    namespace_template: str = Field(
        "{project}-{domain}",
        pattern=f"^{_PART}(-*{_PART})*$",
        description="Namespace of an execution's objects, from its `{project}` and `{domain}`",
    )
    pods: PodSettings = PodSettings.model_validate({})
    task_resources: TaskResourceSettings = TaskResourceSettings.model_validate({})
    status: StatusSettings = StatusSettings.model_validate({})
    logs: LogSettings = LogSettings.model_validate({})
    secrets: SecretInjectionSettings = SecretInjectionSettings.model_validate({})
    raw_containers: RawContainerSettings = RawContainerSettings.model_validate({})
    operators: OperatorSettings = OperatorSettings.model_validate({})
    queueing: QueueingSettings = QueueingSettings.model_validate({})
    cluster_resources: ClusterResourceSettings = ClusterResourceSettings.model_validate({})

    @model_validator(mode="before")
    @classmethod
    def _with_those_of_the_file(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        said = cast("dict[str, Any]", given)
        return laid_over(read_settings(Path(said["file"])), said) if said.get("file") else said
