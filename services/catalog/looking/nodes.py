"""Nodes of executions and their data, for whoever asks why: from the log and the object store."""

from __future__ import annotations

from typing import Final

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError, Message

from flightlog_blobs import BlobMissing, BlobStore, BlobTooLarge
from flightlog_log import Log
from flightlog_protos.catalog.v1.cache_pb2 import CachedResult
from flightlog_protos.catalog.v1.catalog_service_pb2 import NodeOrElement
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_rpc import invalid, missing, not_found
from services.catalog import subjects
from services.catalog.looking import values
from services.catalog.looking.compiled import compiled
from services.catalog.looking.explaining import Inputs
from services.catalog.looking.stories import Story, UnknownNode, story

_LARGEST: Final = 32 << 20
"""Bytes of data that is looked into."""


class Nodes:
    """Raises `LogError` and `BlobError` where the log or the object store cannot be read."""

    def __init__(self, log: Log, blobs: BlobStore) -> None:
        self._log = log
        self._blobs = blobs

    async def story(self, wanted: NodeOrElement) -> tuple[NodeExecutionIdentifier, Story]:
        """What a node, or an element of one, had to do with the cache.

        Raises:
            RpcError: INVALID_ARGUMENT when it is not named, NOT_FOUND when there is none.
        """
        execution, node_id = wanted.node.execution_id, wanted.node.node_id
        for name in ("project", "domain", "name"):
            if not getattr(execution, name):
                raise missing(name)
        if not node_id:
            raise missing("node_id")
        history = await self._history(execution)
        if not history:
            raise not_found(f"there is no execution {_shown(execution)}")
        try:
            told = story(history, node_id, wanted.element if wanted.HasField("element") else None)
        except UnknownNode as error:
            raise not_found(f"in {_shown(execution)}, {error}") from None
        return NodeExecutionIdentifier(execution_id=execution, node_id=told.node_id), told

    async def inputs(self, told: Story) -> Inputs:
        """What a node was given."""
        return Inputs(await self.literals(told.inputs), told.element)

    async def inputs_of(self, result: CachedResult) -> Inputs:
        """What the node that made a result was given."""
        maker = result.source.node_execution_id
        if result.HasField("inputs"):
            return Inputs(await self.literals(result.inputs), values.element_of(maker.node_id))
        if not maker.node_id:
            return Inputs(None)
        # Most elements read the inputs of their array.
        try:
            return await self.inputs(story(await self._history(maker.execution_id), maker.node_id))
        except UnknownNode:
            return Inputs(None)

    async def interface(self, told: Story) -> TypedInterface | None:
        """What the node takes and gives; None where that is not known."""
        closure = await self.closure(told)
        found = None if closure is None else compiled(closure, told.way)
        return None if found is None else found.interface

    async def interface_of(self, result: CachedResult) -> TypedInterface | None:
        """What the node took and gave that made a result."""
        maker = result.source.node_execution_id
        if not maker.node_id:
            return None
        try:
            return await self.interface(story(await self._history(maker.execution_id), maker.node_id))
        except UnknownNode:
            return None

    async def closure(self, told: Story) -> CompiledWorkflowClosure | None:
        """What the node was compiled into; None where it is gone."""
        data = None if told.closure is None else await self._data(told.closure, _LARGEST)
        try:
            return None if data is None else CompiledWorkflowClosure.FromString(data)
        except DecodeError:
            return None

    async def literals(self, ref: DataRef | None, limit: int = _LARGEST) -> LiteralMap | None:
        """Inputs or outputs; None where they are gone, or have more than `limit` bytes."""
        data = None if ref is None else await self._data(ref, limit)
        try:
            return None if data is None else LiteralMap.FromString(data)
        except DecodeError:
            return None

    async def _data(self, ref: DataRef, limit: int) -> bytes | None:
        # Clients may have named it.
        if not self._blobs.has_room_for(ref.uri):
            return None
        try:
            return await self._blobs.get(ref.uri, limit=limit)
        except (BlobMissing, BlobTooLarge):
            return None

    async def _history(self, execution: WorkflowExecutionIdentifier) -> list[Message]:
        parts = (execution.project, execution.domain, execution.name)
        if not all(parts) or any("\0" in part for part in parts):
            raise invalid(f"{_shown(execution)!r} is no name of an execution")
        subject = subjects.execution(parts)
        if subject is None:
            return []
        history = [fact for record in await self._log.load(subject) for fact in record.facts]
        # Of one that was deleted nothing is told, though it may take a moment until all of it is erased.
        return [] if history and isinstance(history[-1], ExecutionDeleted) else history


def _shown(execution: WorkflowExecutionIdentifier) -> str:
    return f"{execution.project}/{execution.domain}/{execution.name}"
