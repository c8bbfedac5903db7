"""An API server that has too much to do: in front of the real one, it refuses to make some kinds."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Kind
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "host", "keep-alive"})


class Overload:
    """What is refused for now."""

    def __init__(self) -> None:
        self.kinds: set[Kind] = set()
        self.refused = 0

    def _answer(self, request: web.Request) -> web.Response | None:
        plural = request.path.rpartition("/")[2]
        if request.method != "POST" or plural not in {kind.plural for kind in self.kinds}:
            return None
        self.refused += 1
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "TooManyRequests",
            "message": "Too many requests, please try again later.",
            "details": {"retryAfterSeconds": 1},
            "code": 429,
        }
        return web.json_response(status, status=429, headers={"Retry-After": "1"})


@asynccontextmanager
async def overloaded(cluster: Cluster, folder: Path) -> AsyncIterator[tuple[Api, Overload]]:
    """The API, and what it refuses, which is nothing at first."""
    overload = Overload()
    authority = ssl.create_default_context(cafile=str(cluster.ca_file))
    connector = aiohttp.TCPConnector(ssl=authority, limit=0)
    session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout())

    async def pass_on(request: web.Request) -> web.StreamResponse:
        refusal = overload._answer(request)  # pyright: ignore[reportPrivateUsage]
        if refusal is not None:
            return refusal
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = f"{cluster.url}{request.path_qs}"
        async with session.request(request.method, url, headers=headers, data=await request.read()) as found:
            kept = {name: value for name, value in found.headers.items() if name.lower() not in _HOP_BY_HOP}
            answer = web.StreamResponse(status=found.status, headers=kept)
            await answer.prepare(request)
            async for chunk in found.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer

    application = web.Application(client_max_size=1 << 24)
    application.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    content = json.loads(cluster.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    path = folder / "overload.kubeconfig"
    path.write_text(json.dumps(content))
    api = await Api.open(KubernetesSettings.model_validate({"kubeconfig": path}))
    try:
        yield api, overload
    finally:
        await api.close()
        await runner.cleanup()
        await session.close()
