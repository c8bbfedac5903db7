"""Settings of deliveries: `FLIGHTLOG_SCHEDULER__DELIVERIES__…`. What is secret is shown by none of them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from services.scheduler.deliveries import signing, templates

EMAIL = "email"
"""Name of the sink that notifications go to."""

Phase = Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED"]
_HEADER = re.compile(r"[A-Za-z0-9-]+")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class _Settings(BaseModel):
    # A wrong value may be a secret in the wrong place: messages do not repeat it.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class EmailTemplate(_Settings):
    """Texts of an e-mail, with Flyte's keys."""

    subject: str = templates.SUBJECT
    body: str = templates.BODY


class SmtpSettings(_Settings):
    """The server that takes e-mails."""

    host: str = Field("", description="Without one, notifications are parked and say so")
    port: int = Field(587, gt=0, lt=65536)
    tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`tls` from the first byte on, as on port 465; `starttls` after the greeting"
    )
    verify: bool = Field(True, description="Refuse a server whose certificate does not stand for its name")
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str = Field("flightlog@localhost", pattern=r"^[^\s@<>]+@[^\s@<>]+$")
    timeout_seconds: float = Field(30.0, gt=0)
    at_once: int = Field(4, gt=0, description="Connections at the same time")


class HttpSinkSettings(_Settings):
    """An address that events are posted to."""

    name: Name
    url: SecretStr = Field(description="http or https; may hold a token or a password")
    secrets: list[SecretStr] = Field(
        default_factory=list[SecretStr],
        max_length=5,
        description="Signing secrets `whsec_…`; with two, what is sent bears a signature of each",
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr], description="Sent along with each")
    projects: list[str] = Field(default_factory=list[str], description="Empty: all")
    domains: list[str] = Field(default_factory=list[str], description="Empty: all")
    timeout_seconds: float = Field(10.0, gt=0, description="Of one try, as a whole")
    at_once: int = Field(8, gt=0, description="Requests at the same time")

    @field_validator("name")
    @classmethod
    def _not_email(cls, name: str) -> str:
        if name == EMAIL:
            raise ValueError("notifications have this name")
        return name

    @field_validator("url")
    @classmethod
    def _http(cls, url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            # Its text repeats the address.
            right = False
        if not right:
            raise ValueError("an address is http://… or https://…, with a host and at most a port")
        return url

    @field_validator("headers")
    @classmethod
    def _one_line(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or not value.get_secret_value().isprintable():
                raise ValueError("a header is a name of letters, digits and dashes, and a value of one line")
        return headers

    @field_validator("secrets")
    @classmethod
    def _signing(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        for secret in secrets:
            signing.key_of(secret.get_secret_value())
        return secrets

    def concerns(self, project: str, domain: str) -> bool:
        """Whether events of a project and domain are for this sink."""
        return (not self.projects or project in self.projects) and (not self.domains or domain in self.domains)


class WebhookSettings(HttpSinkSettings):
    """An address that hears of executions, as CloudEvents."""

    phases: list[Phase] = Field(default_factory=lambda: list[Phase](("SUCCEEDED", "FAILED", "ABORTED")), min_length=1)
    launch_plans: list[str] = Field(default_factory=list[str], description="Names. Empty: all")
    labels: dict[str, str] = Field(default_factory=dict[str, str], description="That an execution must have")


class OpenLineageSettings(HttpSinkSettings):
    """An address that takes OpenLineage's events, such as Marquez' `/api/v1/lineage`."""

    api_key: SecretStr = Field(SecretStr(""), description="Sent as a bearer token")


class DeliverySettings(_Settings):
    """What is told to whom, and how patiently."""

    smtp: SmtpSettings = SmtpSettings.model_validate({})
    email: EmailTemplate = EmailTemplate()
    html: bool = Field(True, description="Bodies of e-mails are HTML")
    templates: dict[str, EmailTemplate] = Field(
        default_factory=dict[str, EmailTemplate],
        description="Texts that notifications may name as their template, in the place of a text of their own",
    )
    webhooks: list[WebhookSettings] = Field(default_factory=list[WebhookSettings])
    openlineage: list[OpenLineageSettings] = Field(default_factory=list[OpenLineageSettings])
    source: str = Field("/flightlog", min_length=1, description="`source` of CloudEvents: which deployment this is")
    most_tries: int = Field(30, gt=0, description="Then a delivery is parked: after about two hours")
    first_pause: timedelta = Field(timedelta(seconds=1), gt=timedelta())
    longest_pause: timedelta = Field(timedelta(minutes=5), gt=timedelta(), le=timedelta(days=30))

    @model_validator(mode="after")
    def _distinct(self) -> DeliverySettings:
        names = [sink.name for sink in (*self.webhooks, *self.openlineage)]
        if len(set(names)) != len(names):
            raise ValueError("every sink has a name of its own")
        return self
