"""A real scheduler puts pods of tasks on the nodes whose accelerators they name, and no others there
(k8s-contract §1.10, §1.11)."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from flyteidl.core import tasks_pb2

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import POD, Kind, Task
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from tests.kubernetes.accounts import has_account
from tests.kubernetes.asking import until
from tests.unit.kubernetes.pods.tasks import container, settings, task, template

NODE = Kind("v1", "Node", "nodes", namespaced=False)
DEVICE, PART = "k8s.amazonaws.com/accelerator", "k8s.amazonaws.com/gpu-partition-size"
T4, A100 = "nvidia-tesla-t4", "nvidia-tesla-a100"
POOL = "flightlog.test/accelerators"
OURS = {"key": POOL, "operator": "Exists", "effect": "NoSchedule"}

NODES: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "cpu": ({}, {}),
    "spot": ({"spot": "true"}, {}),
    "t4": ({DEVICE: T4}, {"nvidia.com/gpu": "4"}),
    "a100-whole": ({DEVICE: A100}, {"nvidia.com/gpu": "8"}),
    "a100-parts": ({DEVICE: A100, PART: "1g.5gb"}, {"nvidia.com/gpu": "56"}),
    "a100-mixed": ({"product": "A100"}, {"nvidia.com/mig-1g.5gb": "7"}),
}
"""Labels, which are taints too, and devices."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def nodes(api: Api) -> AsyncIterator[None]:
    """Nodes of kwok's that only pods of this module go to."""
    for name, (labels, devices) in NODES.items():
        room = {"cpu": "64", "memory": "512Gi", "pods": "50", **devices}
        taints = [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in {POOL: "x", **labels}.items()]
        await api.create(
            NODE,
            None,
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": {POOL: "x", **labels},
                    "annotations": {"kwok.x-k8s.io/node": "fake"},
                },
                "spec": {"taints": taints},
                "status": {"capacity": room, "allocatable": room},
            },
        )
    yield
    for name in NODES:
        await api.delete(NODE, None, name)


def attempt(device: str = "", *, gpu: str = "1", interruptible: bool = False, **part: Any) -> Task:
    accelerator = tasks_pb2.ExtendedResources(gpu_accelerator=tasks_pb2.GPUAccelerator(device=device, **part))
    asked = template(container=container(requests={"gpu": gpu}), extended_resources=accelerator)
    spot = {"key": "spot", "operator": "In", "values": ["true"]}
    configured = settings(
        {"defaults": {"cpu": "100m", "memory": "500Mi"}},
        default_node_selector={POOL: "x"},
        default_tolerations=[OURS],
        interruptible_tolerations=[{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
        interruptible_node_selector_requirement=spot,
        non_interruptible_node_selector_requirement={**spot, "operator": "NotIn"},
        accelerator_mapping=[
            {
                "device": "nvidia-a100-of-parts",
                "partition_size": "1g.5gb",
                "resource_name": "nvidia.com/mig-1g.5gb",
                "tolerations": [{"key": "product", "operator": "Exists", "effect": "NoSchedule"}],
            }
        ],
    )
    return task(asked, settings_of=configured, interruptible=interruptible)


@pytest.mark.parametrize(
    ("made", "node"),
    [
        (attempt(gpu="0"), "cpu"),
        (attempt(gpu="0", interruptible=True), "spot"),
        (attempt(T4), "t4"),
        (attempt(A100, unpartitioned=True, gpu="8"), "a100-whole"),
        (attempt(A100, partition_size="1g.5gb", gpu="2"), "a100-parts"),
        (attempt("nvidia-a100-of-parts", partition_size="1g.5gb"), "a100-mixed"),
        # An accelerator that is named without a GPU sends a pod nowhere.
        (attempt(T4, gpu="0"), "cpu"),
    ],
)
async def test_pod_goes_to_its_node(api: Api, namespace: str, made: Task, node: str) -> None:
    await until(lambda: has_account(api, namespace))
    manifest = build_pod(dataclasses.replace(made, namespace=namespace)).manifest
    name = manifest["metadata"]["name"]
    await api.create(POD, namespace, manifest)

    async def its_node() -> str:
        return (await api.get(POD, namespace, name))["spec"].get("nodeName", "")

    assert await until(its_node) == node
