"""Passes calls, as bytes, to the service that owns the method.

Metadata and deadline go along, messages and trailers (with the typed details) come back as the owner sent them;
nothing is parsed on the way. Only the transport's own failures are rewritten: an owner that is down is UNAVAILABLE
with its name, never UNKNOWN.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import grpc
import grpc.aio

from flightlog_rpc.context import FORWARDED_FOR, FORWARDED_USER_AGENT, TRACEPARENT, peer_address
from flightlog_rpc.errors import RpcError, internal, unavailable
from flightlog_telemetry import current_traceparent

OWNER_TRAILER = "flightlog-service"
"""Set on every refusal of a service, so that a status the owner chose can be told from one the transport made up."""

Metadata = Sequence[tuple[str, str | bytes]]
BytesHandler = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
StreamHandler = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[None]]
"""Writes its answers to the call's context. It waits there for a client that reads slowly, so no answers heap up."""

# The channel writes these itself, or they belong to one hop only.
_HOP_KEYS = frozenset(
    {"user-agent", "te", "content-type", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "host"}
)
_TRANSPORT_FAULTS = frozenset(
    {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
)


class Forwarding:
    """One channel to another service."""

    def __init__(self, owner: str, target: str, *, max_message_bytes: int, connect_seconds: float) -> None:
        self.owner = owner
        self.target = target
        self._connect_seconds = connect_seconds
        self._channel = grpc.aio.insecure_channel(
            target,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                ("grpc.max_metadata_size", 64 * 1024),
                ("grpc.absolute_max_metadata_size", 128 * 1024),
                # An owner that restarts is back within a second; do not let the back-off outlast it.
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 500),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.max_pings_without_data", 0),
                # The same address is used by every server of one process tree: no shared sub-channels, no proxies.
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
            ],
        )

    async def close(self) -> None:
        """Ends the channel; calls in flight are cancelled."""
        await self._channel.close(None)

    def handler(self, method: str) -> BytesHandler:
        """A handler of raw bytes that asks the owner."""
        call_owner = self._channel.unary_unary(method, request_serializer=None, response_deserializer=None)

        async def forward(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            await self._connected(context.time_remaining())
            call = call_owner(request, timeout=context.time_remaining(), metadata=_of_caller(context))
            try:
                response: bytes = await call
            except grpc.aio.AioRpcError as error:
                raise self._refusal(error) from error
            await _pass_initial(call, context)
            await _pass_trailing(call, context)
            return response

        return forward

    def stream_handler(self, method: str) -> StreamHandler:
        """The same for a method that answers with a stream. The owner is read no faster than the client reads."""
        call_owner = self._channel.unary_stream(method, request_serializer=None, response_deserializer=None)

        async def forward(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
            await self._connected(context.time_remaining())
            call = call_owner(request, timeout=context.time_remaining(), metadata=_of_caller(context))
            begun = False
            try:
                async for message in call:
                    if not begun:
                        await _pass_initial(call, context)
                        begun = True
                    await context.write(message)
            except grpc.aio.AioRpcError as error:
                raise self._refusal(error) from error
            finally:
                # The client is gone, or we stop: the owner must not go on for nobody.
                call.cancel()
            if not begun:
                await _pass_initial(call, context)
            await _pass_trailing(call, context)

        return forward

    async def _connected(self, remaining: float | None) -> None:
        """Waits for an owner that is just (re)starting, so that its restart is a pause and not an error.

        Raises:
            RpcError: UNAVAILABLE when the owner does not come within the limit.
        """
        if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return
        limit = self._connect_seconds if remaining is None else min(self._connect_seconds, remaining)
        try:
            await asyncio.wait_for(self._channel.channel_ready(), limit)
        except TimeoutError:
            raise unavailable(f"the {self.owner} service is not reachable at {self.target}") from None

    def _refusal(self, error: grpc.aio.AioRpcError) -> RpcError:
        trailers = cast("Metadata", tuple(error.trailing_metadata() or ()))
        code = error.code()
        text = error.details() or ""
        if any(key == OWNER_TRAILER for key, _ in trailers):
            return ForwardedRefusal(code, text, trailers)
        if code in _TRANSPORT_FAULTS:
            return unavailable(f"the {self.owner} service at {self.target} broke off: {text}")
        if code is grpc.StatusCode.OK:
            return internal(f"the {self.owner} service failed without a status")
        return ForwardedRefusal(code, text, trailers)


class ForwardedRefusal(RpcError):
    """The owner's refusal with its trailers, sent on unchanged."""

    def __init__(self, code: grpc.StatusCode, message: str, trailers: Metadata) -> None:
        super().__init__(code, message)
        self.trailers = trailers


async def _pass_initial(call: grpc.aio.Call, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    initial = cast("Metadata", tuple(await call.initial_metadata()))
    if initial:
        await context.send_initial_metadata(initial)


async def _pass_trailing(call: grpc.aio.Call, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    trailing = cast("Metadata", tuple(await call.trailing_metadata()))
    if trailing:
        context.set_trailing_metadata(trailing)


def _of_caller(context: "grpc.aio.ServicerContext[bytes, bytes]") -> list[tuple[str, str | bytes]]:
    return _onward(cast("Metadata", context.invocation_metadata() or ()), context.peer(), current_traceparent())


def _onward(metadata: Metadata, peer: str, traceparent: str) -> list[tuple[str, str | bytes]]:
    """The metadata for the owner: what the client sent, whence, and our span as the parent if there is one."""
    onward: list[tuple[str, str | bytes]] = [(TRACEPARENT, traceparent)] if traceparent else []
    through = ""
    agent: str | bytes = ""
    forwarded_agent: str | bytes = ""
    for key, value in metadata:
        if key == "user-agent":
            agent = value
        elif key == FORWARDED_USER_AGENT:
            forwarded_agent = value
        elif key == FORWARDED_FOR:
            through = f"{value if isinstance(value, str) else value.decode('ascii', 'replace')}, "
        elif key == TRACEPARENT and traceparent:
            continue
        elif key not in _HOP_KEYS and not key.startswith(":"):
            onward.append((key, value))
    onward.append((FORWARDED_FOR, through + peer_address(peer)))
    if forwarded_agent or agent:
        onward.append((FORWARDED_USER_AGENT, forwarded_agent or agent))
    return onward
