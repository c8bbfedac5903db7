"""A registry in this process, on the test servers, and a real channel to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc.aio
import pytest
import pytest_asyncio

from flightlog_rpc import METHODS, RpcSettings
from flyteidl.admin import project_pb2

if TYPE_CHECKING:
    from flightlog_blobs import BlobSettings
    from flightlog_log import LogSettings
    from flightlog_read import DatabaseSettings

Call = Callable[..., Awaitable[Any]]
PREFIXES = ("/flyteidl.service.AdminService/", "/flyteidl.service.DataProxyService/")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def registry_port(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> AsyncIterator[int]:
    """The gRPC port of a registry that runs for the whole session."""
    from services.registry.main import run
    from services.registry.settings import Settings

    settings = Settings(
        log=log_settings, blobs=blob_settings, database=database_settings, rpc=RpcSettings(port=0), ready_file=None
    )
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        service = group.create_task(run(settings, ready=ready.set_result))
        yield await asyncio.wait_for(ready, 60)
        service.cancel()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def channel(registry_port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the registry."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{registry_port}") as channel:
        yield channel


@pytest.fixture(scope="session")
def call(channel: grpc.aio.Channel) -> Call:
    """`await call("GetTask", request)`: the response, or grpc.aio.AioRpcError."""

    async def invoke(name: str, request: Any) -> Any:
        full = next(prefix + name for prefix in PREFIXES if prefix + name in METHODS)
        method = METHODS[full]
        stub = channel.unary_unary(
            full,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=method.response.FromString,
        )
        return await stub(request, timeout=30)

    return invoke


@pytest_asyncio.fixture(loop_scope="session")
async def project(call: Call) -> str:
    """A project of this test alone."""
    identifier = f"p{uuid4().hex[:12]}"
    await call(
        "RegisterProject",
        project_pb2.ProjectRegisterRequest(project=project_pb2.Project(id=identifier, name=identifier)),
    )
    return identifier
