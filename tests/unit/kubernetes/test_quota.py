"""What a ResourceQuota's refusal says, and what counts against one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.k8s_launcher.kubernetes.objects import POD, Kind, Object
from services.k8s_launcher.kubernetes.quota import counted, parse

# As a kube-apiserver 1.34 words them.
CPU = (
    'pods "a1-n0-0" is forbidden: exceeded quota: compute, requested: limits.cpu=1500m, used: limits.cpu=1, '
    "limited: limits.cpu=2"
)
MANY = (
    'pods "a1-n0-0" is forbidden: exceeded quota: project-quota, requested: limits.cpu=2,limits.memory=4Gi,pods=1, '
    "used: limits.cpu=1,limits.memory=1Gi,pods=10, limited: limits.cpu=2,limits.memory=4000Mi,pods=10"
)
GPU = (
    'pods "a1-n0-0" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=2, '
    "used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=1"
)
COUNT = (
    'rayjobs.ray.io "a1-n0-0" is forbidden: exceeded quota: objects, requested: count/rayjobs.ray.io=1, '
    "used: count/rayjobs.ray.io=3, limited: count/rayjobs.ray.io=3"
)


def test_amounts_of_one_resource_are_read() -> None:
    found = parse(CPU)
    assert found is not None
    assert (found.quota, found.requested, found.used, found.limited) == (
        "compute",
        {"limits.cpu": Decimal("1.5")},
        {"limits.cpu": Decimal(1)},
        {"limits.cpu": Decimal(2)},
    )
    assert found.never == ()


def test_amounts_of_many_resources_are_read_and_those_that_never_fit_are_named() -> None:
    found = parse(MANY)
    assert found is not None
    assert set(found.requested) == {"limits.cpu", "limits.memory", "pods"}
    assert found.never == ("limits.memory",)


@pytest.mark.parametrize(("message", "never"), [(GPU, ("requests.nvidia.com/gpu",)), (COUNT, ())])
def test_any_resource_that_a_quota_names_is_understood(message: str, never: tuple[str, ...]) -> None:
    found = parse(message)
    assert found is not None
    assert found.never == never


def test_what_equals_the_quota_fits_one_day() -> None:
    found = parse(CPU.replace("1500m", "2"))
    assert found is not None
    assert found.never == ()


@pytest.mark.parametrize(
    "message",
    [
        'pods "x" is forbidden: failed quota: compute: must specify limits.cpu for: main',
        "exceeded quota: compute",
        "exceeded quota: q, requested: a=what, used: a=1, limited: a=1",
        "",
    ],
)
def test_other_messages_say_nothing(message: str) -> None:
    assert parse(message) is None


def container(limits: dict[str, str] | None = None, requests: dict[str, str] | None = None, **more: str) -> Object:
    return {"name": "c", "resources": {"limits": limits or {}, "requests": requests or {}}, **more}


def test_containers_count_together_and_the_largest_init_container_by_itself() -> None:
    manifest: Object = {
        "spec": {
            "initContainers": [container({"cpu": "5", "memory": "1Gi"})],
            "containers": [container({"cpu": "1", "memory": "1Gi"}), container({"cpu": "500m", "memory": "1Gi"})],
        }
    }
    found = counted(POD, manifest)
    assert found["limits.cpu"] == 5
    assert found["limits.memory"] == 2 * 1024**3
    assert (found["pods"], found["count/pods"]) == (1, 1)


def test_init_containers_that_stay_count_with_those_that_follow() -> None:
    manifest: Object = {
        "spec": {
            "initContainers": [container({"cpu": "1"}, restartPolicy="Always"), container({"cpu": "3"})],
            "containers": [container({"cpu": "2"})],
        }
    }
    assert counted(POD, manifest)["limits.cpu"] == 4


def test_limits_are_requested_where_nothing_else_is() -> None:
    found = counted(POD, {"spec": {"containers": [container({"nvidia.com/gpu": "2", "cpu": "2"}, {"cpu": "1"})]}})
    assert found["requests.nvidia.com/gpu"] == 2
    assert (found["requests.cpu"], found["cpu"], found["limits.cpu"]) == (1, 1, 2)


def test_object_of_an_operator_counts_as_one_of_its_kind() -> None:
    assert counted(Kind("ray.io/v1", "RayJob", "rayjobs"), {"spec": {}}) == {"count/rayjobs.ray.io": 1}
