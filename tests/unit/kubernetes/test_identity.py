"""What a launcher writes on objects is what it reads there; what others write there does no harm."""

from __future__ import annotations

import json

import pytest

from services.k8s_launcher.kubernetes.identity import key_in, made_before, stamped
from services.k8s_launcher.kubernetes.objects import POD, Built
from services.k8s_launcher.kubernetes.queueing.volcano import POD_GROUP
from services.k8s_launcher.runtime import AttemptKey

KEY = AttemptKey("p", "d", "e", "n0", 3)


def test_what_is_written_is_read() -> None:
    group = POD_GROUP, {"metadata": {"name": "group"}}
    built = Built(POD, {"metadata": {"annotations": {"a": "b"}}}, [group])
    seen = stamped(built, KEY, instance="i", namespace="p-d", name="name", owner={}).manifest
    assert key_in(seen) == KEY
    assert seen["metadata"]["annotations"]["a"] == "b"
    assert made_before(seen) == [(POD_GROUP, "group")]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "{",
        "null",
        "{}",
        "7",
        "[7, null, []]",
        '["/"]',
        json.dumps([POD_GROUP.path("p-d", "")]),
        json.dumps([POD_GROUP.path("elsewhere", "theirs")]),
        json.dumps(["/api/v1/namespaces/p-d/secrets/theirs", "/apis/apps/v1/namespaces/p-d/deployments/theirs"]),
    ],
)
def test_nobody_can_have_other_things_removed(written: str) -> None:
    seen = {"metadata": {"namespace": "p-d", "annotations": {"flightlog.dev/made-before": written}}}
    assert made_before(seen) == []
