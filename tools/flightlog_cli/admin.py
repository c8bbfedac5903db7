"""The public gRPC port, for commands that ask the services to do something."""

import getpass
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from flightlog_cli.embedded.child import StackError
from flightlog_cli.embedded.stack import Endpoints
from flightlog_rpc import METHODS

ENDPOINT_VARIABLE = "FLIGHTLOG_ENDPOINT"
"""`host:port` of a deployment's public port; without it, that of the stack on the data folder."""


@asynccontextmanager
async def open_admin(folder: Path) -> AsyncGenerator[AdminServiceStub]:
    """The admin service's methods, without TLS. Calls that fail raise `StackError` with what the service said."""
    async with _channel(folder) as channel:
        yield AdminServiceStub(channel)


@asynccontextmanager
async def open_service(folder: Path, service: str) -> AsyncGenerator["ServiceCalls"]:
    """Another service by its full name, `flightlog.catalog.v1.CatalogService`, likewise."""
    async with _channel(folder) as channel:
        yield ServiceCalls(channel, service)


@asynccontextmanager
async def _channel(folder: Path) -> AsyncGenerator[grpc.aio.Channel]:
    endpoint = os.environ.get(ENDPOINT_VARIABLE) or Endpoints.read(folder).grpc
    # The services say how much they answer at once.
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", _user_agent()),
        ("grpc.max_receive_message_length", -1),
    ]
    async with grpc.aio.insecure_channel(endpoint, options=options) as channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise StackError(f"{error.code().name}: {error.details()}") from None


def _user_agent() -> str:
    """Says who calls, as far as anybody can say without authentication: events are kept with it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    name = "".join(letter for letter in user if letter.isascii() and letter.isprintable())
    return f"flightlog-cli/{version('flightlog')}{f' ({name})' if name else ''}"


class ServiceCalls:
    """The methods of one gRPC service as coroutines: `await calls.ListCached(request)`.

    Those that answer with a stream are iterated over: `async for response in calls.WatchEvents(request)`.
    """

    def __init__(self, channel: grpc.aio.Channel, service: str) -> None:
        for method in METHODS.values():
            if method.service == service:
                kind = channel.unary_stream if method.server_streaming else channel.unary_unary
                call = kind(
                    method.full_name,
                    request_serializer=method.request.SerializeToString,
                    response_deserializer=method.response.FromString,
                )
                setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(f"the service has no method {name}")
