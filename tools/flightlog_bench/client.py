"""A thin asynchronous client: register, launch, wait for the end as a polling client would."""

from __future__ import annotations

import asyncio
import time

import grpc
import grpc.aio
from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service import admin_pb2_grpc

from flightlog_bench.workflows import DOMAIN, PROJECT, Registration, integer

_Phase = core_execution_pb2.WorkflowExecution
TERMINAL = {_Phase.SUCCEEDED, _Phase.FAILED, _Phase.ABORTED, _Phase.TIMED_OUT}
POLL_SECONDS = 0.004


class RunFailed(Exception):
    """A measured execution did not succeed."""


class Client:
    """Speaks to one endpoint (`host:port`, plaintext)."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.aio.insecure_channel(endpoint, options=[("grpc.max_receive_message_length", 64 << 20)])
        self.stub = admin_pb2_grpc.AdminServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close(None)

    async def register(self, registration: Registration) -> None:
        """Register all three entities; what is already there is fine."""
        for call, request in (
            (self.stub.CreateTask, registration.task),
            (self.stub.CreateWorkflow, registration.workflow),
            (self.stub.CreateLaunchPlan, registration.launch_plan),
        ):
            try:
                await call(request)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                    raise

    async def create(
        self, launch_plan: identifier_pb2.Identifier, inputs: dict[str, int]
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        spec = execution_pb2.ExecutionSpec(launch_plan=launch_plan, metadata=execution_pb2.ExecutionMetadata())
        literals = literals_pb2.LiteralMap(literals={name: integer(value) for name, value in inputs.items()})
        request = execution_pb2.ExecutionCreateRequest(project=PROJECT, domain=DOMAIN, spec=spec, inputs=literals)
        return (await self.stub.CreateExecution(request)).id

    async def finished(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> None:
        """Poll until the execution ends. Raises RunFailed unless it SUCCEEDED."""
        request = execution_pb2.WorkflowExecutionGetRequest(id=execution)
        while True:
            closure = (await self.stub.GetExecution(request)).closure
            if closure.phase in TERMINAL:
                break
            await asyncio.sleep(POLL_SECONDS)
        if closure.phase != _Phase.SUCCEEDED:
            raise RunFailed(f"{execution.name}: {_Phase.Phase.Name(closure.phase)} {closure.error.message}")

    async def run(self, launch_plan: identifier_pb2.Identifier, inputs: dict[str, int]) -> float:
        """Seconds from the create call to the first answer that says SUCCEEDED."""
        started = time.perf_counter()
        await self.finished(await self.create(launch_plan, inputs))
        return time.perf_counter() - started
