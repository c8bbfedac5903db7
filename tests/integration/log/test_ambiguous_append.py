"""Appends whose request or answer got lost on the way: stored once, and told apart from those of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from flightlog_blobs import BlobStore
from flightlog_log import Conflict, Head, Log, LogUnavailable, Subject, verify_chain
from flightlog_protos.execution.v1.facts_pb2 import NodeQueued
from tests.integration.log.shared import CAUSE, OwnNats, append_many


class Wire:
    """A TCP connection to the server that can lose what is sent either way, and break."""

    def __init__(self, target: str) -> None:
        url = urlsplit(target)
        self._target = (url.hostname, url.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.lose_requests = False
        self.lose_answers = False
        self.lost = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"nats://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections; new ones may be made."""
        self.lose_requests = self.lose_answers = False
        self.lost.clear()
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, server_writer}
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, server_writer, False), self._pass(server_reader, writer, True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self.lose_answers if answers else self.lose_requests:
                    self.lost.set()
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def wire(own_nats: OwnNats) -> AsyncIterator[Wire]:
    async with Wire(own_nats.settings.nats_url) as wire:
        yield wire


@pytest_asyncio.fixture(loop_scope="session")
async def wired(own_nats: OwnNats, blobs: BlobStore, wire: Wire) -> AsyncIterator[Log]:
    """A log behind the wire."""
    settings = own_nats.settings.model_copy(
        update={"nats_url": wire.url, "request_seconds": 0.5, "patience_seconds": 10.0}
    )
    log = await Log.connect(settings, blobs, name="wired")
    yield log
    await log.close()


async def test_append_whose_answer_was_lost_is_stored_once_and_succeeds(
    log: Log, wired: Log, wire: Wire, subject: Subject
) -> None:
    head = await append_many(log, subject, 3)
    wire.lose_answers = True
    appending = asyncio.create_task(wired.append(subject, [NodeQueued(node_id="n")], head=head, cause=CAUSE))
    await asyncio.wait_for(wire.lost.wait(), 5)
    wire.cut()
    recorded = await appending

    records = await log.load(subject)
    assert records[3:] == [recorded]
    verify_chain(records)


async def test_append_whose_answer_was_lost_succeeds_even_when_another_followed_it(
    log: Log, wired: Log, wire: Wire, subject: Subject
) -> None:
    head = await append_many(log, subject, 3)
    wire.lose_answers = True
    appending = asyncio.create_task(wired.append(subject, [NodeQueued(node_id="n")], head=head, cause=CAUSE))
    await asyncio.wait_for(wire.lost.wait(), 5)
    other = await log.append(subject, [NodeQueued(node_id="m")], head=await log.head(subject), cause=CAUSE)
    wire.cut()
    recorded = await appending

    records = await log.load(subject)
    assert records[3:] == [recorded, other]
    verify_chain(records)


async def test_append_whose_request_was_lost_is_stored_by_the_next_try(
    log: Log, wired: Log, wire: Wire, subject: Subject
) -> None:
    wire.lose_requests = True
    appending = asyncio.create_task(wired.append(subject, [NodeQueued(node_id="n")], head=Head.EMPTY, cause=CAUSE))
    await asyncio.wait_for(wire.lost.wait(), 5)
    wire.cut()
    recorded = await appending
    assert await log.load(subject) == [recorded]


async def test_append_whose_request_was_lost_is_a_conflict_when_another_was_first(
    log: Log, wired: Log, wire: Wire, subject: Subject
) -> None:
    wire.lose_requests = True
    appending = asyncio.create_task(wired.append(subject, [NodeQueued(node_id="n")], head=Head.EMPTY, cause=CAUSE))
    await asyncio.wait_for(wire.lost.wait(), 5)
    other = await log.append(subject, [NodeQueued(node_id="m")], head=Head.EMPTY, cause=CAUSE)
    wire.cut()
    with pytest.raises(Conflict):
        await appending
    assert await log.load(subject) == [other]


async def test_append_without_an_answer_for_too_long_is_unavailable(
    own_nats: OwnNats, blobs: BlobStore, wire: Wire, subject: Subject
) -> None:
    settings = own_nats.settings.model_copy(
        update={"nats_url": wire.url, "request_seconds": 0.1, "patience_seconds": 0.3}
    )
    log = await Log.connect(settings, blobs, name="impatient")
    wire.lose_answers = True
    with pytest.raises(LogUnavailable):
        await log.append(subject, [NodeQueued(node_id="n")], head=Head.EMPTY, cause=CAUSE)
    wire.cut()
    await log.close()


async def test_appends_under_repeated_kills_of_the_server_leave_an_unbroken_chain(
    log: Log, own_nats: OwnNats, subject: Subject
) -> None:
    appending = asyncio.create_task(append_many(log, subject, 300))
    for target in (50, 120, 200):
        async with asyncio.timeout(20):
            while (await log.head(subject)).position < target:
                pass
        await own_nats.child.restart()
    head = await appending

    records = await log.load(subject)
    assert [record.envelope.position for record in records] == list(range(1, 301))
    assert records[-1].head == head
    verify_chain(records)
