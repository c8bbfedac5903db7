"""What a create that did not succeed means for its attempt (k8s-contract §3.1, with its FIX marks).

Nothing here burns a retry for what is not the attempt's fault: want of quota, an overloaded or absent API, a namespace
that is about to be made are waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.k8s_launcher.kubernetes import quota
from services.k8s_launcher.kubernetes.api_errors import ApiError, ApiRefused
from services.k8s_launcher.kubernetes.quota import Amounts
from services.k8s_launcher.task_templates import NotLaunchable


class Outcome(Enum):
    """What to do about it."""

    EXISTS = "exists"
    """There is an object of that name already."""
    WAIT = "wait"
    """Try again later, for as long as it takes: it passes by itself, or others make room."""
    WAIT_A_WHILE = "wait a while"
    """Try again later, but not for ever: somebody has to do something about it, and may not."""
    REFUSED = "refused"
    """It will never be let in as it is."""


@dataclass(frozen=True)
class Refusal:
    """The meaning of a create that failed."""

    outcome: Outcome
    reason: str
    """What the attempt waits for, or why it failed."""
    amounts: Amounts | None = None
    """What did not fit into a quota; None when it was not about amounts."""
    after_seconds: float | None = None
    """When the API wishes to be asked again."""
    error: NotLaunchable | None = None
    """With REFUSED; with WAIT_A_WHILE what to report when nobody did anything about it."""


def refusal(error: ApiError, *, namespace: str) -> Refusal:
    """The meaning of what a create was answered."""
    if not isinstance(error, ApiRefused):
        return Refusal(Outcome.WAIT, f"Kubernetes API unreachable: {error}")
    after = error.retry_after_seconds
    if error.already_exists:
        return Refusal(Outcome.EXISTS, error.message)
    if error.status == 403:
        return _forbidden(error)
    if error.status == 429 or (error.status == 500 and error.reason == "ServerTimeout"):
        return Refusal(Outcome.WAIT, f"Kubernetes API overloaded: {error.message}", after_seconds=after)
    if error.status == 401:
        return Refusal(Outcome.WAIT, f"Kubernetes API does not know the launcher: {error.message}")
    if error.status in (400, 422):
        return _refused("BadTaskFormat", error)
    if error.status == 413:
        return _refused("EntityTooLarge", error)
    if error.status in (502, 503, 504):
        return Refusal(Outcome.WAIT, f"Kubernetes API unavailable: {error.message}", after_seconds=after)
    if error.not_found and error.not_served:
        return _refused("OperatorNotInstalled", error)
    what = f"namespace {namespace} is missing" if error.not_found else "Kubernetes API failed"
    failure = NotLaunchable("RuntimeFailure", f"{what}: {error.message}", system=True, recoverable=True)
    return Refusal(Outcome.WAIT_A_WHILE, failure.message, after_seconds=after, error=failure)


def _forbidden(error: ApiRefused) -> Refusal:
    if error.message.startswith("etcdserver:"):
        return Refusal(Outcome.WAIT, f"Kubernetes API overloaded: {error.message}")
    if "error looking up service account" in error.message:
        # A namespace has none for its first moments; another that is missing may yet be made.
        failure = NotLaunchable("RuntimeFailure", error.message, recoverable=True)
        return Refusal(Outcome.WAIT_A_WHILE, error.message, error=failure)
    if not quota.speaks_of_quota(error.message):
        return _refused("RuntimeFailure", error, recoverable=True)
    exceeded = quota.parse(error.message)
    if exceeded is None:
        return Refusal(Outcome.WAIT, f"Exceeded resourcequota: {error.message}", amounts={})
    if exceeded.never:
        names = ", ".join(exceeded.never)
        text = f"more of {names} is asked for than resourcequota {exceeded.quota} ever gives: {error.message}"
        return Refusal(Outcome.REFUSED, text, error=NotLaunchable("ResourceRequestsExceedLimits", text))
    return Refusal(Outcome.WAIT, f"Exceeded resourcequota: {error.message}", amounts=exceeded.requested)


def _refused(code: str, error: ApiRefused, *, recoverable: bool = False) -> Refusal:
    return Refusal(Outcome.REFUSED, error.message, error=NotLaunchable(code, error.message, recoverable=recoverable))
