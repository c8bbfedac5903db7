"""A client of WatchEvents goes on where it was cut off: nothing lost, nothing twice, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Subject
from flightlog_protos.execution.v1.facts_pb2 import TimerSet
from flightlog_protos.history.v1.events_pb2 import EventFilter, WatchEventsRequest, WatchEventsResponse
from flightlog_read import DatabaseSettings
from tests.integration.history.history_process import HistoryProcess

WATCH = "/flightlog.history.v1.HistoryService/WatchEvents"


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

    service = HistoryProcess(log_settings, blob_settings, database_settings, tmp_path)
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
        await service.close()
        await log.close()
        await blobs.close()
