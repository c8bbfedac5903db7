"""What the API's answers to a create mean for an attempt (k8s-contract §3.1)."""

from __future__ import annotations

import pytest

from services.k8s_launcher.kubernetes.api_errors import ApiError, ApiRefused, ApiUnreachable
from services.k8s_launcher.kubernetes.refusals import Outcome, refusal

QUOTA = "exceeded quota: q, requested: limits.cpu={asked}, used: limits.cpu=1, limited: limits.cpu=2"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ApiUnreachable("refused"), Outcome.WAIT),
        (ApiRefused(409, "AlreadyExists", "pods x already exists"), Outcome.EXISTS),
        (ApiRefused(403, "Forbidden", QUOTA.format(asked="1500m")), Outcome.WAIT),
        (ApiRefused(403, "Forbidden", QUOTA.format(asked="2")), Outcome.WAIT),
        (ApiRefused(403, "Forbidden", "exceeded quota: in words unknown"), Outcome.WAIT),
        (ApiRefused(403, "Forbidden", "etcdserver: too many requests"), Outcome.WAIT),
        (ApiRefused(429, "TooManyRequests", "later", None, 7.0), Outcome.WAIT),
        (ApiRefused(500, "ServerTimeout", "later"), Outcome.WAIT),
        (ApiRefused(503, "ServiceUnavailable", "etcd"), Outcome.WAIT),
        (ApiRefused(401, "Unauthorized", "who?"), Outcome.WAIT),
        (ApiRefused(500, "InternalError", "failed calling webhook"), Outcome.WAIT_A_WHILE),
        (ApiRefused(404, "NotFound", 'namespaces "p-d" not found', {"name": "p-d"}), Outcome.WAIT_A_WHILE),
        (ApiRefused(409, "Conflict", "try again"), Outcome.WAIT_A_WHILE),
    ],
)
def test_what_may_pass_is_waited_for(error: ApiError, outcome: Outcome) -> None:
    assert refusal(error, namespace="p-d").outcome is outcome


@pytest.mark.parametrize(
    ("error", "code", "recoverable"),
    [
        (ApiRefused(403, "Forbidden", QUOTA.format(asked="3")), "ResourceRequestsExceedLimits", False),
        (ApiRefused(403, "Forbidden", "violates PodSecurity restricted"), "RuntimeFailure", True),
        (ApiRefused(422, "Invalid", "mountPath"), "BadTaskFormat", False),
        (ApiRefused(400, "BadRequest", "denied"), "BadTaskFormat", False),
        (ApiRefused(413, "RequestEntityTooLarge", "limit is 3145728"), "EntityTooLarge", False),
        (
            ApiRefused(404, "NotFound", "the server could not find the requested resource"),
            "OperatorNotInstalled",
            False,
        ),
    ],
)
def test_what_never_passes_fails_as_in_flyte(error: ApiError, code: str, recoverable: bool) -> None:
    found = refusal(error, namespace="p-d")
    assert found.outcome is Outcome.REFUSED
    assert found.error is not None
    assert (found.error.code, found.error.recoverable, found.error.system) == (code, recoverable, False)


def test_nobody_is_blamed_for_a_namespace_that_nobody_made() -> None:
    found = refusal(ApiRefused(404, "NotFound", "no", {"name": "p-d"}), namespace="p-d")
    assert found.error is not None
    assert (found.error.system, found.error.recoverable) == (True, True)
    assert "namespace p-d is missing" in found.reason


def test_service_account_that_is_not_there_yet_is_waited_for_a_while() -> None:
    message = (
        'pods "e-n0-0" is forbidden: error looking up service account p-d/default: serviceaccount "default" not found'
    )
    found = refusal(ApiRefused(403, "Forbidden", message, {"name": "e-n0-0", "kind": "pods"}), namespace="p-d")
    assert found.outcome is Outcome.WAIT_A_WHILE
    assert found.error is not None
    assert (found.error.code, found.error.system, found.error.recoverable) == ("RuntimeFailure", False, True)


def test_what_waits_for_a_quota_says_so_first() -> None:
    found = refusal(ApiRefused(403, "Forbidden", QUOTA.format(asked="1500m")), namespace="p-d")
    assert found.reason.startswith("Exceeded resourcequota:")
    assert found.amounts is not None
    assert set(found.amounts) == {"limits.cpu"}


def test_api_is_asked_again_when_it_says() -> None:
    assert refusal(ApiRefused(429, "TooManyRequests", "", None, 7.0), namespace="p-d").after_seconds == 7.0
