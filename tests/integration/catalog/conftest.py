"""The catalog's methods on a running stack, over a real channel with flyteidl's own stubs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.cacheservice import cacheservice_pb2_grpc
from flyteidl.datacatalog import datacatalog_pb2 as datacatalog
from flyteidl.datacatalog import datacatalog_pb2_grpc

from flightlog_cli.stack_process import StackProcess


@pytest.fixture(scope="module")
def channel(stack: StackProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def catalog(channel: grpc.Channel) -> Any:
    return datacatalog_pb2_grpc.DataCatalogStub(channel)


@pytest.fixture(scope="module")
def cache(channel: grpc.Channel) -> Any:
    return cacheservice_pb2_grpc.CacheServiceStub(channel)


@pytest.fixture
def dataset() -> datacatalog.DatasetID:
    """Names a dataset that does not exist yet."""
    return datacatalog.DatasetID(project="tests", domain="development", name=f"d{uuid4().hex}", version="1")


def refusal(call: Any, request: Any) -> tuple[str, str]:
    """The status with which a call is refused, and its message."""
    with pytest.raises(grpc.RpcError) as raised:
        call(request)
    error: Any = raised.value
    return error.code().name, error.details()
