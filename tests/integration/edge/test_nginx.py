"""The edge's nginx for real: every method to its owner, large messages, streams, owners that are down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flightlog_cli.generate import NGINX
from flightlog_protos.history.v1.events_pb2 import WatchEventsResponse
from flightlog_rpc import METHODS, CallContext, RpcServer
from flightlog_rpc import OWNERS as OWNER_OF
from flightlog_rpc.context import FORWARDED_FOR, FORWARDED_USER_AGENT
from flightlog_rpc.settings import RpcSettings

from .conftest import Start
from .nginx import LARGE, OWNER_KEY, OWNERS, Nginx, free_port, methods_in, owner, reachable, saying

GET_TASK = "/flyteidl.service.AdminService/GetTask"
GET_EXECUTION = "/flyteidl.service.AdminService/GetExecution"
WATCH_EVENTS = "/flightlog.history.v1.HistoryService/WatchEvents"
MIB = 1024 * 1024


@pytest_asyncio.fixture
async def edge(start_edge: Start) -> AsyncIterator[Nginx]:
    """An edge in front of owners that send the request back."""
    async with AsyncExitStack() as stack:
        yield start_edge({name: await stack.enter_async_context(owner(saying(name))) for name in OWNERS})


@pytest_asyncio.fixture
async def channel(edge: Nginx) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(edge.address, options=LARGE) as opened:
        yield opened


def raw(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """A method whose messages are bytes."""
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


async def test_each_method_reaches_its_owner(channel: grpc.aio.Channel) -> None:
    reached: dict[str, str] = {}
    for method in METHODS:
        call = raw(channel, method)(b"", timeout=30)
        await call
        reached[method] = dict(await call.trailing_metadata())[OWNER_KEY]
    assert reached == dict(OWNER_OF)


async def test_other_methods_are_unimplemented(channel: grpc.aio.Channel) -> None:
    for method in ("/flyteidl.service.AdminService/GetTaskX", "/any.Service/Method", "/"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await raw(channel, method)(b"", timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "no service of this installation" in (refused.value.details() or "")


@pytest.mark.parametrize("size", [20 * MIB, 64 * MIB])
async def test_large_messages_pass_in_both_directions(channel: grpc.aio.Channel, size: int) -> None:
    sent = bytes(range(256)) * (size // 256)
    assert await raw(channel, GET_TASK)(sent, timeout=120) == sent


async def test_what_is_too_large_is_said_in_grpcs_words(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await raw(channel, GET_TASK)(bytes(66 * MIB), timeout=120)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await raw(channel, GET_TASK)(b"next", timeout=30) == b"next"


async def test_metadata_arrives_as_the_client_sent_it(start_edge: Start) -> None:
    seen: dict[str, str | bytes] = {}

    async def answer(_method: str, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        seen.update(dict(context.invocation_metadata() or ()))  # pyright: ignore[reportArgumentType]
        seen["deadline"] = str(context.time_remaining())
        return request

    sent = (
        ("with_underscores", "value"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("large", "x" * 40_000),
        ("some-bin", bytes(range(256))),
        (FORWARDED_FOR, "203.0.113.7"),
    )
    async with owner(answer) as place:
        edge = start_edge(dict.fromkeys(OWNERS, place))
        async with grpc.aio.insecure_channel(edge.address, options=[("grpc.primary_user_agent", "probe/7")]) as channel:
            await raw(channel, GET_TASK)(b"", metadata=sent, timeout=30)
    assert {name: seen[name] for name, _ in sent[:-1]} == dict(sent[:-1])
    assert seen[FORWARDED_FOR] == "203.0.113.7, 127.0.0.1"
    assert str(seen[FORWARDED_USER_AGENT]).startswith("probe/7")
    # gRPC rounds it up to tenths on the wire.
    assert 0 < float(seen["deadline"]) <= 30.1


async def test_an_owner_that_is_down_is_unavailable_and_found_again(start_edge: Start) -> None:
    port = free_port()
    async with owner(saying("execution")) as execution:
        places = dict.fromkeys(OWNERS, execution)
        edge = start_edge({**places, "registry": f"127.0.0.1:{port}"})
        async with grpc.aio.insecure_channel(edge.address) as channel:
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await raw(channel, GET_TASK)(b"", timeout=60)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
                assert refused.value.details() == "the registry service is not reachable, or does not answer"
                assert await raw(channel, GET_EXECUTION)(b"others", timeout=60) == b"others"
            async with owner(saying("registry"), port):
                assert await raw(channel, GET_TASK)(b"back", timeout=60) == b"back"
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await raw(channel, GET_TASK)(b"", timeout=60)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_owner_that_breaks_off_is_not_asked_twice(start_edge: Start) -> None:
    """What may have been received is the client's to repeat, and not the edge's."""
    asked = 0

    async def answer(_method: str, _request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        nonlocal asked
        asked += 1
        breaking.set()
        await asyncio.Event().wait()
        return b""

    breaking = asyncio.Event()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(owner(answer))
        edge = start_edge(dict.fromkeys(OWNERS, place))
        async with grpc.aio.insecure_channel(edge.address) as channel:
            call = asyncio.ensure_future(raw(channel, GET_TASK)(b"", timeout=60))
            await asyncio.wait_for(breaking.wait(), 30)
            await stack.aclose()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
    assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert asked == 1


async def test_more_calls_at_once_on_one_connection_than_nginx_would_take(start_edge: Start) -> None:
    together, here = 300, 0
    all_here = asyncio.Event()

    async def answer(_method: str, request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        nonlocal here
        here += 1
        if here == together:
            all_here.set()
        await all_here.wait()
        return request

    async with owner(answer) as place:
        edge = start_edge(dict.fromkeys(OWNERS, place))
        async with grpc.aio.insecure_channel(edge.address) as channel:
            calls = [raw(channel, GET_TASK)(str(n).encode(), timeout=120) for n in range(together)]
            assert await asyncio.gather(*calls) == [str(n).encode() for n in range(together)]


async def test_streams_outlive_the_limit_of_calls(start_edge: Start) -> None:
    """A call that nobody answers ends as UNAVAILABLE; a stream that says nothing for longer goes on."""

    async def silent(_method: str, _request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await asyncio.Event().wait()
        return b""

    waited = asyncio.Event()

    async def watch_events(_request: Any, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        yield WatchEventsResponse(sequence=1)
        await waited.wait()
        yield WatchEventsResponse(sequence=2)

    events = RpcServer(RpcSettings(host="127.0.0.1", port=0), "history", {WATCH_EVENTS: watch_events})
    history = f"127.0.0.1:{await events.start()}"
    server = RpcServer(RpcSettings(host="127.0.0.1", port=0), "execution", {})
    execution = f"127.0.0.1:{await server.start()}"
    async with owner(silent) as others:
        edge = start_edge(
            {**dict.fromkeys(OWNERS, others), "execution": execution, "history": history},
            {"grpc_read_timeout 300s;": "grpc_read_timeout 1s;"},
        )
        async with grpc.aio.insecure_channel(edge.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="flyteadmin"))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            followed = aiter(channel.unary_stream(WATCH_EVENTS, None, WatchEventsResponse.FromString)(b""))
            assert (await anext(followed)).sequence == 1
            for _ in range(2):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await raw(channel, GET_TASK)(b"", timeout=120)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            waited.set()
            assert [response.sequence async for response in followed] == [2]
            stopping = asyncio.ensure_future(server.stop())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            await stopping
    await events.stop(0)


async def test_a_stopping_edge_finishes_its_calls(start_edge: Start) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_method: str, request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        arrived.set()
        await go_on.wait()
        return request

    async with owner(answer) as place:
        edge = start_edge(dict.fromkeys(OWNERS, place))
        async with grpc.aio.insecure_channel(edge.address) as channel:
            call = asyncio.ensure_future(raw(channel, GET_TASK)(b"last", timeout=120))
            await asyncio.wait_for(arrived.wait(), 30)
            edge.ask_to_stop()
            await asyncio.wait_for(asyncio.to_thread(_until_unhealthy, edge), 60)
            go_on.set()
            assert await call == b"last"


def _until_unhealthy(edge: Nginx) -> None:
    while edge.healthy():
        pass


async def test_clients_that_ping_are_not_sent_away(channel: grpc.aio.Channel, edge: Nginx) -> None:
    """flytekit pings for as long as its channel lives (admin-contract T6); the connection stays the same."""
    options = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with grpc.aio.insecure_channel(edge.address, options=options) as pinging:
        await reachable(pinging)
        changed = asyncio.ensure_future(pinging.wait_for_state_change(grpc.ChannelConnectivity.READY))
        for _ in range(200):
            assert await raw(pinging, GET_TASK)(b"x", timeout=30) == b"x"
        assert not changed.done()
        changed.cancel()


def test_the_configuration_names_every_method_and_those_of_grpc_itself() -> None:
    assert methods_in(NGINX.read_text()) == set(OWNER_OF) | {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
