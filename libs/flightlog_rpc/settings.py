"""Settings of a service's gRPC port."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RpcSettings(BaseModel):
    """Where a service listens, and where the services it forwards to are."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    """0 lets the system choose; `RpcServer.start` tells which."""
    max_message_bytes: Annotated[int, Field(gt=0)] = 64 * 1024 * 1024
    """Largest request taken and largest response sent. flytekit itself receives 20 MB, Go clients 4 MB
    (admin-contract T7).
    """
    forward: dict[str, str] = {}
    """Service name -> `host:port` for the methods that others own."""
    forward_connect_seconds: Annotated[float, Field(ge=0)] = 5.0
    """How long a forwarded call waits for an owner that is just starting, before it is UNAVAILABLE."""
