"""Settings of the links to logs: `FLIGHTLOG_KUBERNETES__LOGS__…`, Flyte's `plugins.logs` (k8s-contract §2.10)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LinkTemplate(BaseModel):
    """A link that clients see for every attempt."""

    model_config = ConfigDict(extra="forbid")

    display_name: str = Field(description="Its name; what kind of log it is follows, ` (User)`")
    template_uris: list[str] = Field(
        min_length=1, description="Addresses with `{{ .podName }}` and its like in them; one link for each"
    )
    message_format: Literal["unknown", "csv", "json"] = Field("unknown", description="What lies at the address")
    show_while_pending: bool = Field(False, description="The link is shown before the task runs")
    hide_once_finished: bool = Field(False, description="The link is not shown when the task has ended")


class DynamicLink(BaseModel):
    """A link that a task asks for by its type, in its configuration's `link_type`."""

    model_config = ConfigDict(extra="forbid")

    display_name: str = Field(description="As of templates")
    template_uris: list[str] = Field(
        min_length=1, description="As of templates; `{{ .taskConfig.port }}` is the task's own `port`"
    )
    show_while_pending: bool = Field(False, description="As of templates")
    hide_once_finished: bool = Field(False, description="As of templates")


class LogSettings(BaseModel):
    """Which links clients see."""

    model_config = ConfigDict(extra="forbid")

    kubernetes_enabled: bool = Field(False, description="Links to a Kubernetes dashboard, `Kubernetes Logs`")
    kubernetes_url: str = Field("http://localhost:30082", description="Address of the dashboard")
    kubernetes_template_uri: str = Field("", description="The whole address instead, with placeholders")
    cloudwatch_enabled: bool = Field(False, description="Links to CloudWatch, `Cloudwatch Logs`")
    cloudwatch_region: str = Field("", description="Region of the log group")
    cloudwatch_log_group: str = Field("", description="Log group that the nodes' agents write to")
    cloudwatch_template_uri: str = Field("", description="The whole address instead, with placeholders")
    stackdriver_enabled: bool = Field(False, description="Links to Google's logs, `Stackdriver Logs`")
    gcp_project: str = Field("", description="Project that has the logs")
    stackdriver_logresourcename: str = Field("", description="Resource that they are of, `k8s_container`")
    stackdriver_template_uri: str = Field("", description="The whole address instead, with placeholders")
    templates: list[LinkTemplate] = Field(default_factory=list[LinkTemplate], description="Links of any kind")
    dynamic_log_links: dict[str, DynamicLink] = Field(
        default_factory=dict[str, DynamicLink], description="Links by type, for tasks that ask for them"
    )
