"""A connector that the tests play themselves: what it is asked they see, and what it answers they say."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from flyteidl.admin import agent_pb2
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service import agent_pb2_grpc

META = b'{"job": 1}'


class PlayedConnector(
    agent_pb2_grpc.AsyncAgentServiceServicer,
    agent_pb2_grpc.SyncAgentServiceServicer,
    agent_pb2_grpc.AgentMetadataServiceServicer,
):
    """Answers `resource` to whoever looks at a task: that it runs, at first."""

    def __init__(self) -> None:
        self.resource = agent_pb2.Resource(phase=TaskExecution.RUNNING)
        self.agents: list[agent_pb2.Agent] = []
        self.created: list[agent_pb2.CreateTaskRequest] = []
        self.deleted: list[agent_pb2.DeleteTaskRequest] = []
        self.executed: list[agent_pb2.ExecuteTaskSyncRequest] = []
        self.looks = 0
        self.refusals: Counter[str] = Counter()
        """How many calls more are refused, by method."""
        self.answers = asyncio.Event()
        """Calls that begin tasks are not answered before."""
        self.answers.set()

    async def ListAgents(self, request: Any, context: Any) -> agent_pb2.ListAgentsResponse:
        return agent_pb2.ListAgentsResponse(agents=self.agents)

    async def CreateTask(self, request: agent_pb2.CreateTaskRequest, context: Any) -> agent_pb2.CreateTaskResponse:
        self.created.append(request)
        await self.answers.wait()
        return agent_pb2.CreateTaskResponse(resource_meta=META)

    async def GetTask(self, request: agent_pb2.GetTaskRequest, context: Any) -> agent_pb2.GetTaskResponse:
        assert request.resource_meta == META
        self.looks += 1
        await self._perhaps_refuse("GetTask", context)
        return agent_pb2.GetTaskResponse(resource=self.resource)

    async def DeleteTask(self, request: agent_pb2.DeleteTaskRequest, context: Any) -> agent_pb2.DeleteTaskResponse:
        self.deleted.append(request)
        await self._perhaps_refuse("DeleteTask", context)
        return agent_pb2.DeleteTaskResponse()

    async def ExecuteTaskSync(
        self, request_iterator: AsyncIterator[agent_pb2.ExecuteTaskSyncRequest], context: Any
    ) -> AsyncIterator[agent_pb2.ExecuteTaskSyncResponse]:
        async for request in request_iterator:
            self.executed.append(request)
        await self.answers.wait()
        header = agent_pb2.ExecuteTaskSyncResponseHeader(resource=self.resource)
        yield agent_pb2.ExecuteTaskSyncResponse(header=header)

    async def _perhaps_refuse(self, method: str, context: Any) -> None:
        if self.refusals[method] > 0:
            self.refusals[method] -= 1
            await context.abort(grpc.StatusCode.INTERNAL, "not now")


@asynccontextmanager
async def played(port: int) -> AsyncIterator[PlayedConnector]:
    """A connector that serves beside the block."""
    connector, server = PlayedConnector(), grpc.aio.server()
    agent_pb2_grpc.add_AsyncAgentServiceServicer_to_server(connector, server)
    agent_pb2_grpc.add_SyncAgentServiceServicer_to_server(connector, server)
    agent_pb2_grpc.add_AgentMetadataServiceServicer_to_server(connector, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield connector
    finally:
        await server.stop(None)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
