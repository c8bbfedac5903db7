"""Pods of tasks that flytekit has serialised."""

from __future__ import annotations

import pytest

from services.k8s_launcher.kubernetes.pods.pod import build_pod
from tests.unit.kubernetes.pods.flytekit_tasks import CASES


@pytest.mark.parametrize("name", CASES)
def test_pod_of_a_flytekit_task(name: str) -> None:
    made, check = CASES[name]()
    check(build_pod(made).manifest)
