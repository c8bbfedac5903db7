"""A stack whose tasks run in real containers: control plane, containerd and kubelet on this machine, as root.

`make test-kubelet` runs these tests; elsewhere they are skipped, for they change the machine's network while they run.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from flightlog_cli.stack_process import StackProcess
from flightlog_cluster.cluster import Cluster, run_cluster
from flightlog_cluster.node import HOST_ADDRESS, Node, host_address, missing, run_node
from flightlog_cluster.task_image import TASK_IMAGE, images
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Kind
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

WORKFLOWS = Path(__file__).parent / "workflows"
SECONDS_TO_NOTICE = 8
"""After which a node that is silent counts as gone, and its pods with it."""
_NODE = Kind("v1", "Node", "nodes", namespaced=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kubelet_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Cluster, Node]]:
    """A cluster with one real node."""
    if os.environ.get("FLIGHTLOG_TEST_KUBELET") != "1":
        pytest.skip("with real containers only when asked for: make test-kubelet")
    if lack := missing():
        pytest.fail(lack)
    # Unix sockets lie in it, whose paths may not be long.
    folder = tmp_path_factory.mktemp("k")
    tolerated = f"--default-not-ready-toleration-seconds={SECONDS_TO_NOTICE // 4}"
    unreachable = f"--default-unreachable-toleration-seconds={SECONDS_TO_NOTICE // 4}"
    silent = f"--node-monitor-grace-period={SECONDS_TO_NOTICE}s"
    async with (
        host_address(),
        run_cluster(
            folder / "c",
            address=HOST_ADDRESS,
            apiserver_flags=[tolerated, unreachable],
            controller_flags=[silent, "--node-monitor-period=1s", "--node-eviction-rate=1"],
        ) as cluster,
        run_node(folder / "n", cluster, "real", await images(folder / "images")) as node,
    ):
        yield cluster, node


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kube(kubelet_cluster: tuple[Cluster, Node]) -> AsyncIterator[Api]:
    """The cluster's API, once its node is ready."""
    settings = KubernetesSettings.model_validate({"kubeconfig": kubelet_cluster[0].kubeconfig})
    api = await Api.open(settings)
    # Where all nodes are silent, Kubernetes takes that for its own fault and evicts nothing: these never are.
    for number in range(2):
        metadata = {"name": f"well-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}}
        spec = {"taints": [{"key": "no-containers", "effect": "NoSchedule"}]}
        await api.create(_NODE, None, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
    async with asyncio.timeout(60):
        async for _, node in api.watch(_NODE, None, resource_version="0"):
            if node["metadata"]["name"] != "real":
                continue
            conditions = node.get("status", {}).get("conditions", [])
            if any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions):
                break
    yield api
    await api.close()


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, kubelet_cluster: tuple[Cluster, Node], kube: Api
) -> Iterator[StackProcess]:
    """A `flightlog up` whose launcher makes pods."""
    environment = {
        "FLIGHTLOG_LAUNCHER__RUNTIME": "kubernetes",
        "FLIGHTLOG_KUBERNETES__KUBECONFIG": str(kubelet_cluster[0].kubeconfig),
        "FLIGHTLOG_KUBERNETES__OWN_NAMESPACE": "default",
        "FLIGHTLOG_KUBERNETES__RAW_CONTAINERS__IMAGE": TASK_IMAGE,
        "FLIGHTLOG_KUBERNETES__STATUS__IMAGE_PULL_BACKOFF_GRACE": "PT5S",
    }
    with StackProcess(tmp_path_factory.mktemp("stack"), host=HOST_ADDRESS, environment=environment) as running:
        yield running


@pytest.fixture(scope="session")
def contained() -> Any:
    """The module of workflows."""
    sys.path.insert(0, str(WORKFLOWS))
    import contained

    return contained


@pytest.fixture(scope="session")
def run(remote: Any, contained: Any) -> Callable[..., Any]:
    """Start a workflow of the module, whose code travels by fast registration; gives the execution."""
    from flytekit.configuration import FastSerializationSettings, Image, ImageConfig, SerializationSettings

    _, package = remote.fast_package(WORKFLOWS)
    settings = SerializationSettings(
        project="flytesnacks",
        domain="development",
        image_config=ImageConfig(default_image=Image("default", *TASK_IMAGE.rsplit(":", 1))),
        fast_serialization_settings=FastSerializationSettings(
            enabled=True, destination_dir=".", distribution_location=package
        ),
        version="contained-1",
    )
    known: dict[str, Any] = {}

    def start(name: str, /, **inputs: Any) -> Any:
        if name not in known:
            workflow = getattr(contained, name)
            known[name] = remote.register_workflow(workflow, serialization_settings=settings, version="contained-1")
        return remote.execute(known[name], inputs=inputs)

    return start
