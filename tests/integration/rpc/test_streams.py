"""Calls that are answered by a stream: directly, and through the public port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from prometheus_client import REGISTRY

from flightlog_protos.history.v1.events_pb2 import WatchEventsRequest, WatchEventsResponse
from flightlog_rpc import METHODS, CallContext, RpcServer, RpcSettings, failed_precondition, invalid

WATCH = "/flightlog.history.v1.HistoryService/WatchEvents"
LIST = "/flightlog.history.v1.HistoryService/ListEvents"

Watch = Callable[[Any, CallContext], AsyncIterator[WatchEventsResponse]]


class Place:
    """A server of the history service, and a channel to it: directly or by the public port."""

    def __init__(self, owner: RpcServer, channel: grpc.aio.Channel) -> None:
        self.owner = owner
        self.channel = channel

    def watch(self, **fields: Any) -> grpc.aio.UnaryStreamCall[WatchEventsRequest, WatchEventsResponse]:
        method = METHODS[WATCH]
        call = self.channel.unary_stream(WATCH, method.request.SerializeToString, method.response.FromString)
        metadata = fields.pop("metadata", None)
        return call(WatchEventsRequest(**fields), metadata=metadata, timeout=fields.pop("timeout", None))


@asynccontextmanager
async def serving(method: Watch, way: str, **options: Any) -> AsyncGenerator[Place]:
    owner = RpcServer(RpcSettings(port=0, **options), "history", {WATCH: method})
    port = await owner.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(owner.stop, 0)
        if way == "forwarded":
            front = RpcServer(RpcSettings(port=0, forward={"history": f"127.0.0.1:{port}"}), "execution", {})
            port = await front.start()
            stack.push_async_callback(front.stop, 0)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Place(owner, channel)


async def sequences(call: grpc.aio.UnaryStreamCall[Any, WatchEventsResponse]) -> list[int]:
    return [response.sequence async for response in call]


async def failure(call: grpc.aio.UnaryStreamCall[Any, Any], got: list[int] | None = None) -> grpc.aio.AioRpcError:
    async def read() -> None:
        async for response in call:
            if got is not None:
                got.append(response.sequence)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read()
    return caught.value


both_ways = pytest.mark.parametrize("way", ["direct", "forwarded"])


@both_ways
async def test_all_messages_arrive_in_order_and_the_call_ends_well(way: str) -> None:
    seen: list[CallContext] = []

    async def count(request: WatchEventsRequest, call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        seen.append(call)
        for number in range(request.after):
            yield WatchEventsResponse(sequence=number)

    async with serving(count, way) as place:
        call = place.watch(after=500, metadata=(("some-key", "value"),))
        assert await sequences(call) == list(range(500))
        assert await call.code() is grpc.StatusCode.OK
        assert await sequences(place.watch(after=0)) == []
    assert seen[0].value("some-key") == "value"
    assert len(seen[0].peer.split(", ")) == (2 if way == "forwarded" else 1)


@both_ways
async def test_a_refusal_keeps_its_status_before_and_after_messages(way: str) -> None:
    async def refuse(request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        for number in range(request.after):
            yield WatchEventsResponse(sequence=number)
        raise failed_precondition("no further", WatchEventsResponse(sequence=7))

    async with serving(refuse, way) as place:
        for count in (0, 3):
            got: list[int] = []
            error = await failure(place.watch(after=count), got)
            assert (got, error.code(), error.details()) == (
                list(range(count)),
                grpc.StatusCode.FAILED_PRECONDITION,
                "no further",
            )
            trailers = dict(cast("Sequence[tuple[str, Any]]", error.trailing_metadata() or ()))
            assert trailers["flightlog-service"] == "history"
            assert b"WatchEventsResponse" in trailers["grpc-status-details-bin"]


@both_ways
async def test_what_nobody_planned_is_internal_and_tells_no_secret(way: str) -> None:
    async def fail(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        yield WatchEventsResponse(sequence=1)
        raise RuntimeError("password=hunter2")

    async with serving(fail, way) as place:
        error = await failure(place.watch())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in (error.details() or "")


@both_ways
async def test_bytes_that_are_no_request_are_invalid(way: str) -> None:
    async def never(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        raise AssertionError("must not be called")
        yield WatchEventsResponse()

    async with serving(never, way) as place:
        call = place.channel.unary_stream(WATCH, None, None)(b"\xff")
        assert (await failure(call)).code() is grpc.StatusCode.INVALID_ARGUMENT


@both_ways
async def test_a_client_that_goes_ends_the_implementation(way: str) -> None:
    left = asyncio.Event()

    async def watch(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        try:
            yield WatchEventsResponse(sequence=1)
            await asyncio.Event().wait()
        finally:
            left.set()

    async with serving(watch, way) as place:
        call = place.watch()
        assert (await anext(aiter(call))).sequence == 1
        call.cancel()
        await asyncio.wait_for(left.wait(), 20)


@both_ways
async def test_a_client_that_goes_while_it_reads_nothing_ends_the_implementation(way: str) -> None:
    left = asyncio.Event()

    async def watch(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        try:
            while True:
                yield WatchEventsResponse(event={"subject": "x" * 100_000})  # pyright: ignore[reportArgumentType]
        finally:
            left.set()

    async with serving(watch, way) as place:
        call = place.watch()
        await anext(aiter(call))
        call.cancel()
        await asyncio.wait_for(left.wait(), 20)


@both_ways
async def test_a_client_that_reads_nothing_is_waited_for(way: str) -> None:
    """What is made for it stays within what lies in the buffers of its connections, however much there is to tell."""
    made = 0

    async def watch(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        nonlocal made
        while made < 2_000:
            made += 1
            yield WatchEventsResponse(event={"subject": "x" * 100_000})  # pyright: ignore[reportArgumentType]

    async with serving(watch, way) as place:
        messages = aiter(place.watch())
        await anext(messages)
        still = -1
        while still != made:  # until nothing more is made for as long as forty other calls take
            still = made
            for _ in range(40):
                await _other_call(place)
        assert made < 300
        count = 1
        async for _ in messages:
            count += 1
        assert count == 2_000


async def _other_call(place: Place) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await place.channel.unary_unary(LIST, None, None)(b"", timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@both_ways
async def test_a_stream_without_end_does_not_hold_up_a_server_that_stops(way: str) -> None:
    async def watch(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        yield WatchEventsResponse(sequence=1)
        await asyncio.Event().wait()

    async with serving(watch, way) as place:
        messages = aiter(call := place.watch())
        await anext(messages)
        stopping = asyncio.ensure_future(place.owner.stop(0.2))
        error = await failure(call)
        await asyncio.wait_for(stopping, 20)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "stopping" in (error.details() or "")


async def test_a_stream_that_ends_in_time_is_finished_by_a_server_that_stops() -> None:
    go_on = asyncio.Event()

    async def watch(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        yield WatchEventsResponse(sequence=1)
        await go_on.wait()
        yield WatchEventsResponse(sequence=2)

    async with serving(watch, "direct") as place:
        messages = aiter(place.watch())
        await anext(messages)
        stopping = asyncio.ensure_future(place.owner.stop(60))
        await _until_it_stops(place)
        go_on.set()
        assert [message.sequence async for message in messages] == [2]
        await asyncio.wait_for(stopping, 20)


async def _until_it_stops(place: Place) -> None:
    """A server that stops takes no calls."""
    while True:
        try:
            await place.channel.unary_unary(LIST, None, None)(b"", timeout=20)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                return


async def test_a_message_above_the_limit_ends_the_stream() -> None:
    async def watch(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        yield WatchEventsResponse(sequence=1)
        yield WatchEventsResponse(event={"subject": "x" * 2_000})  # pyright: ignore[reportArgumentType]

    async with serving(watch, "direct", max_message_bytes=1_000) as place:
        got: list[int] = []
        error = await failure(place.watch(), got)
    assert (got, error.code()) == ([1], grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_streams_and_their_messages_are_counted() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def watch(_request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        yield WatchEventsResponse(sequence=1)
        entered.set()
        await go_on.wait()
        raise invalid("enough")

    def value(name: str, **labels: str) -> float:
        found = REGISTRY.get_sample_value(name, {"method": "HistoryService/WatchEvents", **labels})
        return found or 0.0

    sent = value("flightlog_rpc_stream_messages_total")
    refused = value("flightlog_rpc_requests_total", code="INVALID_ARGUMENT")
    async with serving(watch, "direct") as place:
        call = asyncio.ensure_future(failure(place.watch()))
        await asyncio.wait_for(entered.wait(), 20)
        assert value("flightlog_rpc_streams") == 1
        go_on.set()
        await call
    assert value("flightlog_rpc_streams") == 0
    assert value("flightlog_rpc_stream_messages_total") == sent + 1
    assert value("flightlog_rpc_requests_total", code="INVALID_ARGUMENT") == refused + 1


def test_the_kind_of_an_implementation_is_checked_at_start_up() -> None:
    async def one(_request: Any, _call: CallContext) -> WatchEventsResponse:
        return WatchEventsResponse()

    async def many(_request: Any, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        yield WatchEventsResponse()

    with pytest.raises(ValueError, match="answers with a stream"):
        RpcServer(RpcSettings(port=0), "history", {WATCH: one})
    with pytest.raises(ValueError, match="answers with one message"):
        RpcServer(RpcSettings(port=0), "history", {LIST: many})
