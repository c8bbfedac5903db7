"""A connector that the tests play themselves: what it is asked they see, and what it answers they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from flyteidl.admin import agent_pb2
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service import agent_pb2_grpc

META = b'{"job": 1}'


class PlayedConnector(agent_pb2_grpc.AsyncAgentServiceServicer, agent_pb2_grpc.AgentMetadataServiceServicer):
    """Runs whatever it is asked to, until `phase` is another."""

    def __init__(self) -> None:
        self.phase: Any = TaskExecution.RUNNING
        self.created: list[agent_pb2.CreateTaskRequest] = []
        self.deleted: list[agent_pb2.DeleteTaskRequest] = []

    async def ListAgents(self, request: Any, context: Any) -> agent_pb2.ListAgentsResponse:
        return agent_pb2.ListAgentsResponse()

    async def CreateTask(self, request: agent_pb2.CreateTaskRequest, context: Any) -> agent_pb2.CreateTaskResponse:
        self.created.append(request)
        return agent_pb2.CreateTaskResponse(resource_meta=META)

    async def GetTask(self, request: agent_pb2.GetTaskRequest, context: Any) -> agent_pb2.GetTaskResponse:
        assert request.resource_meta == META
        return agent_pb2.GetTaskResponse(resource=agent_pb2.Resource(phase=self.phase))

    async def DeleteTask(self, request: agent_pb2.DeleteTaskRequest, context: Any) -> agent_pb2.DeleteTaskResponse:
        self.deleted.append(request)
        return agent_pb2.DeleteTaskResponse()


@asynccontextmanager
async def played(port: int) -> AsyncIterator[PlayedConnector]:
    """A connector that serves beside the block."""
    connector, server = PlayedConnector(), grpc.aio.server()
    agent_pb2_grpc.add_AsyncAgentServiceServicer_to_server(connector, server)
    agent_pb2_grpc.add_AgentMetadataServiceServicer_to_server(connector, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield connector
    finally:
        await server.stop(None)
