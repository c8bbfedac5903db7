"""Every pod of the contract's list (k8s-contract §9.1) is one that a real API server takes, and keeps as it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD, Kind, Object
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from tests.kubernetes.asking import until
from tests.unit.kubernetes.pods import flytekit_tasks, test_built_pods
from tests.unit.kubernetes.pods.tasks import container, pod_task, settings, task, template

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
NAME = "p-d"


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def namespace_of_the_project(api: Api) -> AsyncIterator[None]:
    """The namespace that all these pods are in, with the service accounts that some of them name."""
    await api.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}})
    for account in ("exec-sa", "tmpl"):
        await api.create(
            SERVICE_ACCOUNT, NAME, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        )

    async def has_accounts() -> bool:
        return len((await api.list(SERVICE_ACCOUNT, NAME)).items) == 3

    # The controllers make the third, without which the API server takes no pods.
    await until(has_accounts)
    yield
    await api.delete(NAMESPACE, None, NAME)


async def taken(api: Api, manifest: Object) -> Object:
    """The pod as the API server would keep it."""
    return await api.create(POD, NAME, manifest, dry_run=True)


def lost(sent: object, kept: object, path: str = "") -> list[str]:
    """Paths of what was sent and is not kept: fields that Kubernetes does not know are dropped without a word."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        said = {name: value for name, value in sent.items() if value not in ("", [], {}, False)}
        return [each for name in said for each in lost(said[name], kept.get(name), f"{path}.{name}")]
    if isinstance(sent, list) and isinstance(kept, list):
        return [f"{path}[{at}]" for at, item in enumerate(sent) if all(lost(item, other) for other in kept)]
    return [] if sent == kept else [f"{path}: {sent!r} is kept as {kept!r}"]


@pytest.mark.parametrize("name", test_built_pods.CASES)
async def test_pod_of_the_list_is_taken(api: Api, name: str) -> None:
    made = test_built_pods.CASES[name]()
    manifest = build_pod(made.of).manifest
    found = await taken(api, manifest)
    assert lost(manifest, found) == []
    made.check(found)


@pytest.mark.parametrize("name", flytekit_tasks.CASES)
async def test_pod_of_a_flytekit_task_is_taken(api: Api, name: str) -> None:
    made, check = flytekit_tasks.CASES[name]()
    manifest = build_pod(made).manifest
    found = await taken(api, manifest)
    assert lost(manifest, found) == []
    check(found)


async def test_pod_with_all_settings_is_taken(api: Api) -> None:
    requirement = {"key": "pool", "operator": "In", "values": ["tasks"]}
    exists = {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}
    configured = settings(
        default_labels={"team": "t"},
        default_env_vars={"A": "1"},
        default_env_from_secrets=["s"],
        default_env_from_configmaps=["c"],
        image_pull_policy="IfNotPresent",
        scheduler_name="volcano",
        default_tolerations=[exists],
        default_node_selector={"a": "b"},
        default_affinity={
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"a": "b"}},
                        },
                    }
                ]
            }
        },
        default_pod_security_context={"runAsUser": 1000, "fsGroup": 1000},
        default_security_context={"allowPrivilegeEscalation": False},
        enable_host_networking_pod=True,
        default_pod_dns_config={"searches": ["example.com"]},
        interruptible_tolerations=[exists],
        interruptible_node_selector={"spot": "true"},
        interruptible_node_selector_requirement=requirement,
        resource_tolerations={"nvidia.com/gpu": [exists]},
        add_tolerations_for_extended_resources=["nvidia.com/gpu"],
    )
    made = task(template(container=container(requests={"gpu": "1"})), settings_of=configured, interruptible=True)
    manifest = build_pod(made).manifest
    found = await taken(api, manifest)
    assert lost(manifest, found) == []
    assert found["spec"]["schedulerName"] == "volcano"
    assert found["spec"]["hostNetwork"] is True


async def test_sidecar_without_resources_is_taken_where_a_quota_limits_them(api: Api) -> None:
    """Flyte's charts make such a quota for each project."""
    place = "p-limited"
    await api.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})
    hard = {"limits.cpu": "999", "limits.memory": "10Ti"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}
    await api.create(QUOTA, place, quota)

    async def is_ready() -> bool:
        counted = (await api.get(QUOTA, place, "q")).get("status", {}).get("hard") == hard
        return counted and bool((await api.list(SERVICE_ACCOUNT, place)).items)

    await until(is_ready)
    manifest = build_pod(task(pod_task({"name": "primary", "image": "i"}, {"name": "side", "image": "i"}))).manifest
    manifest["metadata"]["namespace"] = place
    assert await api.create(POD, place, manifest, dry_run=True)
    await api.delete(NAMESPACE, None, place)


async def test_two_pods_of_one_attempt_cannot_be_made(api: Api) -> None:
    manifest = build_pod(task(node="twice")).manifest
    await api.create(POD, NAME, manifest)
    with pytest.raises(ApiRefused) as refused:
        await api.create(POD, NAME, manifest)
    assert refused.value.already_exists
