"""A service's gRPC port: the methods it owns, the methods of others passed on, health and reflection."""

import asyncio
import inspect
from collections.abc import Mapping
from typing import cast

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health_aio  # pyright: ignore[reportAttributeAccessIssue] - its stubs lack it
from grpc_reflection.v1alpha import reflection

from flightlog_log import Log
from flightlog_rpc.answering import Implementation, guarded, implemented, refusing
from flightlog_rpc.auditing import Refusals
from flightlog_rpc.errors import unimplemented
from flightlog_rpc.forwarding import BytesHandler, Forwarding, StreamHandler
from flightlog_rpc.methods import METHODS
from flightlog_rpc.routing import OWNERS, sentence
from flightlog_rpc.settings import RpcSettings
from flightlog_rpc.streaming import StreamImplementation, Streams, implemented_stream

logger = structlog.get_logger(__name__)

HEALTH_NAMES = ("", "flyteadmin")
"""Health names that probes of a Flyte backend ask for (admin-contract T11)."""


class RpcServer:
    """Serves every method of the Flyte surface on one port.

    A method is answered by the implementation given for it, else passed to its owner if `settings.forward` says where
    that is, else UNIMPLEMENTED with a sentence.

    Args:
        settings: where to listen, and where the other services are.
        service: the name of this service in `OWNERS`.
        methods: full method name -> async function of request and `CallContext`; of a method that answers with a
        stream, an async generator function of these.
        audit: the log that refused calls are put on; without one they are not.

    Raises:
        ValueError: a method that does not exist, belongs to another service or is implemented by the wrong kind of
        function, or a service without methods to forward to.
    """

    def __init__(
        self,
        settings: RpcSettings,
        service: str,
        methods: Mapping[str, Implementation | StreamImplementation],
        *,
        audit: Log | None = None,
    ) -> None:
        for method, implementation in methods.items():
            if OWNERS.get(method) != service:
                raise ValueError(f"{method} belongs to {OWNERS.get(method, 'no service')}, not to {service}")
            if inspect.isasyncgenfunction(implementation) is not METHODS[method].server_streaming:
                answer = "a stream" if METHODS[method].server_streaming else "one message"
                raise ValueError(f"{method} answers with {answer}, its implementation does not")
        unknown = settings.forward.keys() - set(OWNERS.values())
        if unknown:
            raise ValueError(f"no method belongs to {', '.join(sorted(unknown))}: cannot forward to it")
        self._settings = settings
        self._service = service
        self._methods = methods
        self._forwardings: list[Forwarding] = []
        self._server: grpc.aio.Server | None = None
        self._health = health_aio.HealthServicer()
        self._streams = Streams()
        self._refusals = Refusals(audit) if audit is not None else None

    async def start(self) -> int:
        """Binds and serves. Returns the port, which the system chose if the settings say 0.

        Raises:
            OSError: the port cannot be bound.
        """
        settings = self._settings
        server = grpc.aio.server(options=_server_options(settings.max_message_bytes))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = sorted({method.service for method in METHODS.values()})
        reflection.enable_server_reflection([*names, HEALTH, reflection.SERVICE_NAME], server)
        self._streams = Streams()
        server.add_generic_rpc_handlers((_Surface(self._handlers()),))
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            port = server.add_insecure_port(f"{address}:{settings.port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}:{settings.port}: {error}") from error
        if self._refusals is not None:
            self._refusals.start()
        await server.start()
        self._server = server
        for name in (*HEALTH_NAMES, *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        logger.info("rpc.serving", service=self._service, host=settings.host, port=port, methods=len(self._methods))
        return port

    async def stop(self, grace: float = 2.0) -> None:
        """Stops: health says so at once, calls in flight get `grace` seconds, then they end with CANCELLED.

        Streams get half of it, then they end with UNAVAILABLE: one that goes on for ever is not waited for, and its
        client is told that it is to go on elsewhere.
        """
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            ending = asyncio.get_running_loop().call_later(grace / 2, self._streams.end)
            await self._server.stop(grace)
            ending.cancel()
            self._server = None
        if self._refusals is not None:
            await self._refusals.close(grace)
        for forwarding in self._forwardings:
            await forwarding.close()
        self._forwardings.clear()

    def _handlers(self) -> dict[str, BytesHandler | StreamHandler]:
        """A handler for every method of the surface."""
        owners: dict[str, Forwarding] = {}
        for owner, target in self._settings.forward.items():
            if owner != self._service:
                owners[owner] = Forwarding(
                    owner,
                    target,
                    max_message_bytes=self._settings.max_message_bytes,
                    connect_seconds=self._settings.forward_connect_seconds,
                )
        self._forwardings = list(owners.values())
        return {
            name: self._streams.guarded(name, self._stream_handler(name, owners), self._service)
            if method.server_streaming
            else guarded(name, self._handler(name, owners), self._service, self._refusals)
            for name, method in METHODS.items()
        }

    def _handler(self, name: str, owners: Mapping[str, Forwarding]) -> BytesHandler:
        implementation = self._methods.get(name)
        if implementation is not None:
            return implemented(METHODS[name], cast("Implementation", implementation), self._settings.max_message_bytes)
        forwarding = owners.get(OWNERS[name])
        if forwarding is not None:
            return forwarding.handler(name)
        return refusing(lambda: unimplemented(sentence(name)))

    def _stream_handler(self, name: str, owners: Mapping[str, Forwarding]) -> StreamHandler:
        implementation = self._methods.get(name)
        if implementation is not None:
            return implemented_stream(
                METHODS[name], cast("StreamImplementation", implementation), self._settings.max_message_bytes
            )
        forwarding = owners.get(OWNERS[name])
        if forwarding is not None:
            return forwarding.stream_handler(name)
        return refusing(lambda: unimplemented(sentence(name)))


class _Surface(grpc.GenericRpcHandler):
    """Finds the handler of a call by its path. The handlers take and give bytes."""

    def __init__(self, handlers: Mapping[str, BytesHandler | StreamHandler]) -> None:
        self._handlers = {
            name: grpc.unary_stream_rpc_method_handler(handler)
            if METHODS[name].server_streaming
            else grpc.unary_unary_rpc_method_handler(handler)
            for name, handler in handlers.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        # None for an unknown path: gRPC answers UNIMPLEMENTED by itself, as newer reflection clients expect of `v1`.
        return self._handlers.get(handler_call_details.method)


def _server_options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", 64 * 1024),
        ("grpc.absolute_max_metadata_size", 128 * 1024),
        # flytekit pings every 30 s for as long as a channel lives, calls or not: never a strike (admin-contract T6).
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        # Two servers on one port would share its calls; the second shall fail instead.
        ("grpc.so_reuseport", 0),
    ]
