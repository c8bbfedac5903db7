"""The public gRPC port, for commands that ask the services to do something."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from flightlog_cli.embedded.child import StackError
from flightlog_cli.embedded.stack import Endpoints

ENDPOINT_VARIABLE = "FLIGHTLOG_ENDPOINT"
"""`host:port` of a deployment's public port; without it, that of the stack on the data folder."""


@asynccontextmanager
async def open_admin(folder: Path) -> AsyncGenerator[AdminServiceStub]:
    """The admin service's methods, without TLS. Calls that fail raise `StackError` with what the service said."""
    endpoint = os.environ.get(ENDPOINT_VARIABLE) or Endpoints.read(folder).grpc
    async with grpc.aio.insecure_channel(endpoint) as channel:
        try:
            yield AdminServiceStub(channel)
        except grpc.aio.AioRpcError as error:
            raise StackError(f"{error.code().name}: {error.details()}") from None
