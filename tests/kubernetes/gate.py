"""A way to the API that a test can cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from flightlog_cluster.cluster import Cluster


class Gate:
    """Passes connections on to the API server, while it is open."""

    def __init__(self, cluster: Cluster, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        """Leads through the gate."""
        self.connections = 0
        """Made so far."""
        self._cluster = cluster
        self._server: asyncio.Server | None = None
        self._port = 0
        self._passing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connections are taken and passed on."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        content = json.loads(self._cluster.kubeconfig.read_text())
        content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self._port}"
        self.kubeconfig.write_text(json.dumps(content))

    async def close(self) -> None:
        """Those that are there break, and new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        self.connections += 1
        address = urlsplit(self._cluster.url)
        ends = [writer]
        try:
            from_api, to_api = await asyncio.open_connection(address.hostname, address.port)
            ends.append(to_api)
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, to_api))
                group.create_task(_copy(from_api, writer))
        except* OSError:
            pass
        finally:
            for end in ends:
                end.transport.abort()
            self._passing.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof() if writer.can_write_eof() else writer.close()


@asynccontextmanager
async def gate_to(cluster: Cluster, folder: Path) -> AsyncIterator[Gate]:
    """An open gate."""
    gate = Gate(cluster, folder / "gate.kubeconfig")
    await gate.open()
    try:
        yield gate
    finally:
        await gate.close()
