"""What tests of this folder ask and wait for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.objects import Kind, Object

CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
_Found = TypeVar("_Found")


async def until(found: Callable[[], _Found | Awaitable[_Found]], seconds: float = 60) -> _Found:
    """The first answer that is true."""
    async with asyncio.timeout(seconds):
        while True:
            answer = found()
            answer = await answer if inspect.isawaitable(answer) else answer
            if answer:
                return answer
            await asyncio.sleep(0.01)


@asynccontextmanager
async def going(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Work beside the block; fails the block when it fails."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield task
        finally:
            task.cancel()


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Object:
    metadata: Object = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """One that no scheduler takes: its status is the test's."""
    containers = [{"name": "main", "image": "nowhere/nothing:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": containers, "schedulerName": "nobody", "restartPolicy": "Never", **spec},
    }


def definition(kind: Kind) -> Object:
    """A CustomResourceDefinition for a kind; its objects may hold anything."""
    group, version = kind.api_version.split("/")
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": CRD.api_version,
        "kind": CRD.kind,
        "metadata": {"name": f"{kind.plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything}}},
                }
            ],
        },
    }


async def serve(api: Api, kind: Kind) -> None:
    """Have the API serve a kind of its own."""
    await api.create(CRD, None, definition(kind))
    await until(lambda: is_served(api, kind))


async def is_served(api: Api, kind: Kind) -> bool:
    """Whether the API has objects of a kind, as it has soon after it got the definition."""
    try:
        await api.list(kind)
    except ApiRefused as refusal:
        if not refusal.not_served:
            raise
        return False
    return True


async def restart_api_server(cluster: Cluster) -> None:
    """Start it again, with those that work for it: by themselves they may be half a minute late in asking again."""
    await cluster.restart("kube-apiserver")
    for part in ("kube-controller-manager", "kube-scheduler", "kwok"):
        await cluster.restart(part)


async def compact(cluster: Cluster) -> None:
    """Have etcd forget everything but what is now."""
    command = cluster.children["etcd"].program.command
    (client,) = [str(part).split("=")[1] for part in command if str(part).startswith("--listen-client-urls=")]
    assert urlsplit(client).hostname == "127.0.0.1"
    async with aiohttp.ClientSession(client) as session:
        async with session.post("/v3/kv/range", json={"key": "Lw=="}) as answer:
            revision = (await answer.json())["header"]["revision"]
        async with session.post("/v3/kv/compaction", json={"revision": revision, "physical": True}) as answer:
            assert answer.status == 200, await answer.text()
