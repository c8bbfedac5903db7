"""ListExecutions as of a sequence, while those that are listed go on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from flyteidl.core.execution_pb2 import WorkflowExecution

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Subject
from flightlog_read import Database, DatabaseSettings, Page, Projector, SqlWhere
from flightlog_service import running
from services.execution.history.replay.encoding import from_bytes
from services.execution.projection.past import Past
from services.execution.projection.projection import ExecutionProjection
from services.execution.projection.queries import Reads, of_project
from services.execution.projection.rows import Rows
from services.execution.subjects import ExecutionKey

HISTORIES = Path(__file__).parents[2] / "unit" / "engine" / "histories"


class Written:
    """Executions that all went the same way, written an envelope at a time."""

    def __init__(self, log: Log, count: int) -> None:
        self.log = log
        self.project = f"listed{uuid4().hex[:8]}"
        self.subjects = [Subject.of("EXECUTION", self.project, "development", f"e{number}") for number in range(count)]
        history = from_bytes(min(HISTORIES.iterdir()).read_bytes())
        self._left = {subject: [step.facts for step in history.steps] for subject in self.subjects}
        self._heads: dict[Subject, Head] = {}

    async def step(self, subject: Subject) -> None:
        head = self._heads.get(subject, Head.EMPTY)
        recorded = await self.log.append(subject, self._left[subject].pop(0), head=head, cause=Cause.service("test"))
        self._heads[subject] = recorded.head

    async def finish(self, subject: Subject) -> None:
        while self._left[subject]:
            await self.step(subject)


class Slow(Past):
    """Folding takes so long that the tables are asked for something else, and that the last execution ends."""

    def __init__(self, database: Database, projector: Projector, written: Written) -> None:
        super().__init__(written.log)
        self._database = database
        self._projector = projector
        self._written = written
        self.keys: list[ExecutionKey] = []

    async def folded(self, key: ExecutionKey, sequence: int) -> Rows:
        self.keys.append(key)
        await self._written.finish(self._written.subjects[-1])
        await self._projector.wait_for(await self._written.log.stream_sequence("EXECUTION"))
        async with self._database.reading() as connection:
            await connection.fetchval("SELECT 1")
        return await super().folded(key, sequence)


async def test_no_connection_is_held_while_executions_are_folded_and_none_is_missed(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> None:
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(blob_settings)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(log_settings, blobs, name="test")
        stack.push_async_callback(log.close)
        database = await Database.connect(database_settings)
        stack.push_async_callback(database.close)
        narrow = await Database.connect(database_settings.model_copy(update={"pool_max": 1}))
        stack.push_async_callback(narrow.close)
        projector = Projector(database, log, ExecutionProjection())
        await stack.enter_async_context(running(projector.run()))
        await projector.wait_until_serving()

        written = Written(log, 3)
        for subject in written.subjects:
            await written.step(subject)
        then = await log.stream_sequence("EXECUTION")
        await written.finish(written.subjects[0])
        # A row that is late is as it was then, and not folded.
        await projector.wait_for(await log.stream_sequence("EXECUTION"))
        past = Slow(narrow, projector, written)
        reads = Reads(log, narrow, projector, past=past).at(then)
        asked = of_project(written.project, "development", ""), SqlWhere(), "e.id", Page(None, 0)
        async with asyncio.timeout(60):
            found = await reads.executions(*asked)
        assert [one.closure.phase for one in found] == [WorkflowExecution.UNDEFINED] * 3
        ended = [(written.project, "development", name) for name in ("e0", "e2")]
        assert past.keys == ended, "the last one had not changed when it was asked which had"
