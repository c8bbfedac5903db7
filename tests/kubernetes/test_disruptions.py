"""Pods that the cluster itself ends: a real scheduler, the eviction API and the taint controller, on a node of kwok's.
All of it is the system's fault (k8s-contract §2.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import POD, Kind, Object
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching, task

NODE = Kind("v1", "Node", "nodes", namespaced=False)
PRIORITY_CLASS = Kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False)
_TAINT = "flightlog.test/own"


class Node:
    """A node of one CPU that only those get who ask for it."""

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name
        self.selector = {_TAINT: name}
        self.tolerations = [{"key": _TAINT, "operator": "Equal", "value": name, "effect": "NoSchedule"}]

    async def make(self) -> None:
        room = {"cpu": "1", "memory": "64Gi", "pods": "20"}
        manifest: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": self.selector,
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
            "spec": {"taints": [self._own()]},
            "status": {"capacity": room, "allocatable": room},
        }
        await self.api.create(NODE, None, manifest)

    async def taint(self, key: str) -> None:
        """Have everything on it evicted."""
        taints = [self._own(), {"key": key, "effect": "NoExecute"}]
        await self.api.patch(NODE, None, self.name, {"spec": {"taints": taints}})

    def _own(self) -> Object:
        return {"key": _TAINT, "value": self.name, "effect": "NoSchedule"}


@pytest_asyncio.fixture(loop_scope="session")
async def node(launching: Launching) -> AsyncIterator[Node]:
    found = Node(launching.api, f"node-{launching.project}")
    await found.make()
    yield found
    await launching.api.delete(NODE, None, found.name)


@asynccontextmanager
async def running_on(launching: Launching, node: Node) -> AsyncIterator[AttemptScheduled]:
    """An attempt whose pod the scheduler put there, and kwok runs."""
    pods: dict[str, Any] = {
        "scheduler_name": "default-scheduler",
        "default_node_selector": node.selector,
        "default_tolerations": node.tolerations,
    }
    async with launching.launcher(pods=pods):
        fact = await launching.schedule(task(cpu="600m"))
        await launching.until(fact, AttemptObserved.RUNNING)
        yield fact


def is_a_system_failure(observed: AttemptObserved) -> None:
    assert observed.stage == AttemptObserved.FAILED
    assert observed.error.code in ("UnexpectedObjectDeletion", "ResourceDeletedExternally")
    assert observed.error.kind == ExecutionError.SYSTEM
    assert observed.recoverable


async def test_a_pod_that_is_evicted(launching: Launching, node: Node) -> None:
    async with running_on(launching, node) as fact:
        name = fact.generated_name
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        await launching.api.create(Kind("v1", "Eviction", f"pods/{name}/eviction"), launching.namespace, eviction)
        is_a_system_failure(await launching.end(fact))


async def test_a_pod_that_the_scheduler_preempts(launching: Launching, node: Node) -> None:
    priority = f"high-{launching.project}"
    manifest = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": priority}}
    await launching.api.create(PRIORITY_CLASS, None, {**manifest, "value": 1000})
    container = {"name": "main", "image": "nowhere/nothing:1", "resources": {"requests": {"cpu": "600m"}}}
    preemptor = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "important"},
        "spec": {
            "containers": [container],
            "nodeSelector": node.selector,
            "tolerations": node.tolerations,
            "priorityClassName": priority,
        },
    }
    try:
        async with running_on(launching, node) as fact:
            await launching.api.create(POD, launching.namespace, preemptor)
            is_a_system_failure(await launching.end(fact))

            async def took_its_place() -> bool:
                return bool((await launching.api.get(POD, launching.namespace, "important"))["spec"].get("nodeName"))

            await until(took_its_place)
    finally:
        await launching.api.delete(PRIORITY_CLASS, None, priority)


async def test_a_pod_on_a_node_that_is_tainted(launching: Launching, node: Node) -> None:
    async with running_on(launching, node) as fact:
        await node.taint("flightlog.test/maintenance")
        is_a_system_failure(await launching.end(fact))
