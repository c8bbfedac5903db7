"""Speaks to one connector: flyteidl's agent services over gRPC (k8s-contract §5.7)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from flyteidl.admin import agent_pb2
from flyteidl.core import literals_pb2
from flyteidl.service import agent_pb2_grpc
from prometheus_client import Histogram

from services.k8s_launcher.connectors.settings import EndpointSettings, Method

_Answer = TypeVar("_Answer")
_OPTIONS: Final = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A connector that comes back is to be found soon.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),
)
_CLUSTER_SCHEME: Final = "k8s://"
_seconds = Histogram(
    "flightlog_connector_call_seconds",
    "Calls of connectors, by connector, method and gRPC status",
    ["connector", "method", "code"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)


class ConnectorError(Exception):
    """A connector's answer is an error, or did not come in time."""

    def __init__(self, connector: str, method: Method, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{method} of the connector {connector!r}: {code.name}: {details}")
        self.code = code


class Unreachable(ConnectorError):
    """The connector is not there. Whether it had the call nobody knows."""


class Connector:
    """One connector. Close it when it is of no use any more."""

    def __init__(self, name: str, settings: EndpointSettings, *, calls_at_once: int) -> None:
        self.name = name
        self._settings = settings
        self._limit = asyncio.Semaphore(calls_at_once)
        target = _target(settings.endpoint)
        if settings.tls:
            roots = settings.ca_file.read_bytes() if settings.ca_file is not None else None
            credentials = grpc.ssl_channel_credentials(roots)
            self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._tasks: Any = agent_pb2_grpc.AsyncAgentServiceStub(self._channel)
        self._sync: Any = agent_pb2_grpc.SyncAgentServiceStub(self._channel)
        self._metadata: Any = agent_pb2_grpc.AgentMetadataServiceStub(self._channel)

    async def close(self) -> None:
        """Ends its connections."""
        await self._channel.close(None)

    async def is_reachable(self, seconds: float) -> bool:
        """Whether there is a connection, or comes to be one in time: what is sent then, it most likely has."""
        try:
            async with asyncio.timeout(seconds):
                await self._channel.channel_ready()
        except TimeoutError:
            return False
        return True

    async def agents(self) -> list[agent_pb2.Agent]:
        """What runs there. Raises `ConnectorError`."""
        answer = await self._ask("ListAgents", self._metadata.ListAgents, agent_pb2.ListAgentsRequest())
        return list(answer.agents)

    async def create(self, request: agent_pb2.CreateTaskRequest) -> bytes:
        """Begins a task; what it is to be asked for with. Raises `ConnectorError`."""
        answer: agent_pb2.CreateTaskResponse = await self._ask("CreateTask", self._tasks.CreateTask, request)
        return answer.resource_meta

    async def get(self, request: agent_pb2.GetTaskRequest) -> agent_pb2.Resource:
        """How a task goes. Raises `ConnectorError`."""
        answer: agent_pb2.GetTaskResponse = await self._ask("GetTask", self._tasks.GetTask, request)
        return answer.resource

    async def delete(self, request: agent_pb2.DeleteTaskRequest) -> None:
        """Ends a task. Raises `ConnectorError`."""
        await self._ask("DeleteTask", self._tasks.DeleteTask, request)

    async def execute(
        self, header: agent_pb2.CreateRequestHeader, inputs: literals_pb2.LiteralMap
    ) -> agent_pb2.Resource:
        """Runs a task while it is waited for; what came of it. Raises `ConnectorError`."""

        async def call(seconds: float) -> agent_pb2.Resource:
            async def requests() -> AsyncIterator[agent_pb2.ExecuteTaskSyncRequest]:
                yield agent_pb2.ExecuteTaskSyncRequest(header=header)
                yield agent_pb2.ExecuteTaskSyncRequest(inputs=inputs)

            resource: agent_pb2.Resource | None = None
            async for answer in self._sync.ExecuteTaskSync(requests(), timeout=seconds):
                if answer.WhichOneof("res") == "header":
                    resource = answer.header.resource
                elif resource is not None:
                    resource.outputs.MergeFrom(answer.outputs)
            if resource is None:
                raise ConnectorError(self.name, "ExecuteTaskSync", grpc.StatusCode.UNKNOWN, "it answered nothing")
            return resource

        return await self._timed("ExecuteTaskSync", call)

    async def _ask(self, method: Method, call: Callable[..., Awaitable[Any]], request: object) -> Any:
        async def ask(seconds: float) -> Any:
            return await call(request, timeout=seconds)

        return await self._timed(method, ask)

    async def _timed(self, method: Method, call: Callable[[float], Awaitable[_Answer]]) -> _Answer:
        async with self._limit:
            began, code = time.monotonic(), grpc.StatusCode.OK
            try:
                return await call(self._settings.timeout(method))
            except grpc.aio.AioRpcError as error:
                code = error.code()
                kind = Unreachable if code is grpc.StatusCode.UNAVAILABLE else ConnectorError
                raise kind(self.name, method, code, error.details() or "") from None
            finally:
                _seconds.labels(self.name, method, code.name).observe(time.monotonic() - began)


def _target(endpoint: str) -> str:
    """A gRPC target. Flyte's charts write `k8s://service.namespace:port`: the name's addresses are looked up here."""
    return endpoint.removeprefix(_CLUSTER_SCHEME)
