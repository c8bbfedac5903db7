"""How tasks on Kubernetes get their secrets: `FLIGHTLOG_KUBERNETES__SECRETS__…`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SecretInjectionSettings(BaseModel):
    """Secrets of tasks on Kubernetes."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["native", "webhook", "none"] = Field(
        "native",
        description="Who puts Kubernetes secrets into pods: the launcher, or an existing Flyte webhook that pods are "
        "marked for; `none`: requests for secrets are not heeded",
    )
