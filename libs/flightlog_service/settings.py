"""The settings that all services have."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from flightlog_blobs import BlobSettings
from flightlog_log import LogSettings
from flightlog_telemetry import TelemetrySettings


class ServiceSettings(BaseSettings):
    """From the environment: `FLIGHTLOG_LOG__NATS_URL`, `FLIGHTLOG_TELEMETRY__LOG_LEVEL`, …; `__` joins nested names.

    An unknown nested name is an error.
    """

    model_config = SettingsConfigDict(env_prefix="FLIGHTLOG_", env_nested_delimiter="__", extra="forbid")

    log: LogSettings
    blobs: BlobSettings
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    ready_file: Path | None = None
    """Written when the service serves, for whoever waits for it: JSON of `pid`, `grpc` and `metrics` port."""
    alive_file: Path | None = None
    """Touched every ten seconds by a process that gets round to it, for probes of services without a gRPC port."""
