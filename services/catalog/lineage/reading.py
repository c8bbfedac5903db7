"""What one question about lineage reads: histories from the log, workflows and values from the object store."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TypeVar

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobStore, BlobTooLarge
from flightlog_log import Log, Subject
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog import subjects
from services.catalog.lineage.index import Index
from services.catalog.lineage.mentions import is_deleted
from services.catalog.lineage.programs import Program
from services.catalog.lineage.runs import Run, fold
from services.catalog.lineage.sources import Makers, Mention, Reuse
from services.catalog.lineage.tracing import Trace
from services.catalog.subjects import ExecutionKey

_READS_AT_ONCE = 16
_Message = TypeVar("_Message", LiteralMap, CompiledWorkflowClosure)


class Reading:
    """The sources of one question; everything is read once.

    Args:
        executions: most executions that are looked into.
        mentions: most executions that are looked up of one address, or of one whose results were taken.
        reads: most literal maps that are read and looks that are taken into the index, together.
        value_bytes: literal maps and compiled workflows larger than that are not read.
    """

    def __init__(
        self,
        log: Log,
        blobs: BlobStore,
        index: Index,
        *,
        executions: int,
        mentions: int,
        reads: int,
        value_bytes: int,
    ) -> None:
        self._log = log
        self._blobs = blobs
        self._index = index
        self._executions = executions
        self._mentions = mentions
        self._reads_left = reads
        self._value_bytes = value_bytes
        self._traces: dict[ExecutionKey, Trace | None] = {}
        self._literals: dict[str, LiteralMap | None] = {}
        self._makers: dict[tuple[str, int], Makers] = {}
        self._reuses: dict[ExecutionKey, list[Reuse]] = {}
        self._reading = asyncio.Semaphore(_READS_AT_ONCE)
        self.exhausted = False

    async def trace(self, execution: ExecutionKey) -> Trace | None:
        """As `Sources.trace`. Raises `LogUnavailable`, `BlobError`."""
        if execution not in self._traces:
            if len(self._traces) >= self._executions:
                self.exhausted = True
                return None
            self._traces[execution] = await self._traced(execution)
        return self._traces[execution]

    async def literals(self, reference: DataRef | None) -> LiteralMap | None:
        """As `Sources.literals`. Raises `BlobError`."""
        if reference is None or not reference.uri:
            return None
        if reference.uri not in self._literals:
            if not self._may_read():
                return None
            data = await self._data(reference.uri)
            self._literals[reference.uri] = None if data is None else _parsed(LiteralMap(), data)
        return self._literals[reference.uri]

    async def makers(self, address: str, before: int) -> Makers:
        """As `Sources.makers`."""
        key = (address, before)
        if key not in self._makers:
            if not self._may_read():
                return Makers([], [])
            self._makers[key] = await self._index.makers(address, before)
        return self._makers[key]

    async def users(self, addresses: Collection[str]) -> list[Mention]:
        """As `Sources.users`."""
        if not self._may_read():
            return []
        found = await self._index.users(addresses, self._mentions)
        self.exhausted = self.exhausted or len(found) >= self._mentions
        return found

    async def reuses(self, execution: ExecutionKey) -> list[Reuse]:
        """As `Sources.reuses`."""
        if execution not in self._reuses:
            if not self._may_read():
                return []
            found = self._reuses[execution] = await self._index.reuses(execution, self._mentions)
            self.exhausted = self.exhausted or len(found) >= self._mentions
        return self._reuses[execution]

    def _may_read(self) -> bool:
        self._reads_left -= 1
        self.exhausted = self.exhausted or self._reads_left < 0
        return self._reads_left >= 0

    async def _traced(self, execution: ExecutionKey) -> Trace | None:
        if not all(execution):
            return None
        run = await load_run(self._log, execution)
        if run is None:
            return None
        closures = [run.created.closure.uri]
        closures += [node.plan.closure.uri for node in run.nodes.values() if node.plan is not None]
        found = dict(zip(closures, await asyncio.gather(*map(self._program, closures)), strict=True))
        plans = {uri: program for uri, program in found.items() if program is not None}
        return Trace(run, found[run.created.closure.uri], plans)

    async def _program(self, uri: str) -> Program | None:
        data = await self._data(uri)
        closure = None if data is None else _parsed(CompiledWorkflowClosure(), data)
        return None if closure is None else Program.parse(closure)

    async def _data(self, uri: str) -> bytes | None:
        async with self._reading:
            try:
                return await self._blobs.get_or_none(uri, limit=self._value_bytes)
            except BlobTooLarge:
                return None


async def load_run(log: Log, execution: ExecutionKey) -> Run | None:
    """The fold of an execution's history; None when there is none of that name. Raises as `Log.load`."""
    records = await log.load(Subject.of(subjects.EXECUTION, *execution))
    if not records or is_deleted(records[-1].facts):
        return None
    return fold((fact for record in records for fact in record.facts), records[0].sequence)


def _parsed(message: _Message, data: bytes) -> _Message | None:
    try:
        message.MergeFromString(data)
    except DecodeError:
        return None
    return message
