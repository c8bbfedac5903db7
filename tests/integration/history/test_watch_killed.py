"""A client of WatchEvents goes on where it was cut off: nothing lost, nothing twice, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Subject
from flightlog_protos.execution.v1.facts_pb2 import TimerSet
from flightlog_protos.history.v1.events_pb2 import EventFilter, WatchEventsRequest, WatchEventsResponse
from flightlog_read import DatabaseSettings

WATCH = "/flightlog.history.v1.HistoryService/WatchEvents"


class Service:
    """`python -m services.history` on one port, killed and started again."""

    def __init__(self, log: LogSettings, blobs: BlobSettings, database: DatabaseSettings, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self._ready = folder / "ready.json"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLIGHTLOG_")}
        self._environment = inherited | {
            "FLIGHTLOG_LOG__NATS_URL": log.nats_url,
            "FLIGHTLOG_LOG__USER": log.user or "",
            "FLIGHTLOG_LOG__PASSWORD": log.password.get_secret_value() if log.password else "",
            "FLIGHTLOG_BLOBS__DRIVER": "directory",
            "FLIGHTLOG_BLOBS__BUCKET": blobs.bucket,
            "FLIGHTLOG_BLOBS__ENDPOINT": blobs.endpoint,
            "FLIGHTLOG_BLOBS__ACCESS_KEY": blobs.access_key,
            "FLIGHTLOG_BLOBS__SECRET_KEY": blobs.secret_key.get_secret_value(),
            "FLIGHTLOG_BLOBS__DIRECTORY": str(blobs.directory),
            "FLIGHTLOG_DATABASE__DSN": database.dsn,
            "FLIGHTLOG_RPC__PORT": str(self.port),
            "FLIGHTLOG_READY_FILE": str(self._ready),
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it serves."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.history", env=self._environment
        )
        while not self._ready.exists() or json.loads(self._ready.read_text())["pid"] != self._process.pid:
            assert self._process.returncode is None, "the service ended before it served"
            await asyncio.wait([asyncio.ensure_future(self._process.wait())], timeout=0.05)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Client:
    """Keeps a place, as a client in any language would."""

    def __init__(self, port: int, project: str) -> None:
        self._channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.max_reconnect_backoff_ms", 200), ("grpc.use_local_subchannel_pool", 1)]
        )
        self._filter = EventFilter(project=project)
        self.place = 0
        self.found: list[int] = []
        self.breaks = 0
        self._wanted = 0
        self._there = asyncio.Event()

    async def read(self, count: int) -> None:
        """Until so many events are there in all."""
        call = self._channel.unary_stream(WATCH, WatchEventsRequest.SerializeToString, WatchEventsResponse.FromString)
        while True:
            request = WatchEventsRequest(filter=self._filter, after=self.place)
            try:
                async for response in call(request, wait_for_ready=True):
                    self.place = response.sequence
                    if response.HasField("event"):
                        self._found(response.event.sequence)
                    if len(self.found) >= count:
                        return
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                self.breaks += 1

    def _found(self, sequence: int) -> None:
        self.found.append(sequence)
        if len(self.found) >= self._wanted:
            self._there.set()

    async def until(self, count: int) -> None:
        """Returns when so many events were read, by whoever reads."""
        self._wanted = count
        self._there.clear()
        if len(self.found) < count:
            await asyncio.wait_for(self._there.wait(), 60)

    async def close(self) -> None:
        await self._channel.close(None)


async def test_a_watch_is_gone_on_with_after_each_kill(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test-killed")
    subject = Subject.of("EXECUTION", f"p{uuid4().hex}", "development", "f1")
    expected: list[int] = []
    head = Head.EMPTY

    async def append(count: int) -> None:
        nonlocal head
        for _ in range(count):
            record = await log.append(subject, [TimerSet(timer_id="t")], head=head, cause=Cause.service("test"))
            head = record.head
            expected.append(record.sequence)

    service = Service(log_settings, blob_settings, database_settings, tmp_path)
    client = Client(service.port, subject.parts[0])
    try:
        await service.start()
        await append(300)
        for round_ in (1, 2):
            reading = asyncio.ensure_future(client.read(round_ * 500))
            await client.until(len(expected) - 200)
            appending = asyncio.ensure_future(append(200))
            await service.kill()
            await appending
            await service.start()
            await append(round_ * 500 - len(expected))
            await asyncio.wait_for(reading, 60)
        assert client.found == expected
        assert client.breaks >= 2
    finally:
        await client.close()
        await service.kill()
        await log.close()
        await blobs.close()
