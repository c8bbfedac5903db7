"""Refused calls on the log: which ones, what is said about them, and that no call waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from flyteidl.admin.execution_pb2 import ExecutionTerminateRequest
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message
from prometheus_client import REGISTRY

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.embedded.servers import Servers
from flightlog_log import Log, LogSettings, Recorded, Unreadable
from flightlog_protos.history.v1.audit_pb2 import CallRefused
from flightlog_rpc import METHODS, CallContext, RpcError, RpcServer, RpcSettings, already_exists, not_found, unavailable

TERMINATE = "/flyteidl.service.AdminService/TerminateExecution"
GET = "/flyteidl.service.AdminService/GetExecution"
REQUEST = ExecutionTerminateRequest(id=WorkflowExecutionIdentifier(project="p", domain="d", name="f1"), cause="enough")


@pytest_asyncio.fixture(loop_scope="session")
async def log(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Log]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test-refusals")
    yield log
    await log.close()
    await blobs.close()


@asynccontextmanager
async def serving(
    log: Log, error: RpcError | None, *, forwarded: bool = False
) -> AsyncGenerator[tuple[Any, RpcServer]]:
    async def refuse(_request: Any, _call: CallContext) -> Message:
        if error is None:
            return METHODS[TERMINATE].response()
        raise error

    server = RpcServer(RpcSettings(port=0), "execution", {TERMINATE: refuse, GET: refuse}, audit=log)
    port = await server.start()
    front = None
    if forwarded:
        front = RpcServer(RpcSettings(port=0, forward={"execution": f"127.0.0.1:{port}"}), "registry", {}, audit=log)
        port = await front.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.primary_user_agent", "ann/1")]) as channel:
            yield channel, server
    finally:
        if front is not None:
            await front.stop(5)
        await server.stop(5)


async def call(channel: grpc.aio.Channel, method: str, request: bytes) -> grpc.StatusCode:
    try:
        await channel.unary_unary(method, None, None)(request, timeout=30)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def noted(log: Log, after: int) -> list[Recorded | Unreadable]:
    return [entry async for batch in log.follow("AUDIT", after=after, live=False) for entry in batch]


@pytest.mark.parametrize("forwarded", [False, True])
async def test_a_refused_change_is_on_the_log_once(log: Log, forwarded: bool) -> None:
    before = await log.stream_sequence("AUDIT")
    async with serving(log, not_found("no such execution"), forwarded=forwarded) as (channel, _):
        assert await call(channel, TERMINATE, REQUEST.SerializeToString()) is grpc.StatusCode.NOT_FOUND
        assert await call(channel, GET, b"") is grpc.StatusCode.NOT_FOUND
    (entry,) = await noted(log, before)
    assert isinstance(entry, Recorded)
    (fact,) = entry.facts
    assert isinstance(fact, CallRefused)
    assert (fact.method, fact.code, fact.message) == (
        "AdminService/TerminateExecution",
        "NOT_FOUND",
        "no such execution",
    )
    assert (fact.kind, fact.project, fact.domain, fact.name) == ("execution", "p", "d", "f1")
    assert entry.envelope.actor.subject.startswith("ann/1")
    assert entry.envelope.actor.address
    assert entry.envelope.occurred_at == fact.occurred_at
    assert entry.subject.endswith(".AdminService.TerminateExecution")


@pytest.mark.parametrize("error", [None, unavailable("later")], ids=["done", "unavailable"])
async def test_what_was_done_or_may_be_asked_again_is_not(log: Log, error: RpcError | None) -> None:
    before = await log.stream_sequence("AUDIT")
    async with serving(log, error) as (channel, _):
        await call(channel, TERMINATE, REQUEST.SerializeToString())
    assert await noted(log, before) == []


async def test_bytes_that_are_no_request_are_refused_too(log: Log) -> None:
    before = await log.stream_sequence("AUDIT")
    async with serving(log, None) as (channel, _):
        assert await call(channel, TERMINATE, b"\xff") is grpc.StatusCode.INVALID_ARGUMENT
    (entry,) = await noted(log, before)
    assert isinstance(entry, Recorded)
    assert isinstance(entry.facts[0], CallRefused)
    assert (entry.facts[0].kind, entry.facts[0].project) == ("execution", "")


async def test_calls_do_not_wait_for_a_log_that_is_away(log: Log, servers: Servers) -> None:
    before = await log.stream_sequence("AUDIT")
    async with serving(log, already_exists("there")) as (channel, server):
        await servers.kill("nats")
        for _ in range(20):
            assert await call(channel, TERMINATE, REQUEST.SerializeToString()) is grpc.StatusCode.ALREADY_EXISTS
        await servers.restart("nats")
        await server.stop(30)
    assert len(await noted(log, before)) == 20


async def test_what_cannot_be_written_in_time_is_dropped_and_counted(log: Log, servers: Servers) -> None:
    def dropped() -> float:
        return REGISTRY.get_sample_value("flightlog_audit_refusals_total", {"outcome": "dropped"}) or 0.0

    before = dropped()
    async with serving(log, already_exists("there")) as (channel, server):
        await servers.kill("nats")
        for _ in range(3):
            await call(channel, TERMINATE, REQUEST.SerializeToString())
        await asyncio.wait_for(server.stop(0), 20)
        await servers.restart("nats")
    assert dropped() == before + 3
