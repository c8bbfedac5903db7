"""Settings of the launcher, from `FLIGHTLOG_…` variables; nested names are joined by `__`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flightlog_service import ServiceSettings
from services.k8s_launcher.connectors.settings import ConnectorSettings
from services.k8s_launcher.kubernetes.objects import SecretEntry
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.process.devices import NVIDIA, Device

ACCESS_KEY: Final = "FLYTE_AWS_ACCESS_KEY_ID"
SECRET_KEY: Final = "FLYTE_AWS_SECRET_ACCESS_KEY"
"""Variables by which flytekit knows the object store's keys."""


class ProcessSettings(BaseModel):
    """The process runtime: what of this machine tasks may use, and which Python runs them."""

    model_config = ConfigDict(extra="forbid")

    directory: Path = Field(description="Folder of the attempts' records, output and working directories")
    cpu: str | None = Field(
        None, description="CPUs for tasks, as a Kubernetes quantity; default: all this process may use"
    )
    memory: str | None = Field(
        None, description="Memory for tasks, as a quantity; default: nine tenths of the machine's"
    )
    default_cpu: str = Field("250m", description="What a task that asks for no CPU is counted as")
    default_memory: str = Field("256Mi", description="What a task that asks for no memory is counted as")
    devices: list[Device] | None = Field(None, description="Accelerators; default: what nvidia-smi lists")
    python: Path = Field(Path(sys.executable), description="Python environment of tasks whose image no pattern names")
    environments: dict[str, Path] = Field(
        default_factory=dict[str, Path],
        description="Image name pattern (`ghcr.io/acme/*`) to Python executable; the first that matches counts",
    )
    preload: list[str] = Field(
        default_factory=lambda: ["flytekit.bin.entrypoint", "s3fs", "pandas", "pyarrow"],
        description="Modules loaded once, before tasks are forked; the first must exist. None: each task loads its own",
    )
    grace_seconds: float = Field(10.0, gt=0, description="Between SIGTERM and SIGKILL when an attempt is aborted")
    enforce_memory_limits: bool = Field(False, description="Kill a task that uses more memory than its limit")
    keep_ended_days: float = Field(30.0, ge=0, description="How long records and output of ended attempts are kept")
    keep_ended_bytes: str = Field(
        "10Gi", description="How much of that is kept, as a quantity; the oldest goes first, running attempts never"
    )
    keep_work: bool = Field(False, description="Leave the working directories of ended attempts on disk")


class SecretSettings(BaseModel):
    """Where secrets lie that tasks may ask for."""

    model_config = ConfigDict(extra="forbid")

    directory: Path | None = Field(None, description="Folder with a file `<group>/<key>` for each secret")
    env_prefix: str = Field(
        "FLIGHTLOG_SECRET_",
        min_length=1,
        description="What the launcher's variables with secrets begin with; `<GROUP>_<KEY>` follows",
    )


class LauncherSettings(BaseModel):
    """What holds for tasks on every runtime."""

    model_config = ConfigDict(extra="forbid")

    runtime: Literal["process", "kubernetes"] = Field(
        "process", description="Where tasks run: as processes of this machine, or as objects of a Kubernetes cluster"
    )
    task_environment: dict[str, str] = Field(
        default_factory=dict[str, str], description="Variables of all tasks; they win over all others"
    )
    export_object_store: bool = Field(True, description="Tell tasks the object store's address and keys (FLYTE_AWS_…)")
    gpu_resource: str = Field(NVIDIA, description="What a task means that asks for a GPU")
    platform_url: str = Field(
        "",
        description="Address of the API, `host:port`, for tasks that are its clients; flytekit's eager workflows are",
    )
    platform_insecure: bool = Field(False, description="The API is spoken to without TLS")
    secrets: SecretSettings = SecretSettings.model_validate({})
    connectors: ConnectorSettings = ConnectorSettings.model_validate({})
    max_in_flight: int = Field(512, gt=0, description="Orders taken from the log at once")


class Settings(ServiceSettings):
    """All settings of `python -m services.k8s_launcher`."""

    launcher: LauncherSettings = LauncherSettings.model_validate({})
    process: ProcessSettings | None = Field(None, description="Needed by the process runtime")
    kubernetes: KubernetesSettings = KubernetesSettings.model_validate({})

    @model_validator(mode="after")
    def _has_what_the_runtime_needs(self) -> Settings:
        if self.launcher.runtime == "process" and self.process is None:
            raise ValueError("the process runtime needs a folder: set FLIGHTLOG_PROCESS__DIRECTORY")
        return self

    def task_base(self) -> dict[str, str]:
        """Variables of all tasks that a task's own go before."""
        if not self.launcher.platform_url:
            return {}
        return {
            "FLYTE_PLATFORM_URL": self.launcher.platform_url,
            "FLYTE_PLATFORM_INSECURE": str(self.launcher.platform_insecure).lower(),
            # Tasks share a home with whoever runs the launcher; that person's client configuration is not theirs.
            "FLYTECTL_CONFIG": os.devnull,
        }

    def task_defaults(self) -> dict[str, str]:
        """Variables that every task gets from the operator; on Kubernetes without the object store's keys."""
        store: dict[str, str] = {}
        if self.launcher.export_object_store:
            store = {"FLYTE_AWS_ENDPOINT": self.blobs.endpoint}
            if self.launcher.runtime == "process":
                store[ACCESS_KEY] = self.blobs.access_key
                store[SECRET_KEY] = self.blobs.secret_key.get_secret_value()
        return store | self.launcher.task_environment

    def task_secrets(self) -> dict[str, SecretEntry]:
        """Variables of every task on Kubernetes whose values come from a Secret: the object store's keys."""
        if not self.launcher.export_object_store:
            return {}
        return dict(zip((ACCESS_KEY, SECRET_KEY), self.kubernetes.raw_containers.keys, strict=True))
