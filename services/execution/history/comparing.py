"""DiffExecutions: two executions, read from the log and laid beside each other."""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar

from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobMissing, BlobStore, BlobTooLarge
from flightlog_log import Log
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from flightlog_protos.history.v1.differences_pb2 import DiffExecutionsRequest, DiffExecutionsResponse
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_rpc import CallContext
from flightlog_types.addresses import lying
from services.execution import subjects
from services.execution.api import answers
from services.execution.history.differences import Data, differences, unlike_data
from services.execution.history.runs import Run, run_of
from services.execution.history.values import unlike
from services.execution.subjects import ExecutionKey

MOST_READ: Final = 400
"""Literal maps that are read for one answer, and likewise objects beside them."""

_READ_AT_ONCE: Final = 16


class Comparing:
    """The call about two executions.

    Args:
        limit: inputs and outputs of more bytes are not read; that they differ is told by their hashes.
    """

    def __init__(self, log: Log, blobs: BlobStore, limit: int) -> None:
        self._log = log
        self._blobs = blobs
        self._limit = limit

    async def diff(self, request: DiffExecutionsRequest, call: CallContext) -> DiffExecutionsResponse:
        """DiffExecutions.

        Raises:
            RpcError: INVALID_ARGUMENT without two whole ids; NOT_FOUND when one of them is no execution's.
            LogUnavailable: the log cannot be read.
        """
        before, after = [
            await self._run(subjects.key_of(answers.execution_id(request, field))) for field in ("before", "after")
        ]
        found = differences(before, after, await self._data(before, after))
        return DiffExecutionsResponse(differences=found)

    async def _run(self, key: ExecutionKey) -> Run:
        subject = subjects.execution(key)
        records = [] if subject is None else await self._log.load(subject)
        # Of one that was deleted that may be all there is.
        if not records or any(isinstance(fact, ExecutionDeleted) for fact in records[-1].facts):
            raise answers.missing_execution(subjects.identifier_of(key))
        return run_of([fact for record in records for fact in record.facts])

    async def _data(self, before: Run, after: Run) -> Data:
        """What is to be known of the values that differ: the earliest first, as far as that is allowed."""
        pairs = list(unlike_data(before, after))[: MOST_READ // 2]
        refs = [ref for pair in pairs for ref in pair]
        read: dict[str, LiteralMap] = {}
        for some in _parts(refs):
            for ref, literals in zip(some, await asyncio.gather(*map(self._literals, some)), strict=True):
                if literals is not None:
                    read[ref.uri] = literals
        addresses: dict[str, None] = {}
        for ours, theirs in pairs:
            if ours.uri in read and theirs.uri in read:
                for _, one, other in unlike(read[ours.uri], read[theirs.uri], {}):
                    if one is not None and other is not None:
                        addresses |= dict.fromkeys(address for side in (one, other) for _, address, _ in lying(side))
        contents: dict[str, str] = {}
        for some in _parts(list(addresses)[:MOST_READ]):
            found = zip(some, await asyncio.gather(*map(self._content, some)), strict=True)
            contents |= {address: content for address, content in found if content is not None}
        return Data(read, contents)

    async def _literals(self, ref: DataRef) -> LiteralMap | None:
        """A literal map; None when it is too large, is gone or is none."""
        try:
            return LiteralMap.FromString(await self._blobs.get(ref.uri, limit=self._limit))
        except (BlobMissing, BlobTooLarge, DecodeError):
            return None

    async def _content(self, address: str) -> str | None:
        """Stands for the bytes at an address; None for a folder, for what is gone, and for other stores' objects."""
        # Users name these.
        if not self._blobs.has_room_for(address):
            return None
        found = await self._blobs.stat(address)
        return None if found is None else f"{found.size} bytes, {found.etag}"


_Item = TypeVar("_Item")


def _parts(items: Sequence[_Item]) -> list[Sequence[_Item]]:
    """In parts that are read at once."""
    return [items[start : start + _READ_AT_ONCE] for start in range(0, len(items), _READ_AT_ONCE)]
