"""Manifests on a real API: applied for trial or in earnest, with what the API warns of."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from flightlog_cluster.build import GoMissing, find_go
from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api

GATEWAY_API = "sigs.k8s.io/gateway-api@v1.4.0"
GATEWAY_API_SUM = "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ="

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Manifest
    warnings: tuple[str, ...]


class Client:
    """Server-side apply, as `kubectl apply --server-side` does it: unknown fields are errors, warnings are heard."""

    def __init__(self, cluster: Cluster, api: Api, session: aiohttp.ClientSession) -> None:
        self._cluster = cluster
        self._api = api
        self._session = session

    async def apply(self, manifest: Manifest, *, dry_run: bool) -> Answer:
        kind = await self._api.find(manifest["apiVersion"], manifest["kind"])
        assert kind is not None, f"the API has no {manifest['apiVersion']} {manifest['kind']}"
        metadata = manifest["metadata"]
        path = kind.path(metadata.get("namespace"), metadata["name"])
        query = {"fieldManager": "deploying", "fieldValidation": "Strict", "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        async with self._session.patch(
            f"{self._cluster.url}{path}",
            params=query,
            data=json.dumps(manifest),
            headers={"content-type": "application/apply-patch+yaml", "authorization": f"Bearer {self._cluster.token}"},
        ) as answer:
            return Answer(answer.status, await answer.json(), tuple(answer.headers.getall("Warning", [])))


@asynccontextmanager
async def client(cluster: Cluster, api: Api) -> AsyncIterator[Client]:
    authority = ssl.create_default_context(cafile=str(cluster.ca_file))
    authority.verify_flags &= ~ssl.VERIFY_X509_STRICT
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=authority)) as session:
        yield Client(cluster, api, session)


def elsewhere(manifests: list[Manifest], namespace: str) -> list[Manifest]:
    """The same installation in another namespace, so that tests are by themselves."""
    text = json.dumps(manifests).replace('"namespace": "flightlog"', f'"namespace": "{namespace}"')
    moved: list[Manifest] = json.loads(text)
    for manifest in moved:
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = namespace
        assert manifest["metadata"].get("namespace") != "default"
    return moved


async def gateway_definitions() -> list[Manifest]:
    """The Gateway API's own definitions, from its Go module, which Go keeps and checks against its sum."""
    try:
        go = find_go()
    except GoMissing as missing:
        pytest.skip(str(missing))
    done = await asyncio.to_thread(
        subprocess.run, [go, "mod", "download", "-json", GATEWAY_API], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    module = json.loads(done.stdout)
    assert module["Sum"] == GATEWAY_API_SUM
    folder = Path(module["Dir"]) / "config" / "crd" / "standard"
    return [
        yaml.safe_load((folder / f"gateway.networking.k8s.io_{plural}.yaml").read_text())
        for plural in ("gateways", "grpcroutes")
    ]
