"""Where the log is and how it is to be used."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

_MASTER_KEY_BYTES = 32


def _master_key(secret: SecretStr) -> SecretStr:
    try:
        size = len(bytes.fromhex(secret.get_secret_value()))
    except ValueError:
        size = 0
    if size != _MASTER_KEY_BYTES:
        raise ValueError(
            f"a master key is {_MASTER_KEY_BYTES} bytes, written as {2 * _MASTER_KEY_BYTES} hexadecimal digits"
        )
    return secret


MasterKey = Annotated[SecretStr, AfterValidator(_master_key)]


class PersonalDataSettings(BaseModel):
    """How personal data on the log can be made unreadable for good: see docs/operations.md, History."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sealed: bool = True
    """Encrypt it with a key of its project. What was encrypted is read either way."""
    master_key: MasterKey | None = None
    """Wraps the projects' keys; 64 hexadecimal digits. Without it they lie in the object store as they are."""
    former_master_keys: tuple[MasterKey, ...] = ()
    """With which keys were wrapped before."""
    key_seconds: float = Field(default=10.0, gt=0)
    """After so many seconds a key that was destroyed is gone in every process."""

    @model_validator(mode="after")
    def _has_a_present_one(self) -> "PersonalDataSettings":
        if self.former_master_keys and self.master_key is None:
            raise ValueError("`former_master_keys` need a `master_key`")
        return self


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
    takeover_seconds: float = Field(default=10.0, gt=0)
    """What a killed process had in hand goes to another one after so many seconds. All processes need the same."""
    personal_data: PersonalDataSettings = PersonalDataSettings()
