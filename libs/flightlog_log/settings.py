"""Where the log is and how it is to be used."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class LogSettings(BaseModel):
    """How to reach JetStream.

    Durability is the server's: it must run with `sync_interval: always` (users-and-peers §E.4), and with three replicas
    in production.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    nats_url: str
    """One URL, or several separated by commas."""
    user: str | None = None
    password: SecretStr | None = None
    replicas: int = Field(default=1, ge=1, le=5)
    offload_above_bytes: int = Field(default=256 * 1024, ge=0)
    """Facts of one append that are larger than this go to the object store; the envelope refers to them."""
    request_seconds: float = Field(default=5.0, gt=0)
    """How long one request waits for the server's answer before it counts as lost."""
    patience_seconds: float = Field(default=20.0, gt=0)
    """How long an append, load or look-up keeps trying while the server is away, before `LogUnavailable`."""
    redelivery_first_seconds: float = Field(default=0.1, gt=0)
    """Pause before a message whose handling failed is tried again; each further pause is three times as long."""
    redelivery_longest_seconds: float = Field(default=30.0, gt=0)
