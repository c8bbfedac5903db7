"""Where the object store is."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator


class BlobSettings(BaseModel):
    """An S3 bucket, reached over S3 or, in the embedded stack, written as the folder that an S3 server serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: Literal["s3", "directory"] = "s3"
    bucket: str
    endpoint: str
    """`http(s)://host:port` under which the services reach the store; also signed, unless `public_endpoint` is set."""
    public_endpoint: str | None = None
    """`http(s)://host:port` under which clients reach the store; signed URLs are for this one."""
    access_key: str
    secret_key: SecretStr
    region: str = "us-east-1"
    directory: Path | None = None
    """Only for the driver `directory`: the object s3://<bucket>/<key> is the file <directory>/<bucket>/<key>."""
    sync: bool = False
    """Only for the driver `directory`: have each object on disk (fsync) before a put returns."""

    @model_validator(mode="after")
    def _has_directory(self) -> Self:
        if self.driver == "directory" and self.directory is None:
            raise ValueError("the driver 'directory' needs `directory`")
        return self
