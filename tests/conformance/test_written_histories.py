"""What the suite's executions left on the log, whatever became of them: all of it is decided again.

From the log, and from files without any. Last of all, so that most of them are over; those that are not are decided
again as far as they are.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from flightlog_blobs import BlobStore
from flightlog_cli.access import Access, open_log
from flightlog_log import Log, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated
from services.execution.history.files.exporting import Exporting
from services.execution.history.files.format import read
from services.execution.history.files.reading import HistoryFile
from services.execution.history.replay.replaying import Replayed
from services.execution.settings import ExecutionSettings
from services.execution.subjects import ExecutionKey
from tests.conformance.client import Backend


@dataclass
class Written:
    """The suite's executions on the log."""

    exporting: Exporting
    keys: list[ExecutionKey]

    async def file(self, key: ExecutionKey, *, without_data: bool = False) -> bytes:
        pieces = self.exporting.export(key, children=False, without_data=without_data)
        return b"".join([piece async for piece in pieces])

    async def replayed(self, content: bytes) -> list[Replayed]:
        file = HistoryFile(read(content, sys.maxsize))
        return [one for past in file.pasts.values() async for one in file.replaying().replay(past)]


@pytest_asyncio.fixture(loop_scope="session")
async def written(request: pytest.FixtureRequest) -> AsyncIterator[Written]:
    if request.config.getoption("--endpoint"):
        pytest.skip("another Flyte has no such log")
    backend: Backend = request.getfixturevalue("backend")
    access = Access.of(request.getfixturevalue("stack").data)
    blobs = BlobStore.open(access.blobs)
    try:
        async with open_log(access) as log:
            yield Written(Exporting(log, blobs, ExecutionSettings()), await keys(log, backend.version))
    finally:
        await blobs.close()


async def keys(log: Log, version: str) -> list[ExecutionKey]:
    """The executions of what the suite registered: other tests may have left theirs on the same log."""
    found: list[ExecutionKey] = []
    for subject in await log.subjects("EXECUTION", ">"):
        first = await log.first(subject)
        created = first.facts[0] if first is not None else None
        if isinstance(created, ExecutionCreated) and created.workflow_id.version == version:
            project, domain, name = Subject.parse(subject).parts
            found.append((project, domain, name))
    return found


async def test_every_decision_follows_again_from_its_cause(written: Written) -> None:
    """Also in the file, which holds what was looked at and nothing else."""
    commands: Counter[str] = Counter()
    otherwise: list[str] = []
    for key in written.keys:
        for one in await written.replayed(await written.file(key)):
            commands[type(one.command).__name__] += 1
            otherwise += ["\n".join(("/".join(key), *one.lines()))] if one.differences or one.undecided else []
    assert not otherwise, "\n\n".join(otherwise[:3])
    assert {"CreateExecution", "StartExecution"} <= commands.keys()


async def test_without_data_the_other_decisions_follow_all_the_same(written: Written) -> None:
    otherwise: list[str] = []
    decided, undecided = 0, 0
    for key in written.keys:
        for one in await written.replayed(await written.file(key, without_data=True)):
            decided += not one.undecided
            undecided += bool(one.undecided)
            otherwise += ["\n".join(("/".join(key), *one.lines()))] if one.differences else []
    assert not otherwise, "\n\n".join(otherwise[:3])
    assert decided > undecided > 0
