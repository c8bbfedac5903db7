"""Settings of tasks that operators run: `FLIGHTLOG_KUBERNETES__OPERATORS__…` (k8s-contract §5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.k8s_launcher.kubernetes.pods.log_settings import LinkTemplate, LogSettings


class KubeflowSettings(BaseModel):
    """PyTorchJob, TFJob and MPIJob of Kubeflow's training operator."""

    model_config = ConfigDict(extra="forbid")

    start_warning: timedelta = Field(
        timedelta(minutes=1),
        gt=timedelta(),
        description="How long the operator may say nothing of a job before the attempt's reason says so",
    )
    error_aggregation: bool = Field(
        False, description="Workers of a PyTorchJob write an error each, and the first of all is the attempt's"
    )


class RaySettings(BaseModel):
    """RayJob of KubeRay."""

    model_config = ConfigDict(extra="forbid")

    shutdown_after_job_finishes: bool = Field(True, description="The cluster is deleted when the job has ended")
    ttl_seconds_after_finished: int = Field(3600, ge=0, description="So long after its end, in seconds")
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        "NodePort", description="Of the head's service"
    )
    include_dashboard: bool = Field(
        True, description="The head runs Ray's dashboard, which the operator asks for state"
    )
    dashboard_host: str = Field("0.0.0.0", description="Where the dashboard listens")
    node_ip_address: str = Field("$MY_POD_IP", description="Address that Ray's nodes give one another")
    enable_usage_stats: bool = Field(False, description="Ray reports its use to its makers")
    head_start_parameters: dict[str, str] = Field(
        default_factory=dict[str, str], description="Of `ray start` on the head, for tasks that give none"
    )
    worker_start_parameters: dict[str, str] = Field(default_factory=dict[str, str], description="The same on workers")
    service_account: str = Field("", description="Of all pods of Ray jobs; default: the execution's")
    submitter_without_gpu: bool = Field(
        False, description="The pod that submits the job asks for no GPU, and of CPU and memory for little"
    )
    logs_sidecar: dict[str, Any] | None = Field(
        None, description="A container beside head and workers that sees `/tmp/ray`, in Kubernetes' form"
    )
    logs: LogSettings | None = Field(
        None,
        description="Links of Ray jobs, with `{{ .rayClusterName }}`; default: those of all tasks that need no pod",
    )
    dashboard_link: LinkTemplate | None = Field(
        None, description="Link to the dashboard while the job runs, with `{{ .rayClusterName }}`, `{{ .rayJobID }}`"
    )


class SparkFeature(BaseModel):
    """What a task gets that sets `spark.flyteorg.<name>.enabled: true`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    conf: dict[str, str] = Field(description="Spark configuration that this stands for")


class SparkLogSettings(BaseModel):
    """Links to a Spark job's logs; none unless configured."""

    model_config = ConfigDict(extra="forbid")

    mixed: LogSettings = Field(LogSettings.model_validate({}), description="`(Driver Logs)`")
    user: LogSettings = Field(LogSettings.model_validate({}), description="`(User Logs)`")
    system: LogSettings = Field(LogSettings.model_validate({}), description="`(System Logs)`")
    all_user: LogSettings = Field(
        LogSettings.model_validate({}), description="`(Spark-Submit/All User Logs)`, shown from the beginning"
    )


class SparkSettings(BaseModel):
    """SparkApplication of Kubeflow's Spark operator."""

    model_config = ConfigDict(extra="forbid")

    default_conf: dict[str, str] = Field(
        default_factory=dict[str, str], description="Spark configuration of all jobs; the task's goes before"
    )
    features: list[SparkFeature] = Field(default_factory=list[SparkFeature], description="Named sets of it")
    service_account: str = Field("spark", description="Of driver and executors, unless the execution names one")
    spark_version: str = Field("", description="What the operator is told; it wants one for `pod_template`, 3.0.0 then")
    history_server_url: str = Field("", description="Spark's history server, for links to jobs that ended")
    pod_template: bool = Field(
        False,
        description="Volumes, extended resources, init containers and sidecars reach driver and executors, by the"
        " operator's `template` (operator 2.0 and later)",
    )
    logs: SparkLogSettings = SparkLogSettings.model_validate({})


class DaskSettings(BaseModel):
    """DaskJob of Dask's operator."""

    model_config = ConfigDict(extra="forbid")

    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        "NodePort", description="Of the scheduler's service"
    )
    logs: LogSettings | None = Field(None, description="Links of Dask jobs; default: those of all tasks")


class OperatorSettings(BaseModel):
    """Tasks that an operator runs."""

    model_config = ConfigDict(extra="forbid")

    kubeflow: KubeflowSettings = KubeflowSettings.model_validate({})
    ray: RaySettings = RaySettings.model_validate({})
    spark: SparkSettings = SparkSettings.model_validate({})
    dask: DaskSettings = DaskSettings.model_validate({})
