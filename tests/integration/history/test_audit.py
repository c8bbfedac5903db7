"""ListAudit over real tables: what was done and what was refused, filters, pages, deletion, and a rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Log, LogSettings, Recorded, Subject, new_id
from flightlog_protos.execution.v1.facts_pb2 import AbortRequested, ExecutionCreated, ExecutionDeleted, TimerSet
from flightlog_protos.history.v1.audit_pb2 import AuditEntry, CallRefused, ListAuditRequest, ListAuditResponse
from flightlog_protos.registry.v1.facts_pb2 import ProjectRegistered
from flightlog_read import Database, DatabaseSettings, Projector, rebuild
from flightlog_rpc import RpcServer, RpcSettings
from flightlog_service import running
from services.history import audit

LIST = "/flightlog.history.v1.HistoryService/ListAudit"
ANN = Cause.request("ann", "flytekit/1", "127.0.0.1:1")
BOB = Cause.request("bob", "flytectl/2", "127.0.0.2:1")


class Audit:
    """The call, and a project of one's own to be audited."""

    def __init__(self, log: Log, database: Database, channel: grpc.aio.Channel) -> None:
        self.log = log
        self.database = database
        self.project = f"p{uuid4().hex}"
        self._call = channel.unary_unary(LIST, ListAuditRequest.SerializeToString, ListAuditResponse.FromString)

    async def page(self, **fields: Any) -> ListAuditResponse:
        return await self._call(ListAuditRequest(project=self.project, **fields), timeout=60)

    async def entries(self, **fields: Any) -> list[AuditEntry]:
        return list((await self.page(**fields)).entries)

    async def append(self, subject: Subject, fact: Any, cause: Cause) -> Recorded:
        return await self.log.append(subject, [fact], head=await self.log.head(subject), cause=cause)

    async def run(self, name: str, cause: Cause) -> Subject:
        """An execution that somebody made; services went on with it."""
        subject = Subject.of("EXECUTION", self.project, "development", name)
        created = await self.append(subject, ExecutionCreated(), cause)
        await self.append(subject, TimerSet(timer_id="t"), Cause.service("execution", created))
        return subject

    async def refuse(self, name: str, cause: Cause) -> None:
        fact = CallRefused(
            method="AdminService/TerminateExecution",
            code="NOT_FOUND",
            message="no such execution",
            kind="execution",
            project=self.project,
            domain="development",
            name=name,
        )
        subject = Subject.of("AUDIT", "AdminService", "TerminateExecution")
        await self.log.publish(subject, [fact], cause=cause, message_id=new_id())


@pytest_asyncio.fixture(loop_scope="session")
async def audited(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> AsyncIterator[Audit]:
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(blob_settings)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(log_settings, blobs, name="test-audit")
        stack.push_async_callback(log.close)
        database = await Database.connect(database_settings)
        stack.push_async_callback(database.close)
        projectors = [(one.stream, Projector(database, log, one)) for one in audit.projections()]
        await stack.enter_async_context(running(*(projector.run() for _, projector in projectors)))
        for _, projector in projectors:
            await projector.wait_until_serving()
        server = RpcServer(RpcSettings(port=0), "history", audit.methods(log, database, projectors))
        port = await server.start()
        stack.push_async_callback(server.stop, 0)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Audit(log, database, channel)


def told(entries: list[AuditEntry]) -> list[tuple[str, str, str, bool]]:
    return [(entry.actor.subject, entry.action, entry.name, entry.allowed) for entry in entries]


async def test_who_did_what_and_what_was_refused_newest_first(audited: Audit) -> None:
    await audited.append(Subject.of("REGISTRY", "project", audited.project), ProjectRegistered(), ANN)
    subject = await audited.run("f1", ANN)
    await audited.refuse("f2", BOB)
    aborted = await audited.append(subject, AbortRequested(cause="enough"), BOB)
    entries = await audited.entries()
    assert told(entries) == [
        ("bob", "AbortRequested", "f1", True),
        ("bob", "AdminService/TerminateExecution", "f2", False),
        ("ann", "ExecutionCreated", "f1", True),
        ("ann", "ProjectRegistered", "", True),
    ]
    newest, refused, _, registered = entries
    assert (newest.stream, newest.sequence, newest.event_id) == ("EXECUTION", aborted.sequence, aborted.event_id)
    assert newest.at.ToMicroseconds() == aborted.envelope.recorded_at.ToMicroseconds()
    assert (newest.kind, newest.domain, newest.actor.client) == ("execution", "development", "flytectl/2")
    assert (refused.stream, refused.code, refused.message) == ("AUDIT", "NOT_FOUND", "no such execution")
    assert (registered.kind, registered.project) == ("project", audited.project)


async def test_entries_are_chosen_by_actor_kind_name_time_and_outcome(audited: Audit) -> None:
    first = await audited.run("f1", ANN)
    await audited.run("f2", BOB)
    await audited.refuse("f1", BOB)
    all_of_them = await audited.entries()
    (ann,) = await audited.entries(actor="ann")
    assert ann.name == "f1"
    assert len(await audited.entries(actor="FLYTECTL")) == 2
    assert await audited.entries(actor="nobody") == []
    assert len(await audited.entries(kind="execution")) == 3
    assert await audited.entries(kind="task") == []
    assert len(await audited.entries(name="f1", domain="development")) == 2
    assert told(await audited.entries(only_refused=True)) == [("bob", "AdminService/TerminateExecution", "f1", False)]
    created = (await audited.log.load(first))[0].envelope.recorded_at
    exactly = Timestamp()
    exactly.FromMicroseconds(created.ToMicroseconds())
    assert await audited.entries(until=exactly) == []
    assert len(await audited.entries(since=exactly)) == len(all_of_them)
    later = Timestamp(seconds=created.seconds + 3600)
    assert await audited.entries(since=later) == []


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_go_through_all_streams_without_a_gap(audited: Audit, limit: int) -> None:
    for number in range(4):
        await audited.run(f"f{number}", ANN)
        await audited.refuse(f"f{number}", BOB)
    whole = await audited.entries()
    assert len(whole) == 8
    found: list[AuditEntry] = []
    token = ""
    while True:
        page = await audited.page(limit=limit, token=token)
        found += page.entries
        token = page.token
        if not token:
            break
        assert len(page.entries) == limit
    assert found == whole


@pytest.mark.parametrize(
    "fields",
    [{"limit": 1001}, {"token": "nonsense"}, {"token": "MSBBIDE="}, {"since": Timestamp(seconds=-(1 << 62))}],
)
async def test_a_request_that_cannot_be_is_invalid(audited: Audit, fields: dict[str, Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await audited.page(**fields)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_of_a_deleted_execution_its_deletion_is_left(audited: Audit) -> None:
    subject = await audited.run("f1", ANN)
    await audited.run("f2", ANN)
    await audited.append(subject, ExecutionDeleted(), BOB)
    assert told(await audited.entries()) == [
        ("bob", "ExecutionDeleted", "f1", True),
        ("ann", "ExecutionCreated", "f2", True),
    ]


async def test_tables_that_are_made_again_are_the_same(audited: Audit) -> None:
    await audited.run("f1", ANN)
    await audited.refuse("f1", BOB)
    before = await audited.entries()
    for projection in audit.projections():
        result = await rebuild(audited.database, audited.log, projection)
        assert result.identical, result
        assert result.compared_at is not None
    assert await audited.entries() == before
