"""One public port: calls of other services' methods pass through it unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin.common_pb2 import ObjectGetRequest
from flyteidl.admin.task_pb2 import Task
from flyteidl.admin.workflow_pb2 import CreateWorkflowFailureReason
from google.rpc.status_pb2 import Status

from flightlog_rpc import CallContext, RpcError, RpcServer, RpcSettings, already_exists, internal

GET_TASK = "/flyteidl.service.AdminService/GetTask"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Method = Callable[[Any, CallContext], Awaitable[Any]]


class Pair:
    """An owner, and the service with the public port in front of it."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.owner: RpcServer | None = None
        self.owner_port = 0

    async def start_owner(self) -> int:
        self.owner = RpcServer(RpcSettings(port=self.owner_port), "registry", {GET_TASK: self.method})
        self.owner_port = await self.owner.start()
        return self.owner_port

    async def stop_owner(self) -> None:
        if self.owner is not None:
            await self.owner.stop(0)
            self.owner = None


@asynccontextmanager
async def public_port(method: Method, connect_seconds: float = 5.0) -> AsyncIterator[tuple[grpc.aio.Channel, Pair]]:
    pair = Pair(method)
    forward = {"registry": f"127.0.0.1:{await pair.start_owner()}"}
    front = RpcServer(RpcSettings(port=0, forward=forward, forward_connect_seconds=connect_seconds), "execution", {})
    port = await front.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, pair
    finally:
        await front.stop(0)
        await pair.stop_owner()


async def get_task(channel: grpc.aio.Channel, data: bytes = b"", **options: Any) -> bytes:
    return await channel.unary_unary(GET_TASK, request_serializer=None, response_deserializer=None)(data, **options)


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_request_and_response_pass_unchanged_with_unknown_fields() -> None:
    async def method(request: ObjectGetRequest, _context: CallContext) -> Task:
        task = Task()
        task.MergeFromString(request.SerializeToString())
        return task

    unknown = b"\xfa\x7f\x03abc"  # field 2047: no message of ours has it
    async with public_port(method) as (channel, _):
        assert await get_task(channel, unknown) == unknown


async def test_metadata_trace_and_the_first_client_reach_the_owner() -> None:
    seen: list[CallContext] = []

    async def method(_request: ObjectGetRequest, context: CallContext) -> Task:
        seen.append(context)
        return Task()

    async with public_port(method) as (channel, _):
        metadata = (("flightlog-as-of", "7"), ("x-some-bin", b"\x00\xff"), ("traceparent", TRACE))
        await get_task(channel, metadata=metadata)
    assert seen[0].value("flightlog-as-of") == "7"
    assert seen[0].metadata["x-some-bin"] == b"\x00\xff"
    assert seen[0].traceparent == TRACE
    assert len(seen[0].peer.split(", ")) == 2
    assert "grpc-python" in seen[0].user_agent


async def test_a_refusal_keeps_code_text_and_typed_details() -> None:
    reason = CreateWorkflowFailureReason()
    reason.exists_identical_structure.id.name = "w"

    async def method(_request: ObjectGetRequest, _context: CallContext) -> Task:
        raise already_exists("workflow with identical structure already exists", reason)

    async with public_port(method) as (channel, _):
        error = await failure(get_task(channel))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    assert error.details() == "workflow with identical structure already exists"
    (details,) = [value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin"]
    assert isinstance(details, bytes)
    unpacked = CreateWorkflowFailureReason()
    assert Status.FromString(details).details[0].Unpack(unpacked)
    assert unpacked == reason


@pytest.mark.parametrize(
    "error",
    [internal("our fault"), RpcError(grpc.StatusCode.CANCELLED, "gone"), RpcError(grpc.StatusCode.UNAVAILABLE, "late")],
    ids=lambda error: error.code.name,
)
async def test_a_status_the_owner_chose_is_kept_even_if_transports_use_it_too(error: RpcError) -> None:
    async def method(_request: ObjectGetRequest, _context: CallContext) -> Task:
        raise error

    async with public_port(method) as (channel, _):
        found = await failure(get_task(channel))
    assert (found.code(), found.details()) == (error.code, error.message)


async def test_the_clients_deadline_holds_at_the_owner() -> None:
    remaining: list[bool] = []
    left = asyncio.Event()

    async def method(_request: ObjectGetRequest, _context: CallContext) -> Task:
        remaining.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return Task()

    async with public_port(method) as (channel, _):
        error = await failure(get_task(channel, timeout=0.3))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(left.wait(), 5)
    assert remaining


async def test_an_owner_that_is_down_is_unavailable_by_name() -> None:
    async def method(_request: ObjectGetRequest, _context: CallContext) -> Task:
        return Task()

    async with public_port(method, connect_seconds=0.3) as (channel, pair):
        await get_task(channel)
        await pair.stop_owner()
        error = await failure(get_task(channel))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "registry" in (error.details() or "")


async def test_an_owner_that_restarts_is_a_pause_for_a_call_that_comes_meanwhile() -> None:
    async def method(_request: ObjectGetRequest, _context: CallContext) -> Task:
        return Task(short_description="back")

    async with public_port(method, connect_seconds=20) as (channel, pair):
        await get_task(channel)
        await pair.stop_owner()
        waiting = asyncio.ensure_future(get_task(channel))
        await pair.start_owner()
        assert b"back" in await asyncio.wait_for(waiting, 20)


async def test_an_owner_that_dies_within_a_call_is_unavailable_never_unknown() -> None:
    entered = asyncio.Event()

    async def method(_request: ObjectGetRequest, _context: CallContext) -> Task:
        entered.set()
        await asyncio.Event().wait()
        return Task()

    async with public_port(method) as (channel, pair):
        call = asyncio.ensure_future(get_task(channel))
        await asyncio.wait_for(entered.wait(), 5)
        await pair.stop_owner()
        error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_forty_calls_at_once_share_the_channel() -> None:
    peers: set[str] = set()

    async def method(_request: ObjectGetRequest, context: CallContext) -> Task:
        peers.add(context.peer.split(", ")[-1])
        return Task()

    async with public_port(method) as (channel, _):
        await asyncio.gather(*(get_task(channel) for _ in range(40)))
    assert len(peers) == 1
