"""Whatever is done to tables, archive and log of a running stack is named by `verify`, and repaired where it can be."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio
from flyteidl.admin import execution_pb2
from nats.js import JetStreamContext

from flightlog_archive import STREAMS, Archive
from flightlog_bench.client import Client
from flightlog_bench.workflows import DOMAIN, PROJECT, chain
from flightlog_blobs import BlobStore
from flightlog_cli.access import Access
from flightlog_cli.admin import open_service
from flightlog_cli.commands.verify import examine
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Cause, Log, Recorded, Subject
from flightlog_log.envelopes import parse_envelope
from flightlog_protos.history.v1.audit_pb2 import CallRefused
from flightlog_protos.history.v1.verification_pb2 import VerifyChainRequest
from flightlog_read import Database
from services.history.verification.findings import Finding
from tests.integration.history.archives import archived_up_to, archiving

REFUSED = Subject.of("AUDIT", "AdminService", "CreateTask")


class Victim:
    """A stack with three executions, all of it archived, whose archiver is the test's own and stands still."""

    def __init__(self, stack: StackProcess, names: list[str]) -> None:
        self.stack = stack
        self.access = Access.of(stack.data)
        self.executions = [Subject.of("EXECUTION", PROJECT, DOMAIN, name) for name in names]

    async def verify(self, **options: Any) -> list[Finding]:
        """What the command finds."""
        return (await examine(self.stack.data, **options)).findings

    @asynccontextmanager
    async def log(self, **changed: Any) -> AsyncIterator[tuple[Log, BlobStore]]:
        blobs = BlobStore.open(self.access.blobs)
        log = await Log.connect(self.access.log.model_copy(update=changed), blobs, name="tampering")
        try:
            yield log, blobs
        finally:
            await log.close()
            await blobs.close()

    @asynccontextmanager
    async def server(self) -> AsyncIterator[JetStreamContext]:
        """What somebody can do who knows the server's password, and nothing of envelopes."""
        settings = self.access.log
        assert settings.password is not None
        client = await nats.connect(
            settings.nats_url, user=settings.user, password=settings.password.get_secret_value()
        )
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def history(self, execution: Subject) -> list[Recorded]:
        async with self.log() as (log, _):
            return await log.load(execution)

    def flip_stored(self, stream: str, text: bytes) -> None:
        """One bit of a message in the server's file, which the server then reads anew."""
        (block,) = (self.stack.data / "nats").rglob(f"{stream}/msgs/*.blk")
        flip(block, block.read_bytes().index(text))
        pid = self.stack.pids["nats"]
        os.kill(pid, signal.SIGTERM)
        self.stack.wait_for_part("nats", after=pid)

    def path(self, uri: str) -> Path:
        return Path(self.stack.endpoints["object_directory"]) / uri.removeprefix("s3://")


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="module")
def quiet_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    environment = {"FLIGHTLOG_HISTORY__ARCHIVE__ENABLED": "false", "FLIGHTLOG_PROCESS__PRELOAD": "[]"}
    with StackProcess(tmp_path_factory.mktemp("tampered"), environment=environment) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def victim(quiet_stack: StackProcess) -> Victim:
    client = Client(quiet_stack.grpc)
    try:
        registration = chain(3)
        await client.register(registration)
        created = [await client.create(registration.launch_plan_id, {"x": number}) for number in range(3)]
        for execution in created:
            await client.finished(execution)
            # A third envelope, so that one lies between two.
            state = execution_pb2.ExecutionState.EXECUTION_ARCHIVED
            await client.stub.UpdateExecution(execution_pb2.ExecutionUpdateRequest(id=execution, state=state))
    finally:
        await client.close()
    victim = Victim(quiet_stack, [execution.name for execution in created])
    async with victim.log(offload_above_bytes=0) as (log, blobs):
        for number in range(3):
            fact = CallRefused(method="AdminService/CreateTask", code="INVALID_ARGUMENT", message=f"refused {number}")
            await log.publish(REFUSED, [fact], cause=Cause.service("test"), message_id=f"refused-{number}")
        database = await Database.connect(victim.access.database)
        async with archiving(log, blobs, database) as archive:
            for stream in STREAMS:
                await archived_up_to(archive, stream, await log.last_stored(stream))
        await database.close()
    return victim


async def test_what_nobody_touched_is_clean(victim: Victim) -> None:
    shown = victim.stack.cli("verify", "--tables", "--archive")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Nothing is wrong." in shown.stdout
    assert "EXECUTION: " in shown.stdout
    assert "execution: " in shown.stdout
    one = victim.stack.cli_json("verify", "--execution", "/".join(victim.executions[0].parts), "--archive")
    assert one["findings"] == []
    assert {stream["stream"]: stream["messages"] for stream in one["streams"]} == {"EXECUTION": 3, "LAUNCHER": 0}
    async with open_service(victim.stack.data, "flightlog.history.v1.HistoryService") as history:
        answers = [answer async for answer in history.VerifyChain(VerifyChainRequest(archive=True))]
    assert not any(answer.HasField("finding") for answer in answers)
    assert answers[-1].progress.done
    assert {answer.progress.stream for answer in answers if answer.progress.stream_done} == set(STREAMS)


async def test_tables_that_were_changed_are_named_and_rebuilt(victim: Victim) -> None:
    database = await Database.connect(victim.access.database)
    try:
        await database.pool.execute("DELETE FROM registry.tasks")
        await database.pool.execute(
            "UPDATE execution.executions SET phase = 'RUNNING' WHERE execution_name = $1", victim.executions[0].parts[2]
        )
        await database.pool.execute("DROP TABLE execution.signals")
    finally:
        await database.close()
    found = await victim.verify(tables=True)
    assert {finding.kind for finding in found} == {"table"}
    said = "\n".join(finding.message for finding in found)
    assert "registry.tasks has 0 rows" in said
    assert "missing {" in said
    assert "the table execution.signals is missing" in said
    assert f'"{victim.executions[0].parts[2]}"' in said
    assert {finding.repair for finding in found} == {"flightlog rebuild registry", "flightlog rebuild execution"}
    assert victim.stack.cli("rebuild").returncode == 1
    assert await victim.verify(tables=True) == []


async def test_an_archive_that_was_changed_is_named_and_made_again(victim: Victim) -> None:
    async with victim.log() as (log, blobs):
        archive = Archive(blobs)
        deleted, flipped = [
            archive.uri(stream, (await archive.manifest(stream)).segments[0].key)
            for stream in ("EXECUTION", "REGISTRY")
        ]
        first, second, third = [parse_envelope(raw.data).offloaded.uri async for raw in log.stored(REFUSED)]
    victim.path(deleted).unlink()
    flip(victim.path(flipped), 2000)
    flip(victim.path(first), 20)
    victim.path(second).unlink()
    alone = await victim.verify()
    assert {(finding.kind, finding.uri) for finding in alone} == {("payload", first), ("payload", second)}
    expected = {("segment", deleted), ("segment", flipped), ("payload", first), ("payload", second)}
    found = await victim.verify(archive=True)
    assert {(finding.kind, finding.uri) for finding in found} == expected
    assert {finding.repair for finding in found} == {"flightlog verify --repair"}
    repaired = victim.stack.cli("verify", "--repair")
    assert repaired.returncode == 0, repaired.stdout
    assert repaired.stdout.count("repaired") == len(expected)
    assert await victim.verify(archive=True) == []
    assert victim.path(third).exists()


async def test_a_log_that_was_changed_is_named_and_restored(victim: Victim) -> None:
    one, other, third = victim.executions
    histories = [await victim.history(execution) for execution in victim.executions]
    dropped, reordered, altered = (history[1] for history in histories)
    async with victim.server() as server:
        await server._jsm.delete_msg("EXECUTION", dropped.sequence)
        raw = await server.get_msg("EXECUTION", reordered.sequence)
        await server._jsm.delete_msg("EXECUTION", reordered.sequence)
        moved_to = (await server.publish(str(other), raw.data, headers={"Flightlog-Facts": "Nothing"})).seq
        last = (await server.stream_info("AUDIT")).state.last_seq
        await server._jsm.delete_msg("AUDIT", last)
    victim.flip_stored("EXECUTION", altered.event_id.encode())

    found = {(finding.kind, finding.subject, finding.position) for finding in await victim.verify()}
    named = {("gap", str(one), 2), ("order", str(other), 2), ("gap", str(third), 2), ("gap", "", 0)}
    assert found == named
    of_one = await victim.verify(execution="/".join(one.parts))
    assert [(finding.kind, finding.position) for finding in of_one] == [("gap", 2)]

    with_archive = {
        (finding.kind, finding.subject, finding.sequence): finding for finding in await victim.verify(archive=True)
    }
    for kind, subject, sequence in (
        ("gap", str(one), dropped.sequence),
        ("gap", str(other), reordered.sequence),
        ("order", str(other), moved_to),
        ("gap", str(third), altered.sequence),
        ("truncated", "", last - 1),
    ):
        assert (kind, subject, sequence) in with_archive
    assert all(finding.repair == "flightlog restore" for key, finding in with_archive.items() if key[0] != "order")

    async with victim.server() as server:
        await server._jsm.delete_stream("REGISTRY")
    lost = [finding for finding in await victim.verify() if finding.stream == "REGISTRY"]
    assert "truncated" in {finding.kind for finding in lost}, lost
    assert any("the archive has seen it up to" in finding.message for finding in lost), lost

    victim.stack.stop()
    shutil.rmtree(victim.stack.data / "nats")
    assert victim.stack.cli("restore").returncode == 0
    victim.stack.start()
    assert await victim.verify(archive=True) == []
    # The tables have rows of what was put on the empty stream meanwhile.
    victim.stack.cli("rebuild")
    assert await victim.verify(tables=True, archive=True) == []
