"""Every manifest of deploy/k8s, tried against a real API server: `kubectl apply --dry-run=server` and its like."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
import yaml

from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import CRD
from tests.kubernetes.defining import define
from tests.kubernetes.deploying import Client, Manifest, client, elsewhere, gateway_definitions
from tests.unit.deployment.rendering import OVERLAYS, named, rendered


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deploying(cluster: Cluster, api: Api, kubernetes_settings: KubernetesSettings) -> AsyncIterator[Client]:
    """A client of the API, which knows what a Gateway is, and a GRPCRoute."""
    knowing = await define(api, kubernetes_settings, await gateway_definitions())
    async with client(cluster, knowing) as opened:
        yield opened
    await knowing.close()


@pytest_asyncio.fixture(loop_scope="session")
async def installation(request: pytest.FixtureRequest, deploying: Client) -> list[Manifest]:
    """An overlay's manifests for a namespace of their own, which exists, with the labels that the overlay gives it."""
    name = f"flightlog-{uuid4().hex[:8]}"
    moved = elsewhere(rendered(request.param), name)
    made = await deploying.apply(named(moved, "Namespace", name), dry_run=False)
    assert made.status == 201, made.body
    return moved


@pytest.mark.parametrize("installation", OVERLAYS, indirect=True)
async def test_the_api_takes_every_manifest_and_warns_of_none(installation: list[Manifest], deploying: Client) -> None:
    """Warnings are the Pod Security admission's word on pods that the namespace would refuse, and old API versions."""
    assert len(installation) > 30
    for manifest in installation:
        answer = await deploying.apply(manifest, dry_run=True)
        said = (manifest["kind"], manifest["metadata"]["name"], answer.body.get("message"), answer.warnings)
        assert answer.status in (200, 201), said
        assert not answer.warnings, said


@pytest.mark.parametrize("installation", ["production"], indirect=True)
async def test_the_api_says_what_is_wrong(installation: list[Manifest], deploying: Client) -> None:
    """The trial is one: a field that does not exist is refused, and a pod with too many rights is warned of."""
    registry = named(installation, "Deployment", "registry")
    pod = registry["spec"]["template"]["spec"]
    pod["securityContext"]["runAsNonRoot"] = False
    assert any("runAsNonRoot" in warning for warning in (await deploying.apply(registry, dry_run=True)).warnings)
    pod["containers"][0]["imagePolicy"] = "Always"
    refused = await deploying.apply(registry, dry_run=True)
    assert refused.status >= 400
    assert "imagePolicy" in json.dumps(refused.body)


@pytest.mark.parametrize("installation", OVERLAYS, indirect=True)
async def test_kubectl_applies_every_manifest(installation: list[Manifest], cluster: Cluster) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed; the API itself was asked by the test before")
    done = await asyncio.to_thread(
        subprocess.run,
        [kubectl, f"--kubeconfig={cluster.kubeconfig}", "apply", "--dry-run=server", "--filename=-"],
        input=yaml.safe_dump_all(installation),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(installation)
    assert all("(server dry run)" in line for line in done.stdout.splitlines())


def test_definitions_are_not_part_of_an_installation() -> None:
    """Whoever takes the gateway's overlay has them already, with the controller that reads them."""
    for overlay in OVERLAYS:
        assert CRD.kind not in {manifest["kind"] for manifest in rendered(overlay)}
