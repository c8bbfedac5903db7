"""What copies the data of raw containers in their pods: `FLIGHTLOG_KUBERNETES__RAW_CONTAINERS__…`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flightlog_blobs import BlobSettings
from services.k8s_launcher.copying.interfaces import DEFAULT_INPUT_PATH, DEFAULT_OUTPUT_PATH
from services.k8s_launcher.kubernetes.objects import SecretEntry
from services.k8s_launcher.kubernetes.pods.settings import Quantity


class RawContainerSettings(BaseModel):
    """The containers that copy the data of raw containers (flytekit's `ContainerTask`)."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field("flightlog:latest", description="Image of the services; nodes must be able to pull it")
    command: list[str] = Field(
        default_factory=lambda: ["python", "-P", "-m", "services.k8s_launcher.copying"],
        min_length=1,
        description="The command that copies, in that image",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field("IfNotPresent", description="Of that image")
    cpu: Quantity = Field("500m", description="CPU of each container that copies, as request and limit")
    memory: Quantity = Field("256Mi", description="Memory of each, likewise")
    timeout_seconds: int = Field(3600, gt=0, description="How long copying outputs may take, once the container ended")
    input_path: str = Field(DEFAULT_INPUT_PATH, description="Where inputs are, unless the task says where")
    output_path: str = Field(DEFAULT_OUTPUT_PATH, description="Where outputs are looked for, likewise")
    volume_size: Quantity | None = Field(
        None, description="Limit of the volumes for inputs and for outputs, unless the task asks for storage"
    )
    security_context: dict[str, Any] | None = Field(
        None,
        description="Security context of the containers that copy; default: root that may read any file and no more, "
        "or the image's user in pods that must not run as root",
    )
    endpoint: str = Field("", description="Address of the object store for pods; default: the services' own")
    bucket: str = Field("", description="Its bucket; default: the services' own")
    region: str = Field("", description="Its region; default: the services' own")
    credentials_secret: str = Field(
        "flightlog-tasks-object-store",
        min_length=1,
        description="Kubernetes Secret with the object store's keys, in each namespace where tasks run",
    )
    keep_credentials_secret: bool = Field(
        True, description="Have the launcher itself make that Secret and keep it; else somebody else must"
    )
    access_key_entry: str = Field("FLYTE_AWS_ACCESS_KEY_ID", description="Data key of the access key in it")
    secret_key_entry: str = Field("FLYTE_AWS_SECRET_ACCESS_KEY", description="Data key of the secret key in it")

    @property
    def keys(self) -> tuple[SecretEntry, SecretEntry]:
        """Where the access key and the secret key are."""
        return (
            SecretEntry(self.credentials_secret, self.access_key_entry),
            SecretEntry(self.credentials_secret, self.secret_key_entry),
        )

    def with_store(self, blobs: BlobSettings) -> RawContainerSettings:
        """The same, with the services' own object store where none is named."""
        own = {"endpoint": blobs.endpoint, "bucket": blobs.bucket, "region": blobs.region}
        return self.model_copy(update={name: getattr(self, name) or value for name, value in own.items()})
