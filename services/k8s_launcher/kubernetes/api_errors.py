"""What can go wrong with a call of the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The server was not able to; the same call may do better later.
_PASSING = frozenset({429, 500, 502, 503, 504})


class ApiError(Exception):
    """A call of the Kubernetes API failed."""


class ApiUnreachable(ApiError):
    """Nobody answered, or not the API: a refused connection, TLS, a name without address, no answer in time, a proxy's
    own answer. Whether the call had an effect is unknown."""


class ApiMisconfigured(ApiError):
    """The settings, the kubeconfig or the service account do not say how to reach the API."""


class ApiRefused(ApiError):
    """The API answered that it will not: its `Status`."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        """HTTP status: 403, 409, …"""
        self.reason = reason
        """The machine's word for it: `AlreadyExists`, `Forbidden`, `Expired`; may be empty."""
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        """`name`, `kind`, `group`, `uid`, `causes[{reason, message, field}]` of the Status."""
        self.retry_after_seconds = retry_after_seconds
        """How long the API wishes not to be asked again; None: it says nothing."""

    @property
    def passing(self) -> bool:
        """The server could not, for now: too many calls, overload, its database or a webhook away."""
        return self.status in _PASSING

    @property
    def already_exists(self) -> bool:
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """The object is no longer as the caller thought: another resourceVersion or uid."""
        return self.status == 409 and self.reason != "AlreadyExists"

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def not_served(self) -> bool:
        """The API has no such kind: the operator's CustomResourceDefinition is not installed."""
        return self.status == 404 and not self.details.get("name")

    @property
    def expired(self) -> bool:
        """The resourceVersion or the place in the list is too old: list again."""
        return self.status == 410 or self.reason == "Expired"
