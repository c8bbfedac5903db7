"""An execution is deleted on a running stack: what was all over the place is nowhere, and others go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service import admin_pb2_grpc

from flightlog_cli.access import Access, open_log
from flightlog_cli.admin import ServiceCalls
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Log, Subject
from flightlog_protos.catalog.v1.catalog_service_pb2 import ExplainNodeRequest, NodeOrElement
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from flightlog_protos.history.v1.deletion_pb2 import DeleteExecutionRequest
from flightlog_protos.history.v1.differences_pb2 import DiffExecutionsRequest
from flightlog_protos.history.v1.explanation_pb2 import ExplainWaitingRequest
from flightlog_protos.history.v1.export_pb2 import ExportHistoryRequest
from flightlog_protos.history.v1.state_pb2 import GetStateAtRequest
from services.execution import subjects
from tests.integration.history.searching import Places

PROJECT, DOMAIN = "flytesnacks", "development"
ENDED = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED)
POLL_SECONDS = 0.05


def identifier(name: str) -> identifier_pb2.WorkflowExecutionIdentifier:
    return identifier_pb2.WorkflowExecutionIdentifier(project=PROJECT, domain=DOMAIN, name=name)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a fact."""
    async with asyncio.timeout(120):
        while not await holds():  # noqa: ASYNC110  # a fact of other processes
            await asyncio.sleep(POLL_SECONDS)


@dataclass
class Runs:
    """Starts executions, and reads what is left of them."""

    stack: StackProcess
    admin: Any
    history: ServiceCalls
    catalog: ServiceCalls
    log: Log

    def request(self, name: str, launch_plan: str, inputs: dict[str, str], note: str) -> Any:
        """Of an execution with a note, which tells people by e-mail."""
        mail = common_pb2.EmailNotification(recipients_email=[f"{note}@corp.example"])
        spec = execution_pb2.ExecutionSpec(
            launch_plan=identifier_pb2.Identifier(
                resource_type=identifier_pb2.LAUNCH_PLAN,
                project=PROJECT,
                domain=DOMAIN,
                name=launch_plan,
                version="remote-1",
            ),
            metadata=execution_pb2.ExecutionMetadata(),
            annotations=common_pb2.Annotations(values={"note": note}),
            notifications=execution_pb2.NotificationList(
                notifications=[common_pb2.Notification(phases=[WorkflowExecution.SUCCEEDED], email=mail)]
            ),
        )
        literals = literals_pb2.LiteralMap()
        for key, value in inputs.items():
            literals.literals[key].scalar.primitive.string_value = value
        return execution_pb2.ExecutionCreateRequest(
            project=PROJECT, domain=DOMAIN, name=name, spec=spec, inputs=literals
        )

    async def get(self, name: str) -> execution_pb2.Execution:
        return await self.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier(name)))

    async def run(self, name: str, text: str) -> str:
        """Runs `deleting` until it has succeeded."""
        await self.admin.CreateExecution(self.request(name, "deleting.deleting", {"text": text}, text))

        async def ended() -> bool:
            return (await self.get(name)).closure.phase in ENDED

        await until(ended)
        closure = (await self.get(name)).closure
        assert closure.phase == WorkflowExecution.SUCCEEDED, closure.error
        return name

    async def cache_status(self, name: str) -> str:
        node = identifier_pb2.NodeExecutionIdentifier(execution_id=identifier(name), node_id="n0")
        found = await self.admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=node))
        return CatalogCacheStatus.Name(found.closure.task_node_metadata.cache_status)

    async def answers_about(self, name: str) -> dict[str, grpc.StatusCode]:
        """What calls that need an execution answer."""
        one = identifier(name)
        node = identifier_pb2.NodeExecutionIdentifier(execution_id=one, node_id="n0")
        calls = {
            "GetExecution": self.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=one)),
            "GetExecutionData": self.admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=one)),
            "GetNodeExecution": self.admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=node)),
            "UpdateExecution": self.admin.UpdateExecution(execution_pb2.ExecutionUpdateRequest(id=one)),
            "TerminateExecution": self.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=one)),
            "RelaunchExecution": self.admin.RelaunchExecution(execution_pb2.ExecutionRelaunchRequest(id=one)),
            "RecoverExecution": self.admin.RecoverExecution(execution_pb2.ExecutionRecoverRequest(id=one)),
            "GetStateAt": self.history.GetStateAt(GetStateAtRequest(id=one)),
            "DiffExecutions": self.history.DiffExecutions(DiffExecutionsRequest(before=one, after=one)),
            "ExplainWaiting": self.history.ExplainWaiting(ExplainWaitingRequest(id=one)),
            "ExportHistory": first_of(self.history.ExportHistory(ExportHistoryRequest(id=one))),
            "ExplainNode": self.catalog.ExplainNode(ExplainNodeRequest(node=NodeOrElement(node=node))),
        }
        return {method: await status(call) for method, call in calls.items()}

    async def delete(self, name: str) -> grpc.StatusCode:
        """The status that DeleteExecution answers."""
        try:
            await self.history.DeleteExecution(DeleteExecutionRequest(id=identifier(name), reason="a test"))
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@pytest_asyncio.fixture(loop_scope="session")
async def runs(
    stack: StackProcess, workflow_module: Callable[[str], Any], register: Callable[..., Any]
) -> AsyncIterator[Runs]:
    module = workflow_module("deleting")
    await asyncio.to_thread(register, module.deleting)
    await asyncio.to_thread(register, module.waiting)
    async with grpc.aio.insecure_channel(stack.grpc) as channel, open_log(Access.of(stack.data)) as log:
        history = ServiceCalls(channel, "flightlog.history.v1.HistoryService")
        catalog = ServiceCalls(channel, "flightlog.catalog.v1.CatalogService")
        yield Runs(stack, admin_pb2_grpc.AdminServiceStub(channel), history, catalog, log)


async def first_of(answers: AsyncIterator[Any]) -> Any:
    return await anext(aiter(answers))


async def status(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_deleted_execution_leaves_nothing_but_that_it_was(runs: Runs) -> None:
    marker, name = f"m{uuid4().hex}", f"d{uuid4().hex[:18]}"
    places = Places(runs.stack.data)
    await runs.run(name, marker)
    subject = Subject.of("EXECUTION", PROJECT, DOMAIN, name)
    deliveries = f"scheduler.*.delivery.*.{PROJECT}.{DOMAIN}.{name}"

    async def mailed() -> bool:
        return bool(await runs.log.subjects("SCHEDULER", deliveries))

    await until(mailed)
    before = await places.of(marker)
    assert all(before.values()), before
    head = await runs.log.head(subject)
    assert await runs.log.last_sequence(subjects.told_of((PROJECT, DOMAIN, name))[0])

    deleted = await asyncio.to_thread(runs.stack.cli, "delete", name, "--reason", "nobody needs it")
    assert deleted.returncode == 0, deleted.stderr
    assert await status(runs.get(name)) == grpc.StatusCode.NOT_FOUND
    again = runs.request(name, "deleting.deleting", {"text": "other"}, "other")
    assert await status(runs.admin.CreateExecution(again)) == grpc.StatusCode.ALREADY_EXISTS
    assert await runs.delete(name) == grpc.StatusCode.NOT_FOUND
    listing = common_pb2.ResourceListRequest(
        id=common_pb2.NamedEntityIdentifier(project=PROJECT, domain=DOMAIN), limit=1000
    )
    assert name not in {one.id.name for one in (await runs.admin.ListExecutions(listing)).executions}

    answers = await runs.answers_about(name)
    assert answers == dict.fromkeys(answers, grpc.StatusCode.NOT_FOUND)

    async def erased() -> bool:
        return len(await runs.log.load(subject)) == 1 and not any((await places.of(marker)).values())

    await until(erased)
    (tombstone,) = await runs.log.load(subject)
    assert tombstone.envelope.position == head.position + 1
    assert tombstone.envelope.previous_hash == head.hash
    (fact,) = tombstone.facts
    assert isinstance(fact, ExecutionDeleted)
    assert fact.reason == "nobody needs it"
    for told in subjects.told_of((PROJECT, DOMAIN, name)):
        assert await runs.log.last_sequence(told) == 0, told
    shown = await asyncio.to_thread(runs.stack.cli, "events", name, "--json")
    (line,) = shown.stdout.splitlines()
    assert [one["fact"] for one in json.loads(line)["facts"]] == ["ExecutionDeleted"]

    assert await runs.answers_about(name) == answers

    # Its result is nobody's any more, and what others run is as it was.
    other = await runs.run(f"d{uuid4().hex[:18]}", marker)
    assert await runs.cache_status(other) == "CACHE_POPULATED"
    third = await runs.run(f"d{uuid4().hex[:18]}", marker)
    assert await runs.cache_status(third) == "CACHE_HIT"

    rebuilt = await asyncio.to_thread(runs.stack.cli, "rebuild", "--json")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr


async def test_an_execution_that_is_not_over_is_not_deleted(runs: Runs) -> None:
    name = f"d{uuid4().hex[:18]}"
    await runs.admin.CreateExecution(runs.request(name, "deleting.waiting", {}, "waiting"))
    assert await runs.delete(name) == grpc.StatusCode.FAILED_PRECONDITION
    await runs.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=identifier(name)))

    async def deleted() -> bool:
        found = await runs.delete(name)
        assert found in (grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION)
        return found == grpc.StatusCode.OK

    await until(deleted)
    assert await runs.delete(f"never-{uuid4().hex[:8]}") == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("missing", ["project", "domain", "name"])
async def test_a_request_names_an_execution(runs: Runs, missing: str) -> None:
    whole = identifier("any")
    whole.ClearField(missing)  # pyright: ignore[reportArgumentType]
    call = runs.history.DeleteExecution(DeleteExecutionRequest(id=whole))
    assert await status(call) == grpc.StatusCode.INVALID_ARGUMENT
