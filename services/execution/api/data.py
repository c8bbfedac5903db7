"""Inputs and outputs for answers: inline where they are small, by a signed address where not (admin-contract §4.13)."""

import asyncio
from datetime import UTC, datetime, timedelta

from flyteidl.admin.common_pb2 import UrlBlob
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.task_execution_pb2 import TaskExecution
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobMissing, BlobStore, BlobTooLarge
from flightlog_rpc import invalid


class Data:
    """Literal maps and addresses of the object store.

    Args:
        inline_bytes: what is larger is not answered inline.
        longest: longest validity of an address, and the one that holds when the request names none.
    """

    def __init__(self, blobs: BlobStore, inline_bytes: int, longest: timedelta) -> None:
        self._blobs = blobs
        self._inline_bytes = inline_bytes
        self._longest = longest

    async def read(self, uri: str) -> tuple[LiteralMap, UrlBlob]:
        """A literal map as answers carry it: the map, or the address from which the client loads it.

        What is not there, or is no literal map, is an empty map: clients then find nothing, as with Flyte.
        """
        if not uri:
            return LiteralMap(), UrlBlob()
        try:
            return LiteralMap.FromString(await self._blobs.get(uri, limit=self._inline_bytes)), UrlBlob()
        except (BlobMissing, DecodeError):
            return LiteralMap(), UrlBlob()
        except BlobTooLarge:
            found = await self._blobs.stat(uri)
            size = found.size if found is not None else 0
            return LiteralMap(), UrlBlob(url=self._blobs.sign_get(uri, expires=self._longest), bytes=size)

    async def of(
        self, run: NodeExecution | TaskExecution
    ) -> tuple[tuple[LiteralMap, UrlBlob], tuple[LiteralMap, UrlBlob]]:
        """Inputs and outputs of a node or an attempt, as far as there are any."""
        return await asyncio.gather(self.read(run.input_uri), self.read(outputs_uri(run)))

    async def whole(self, uri: str) -> LiteralMap:
        """A literal map of any size; empty as `read` has it."""
        try:
            return LiteralMap.FromString(await self._blobs.get_or_none(uri) or b"") if uri else LiteralMap()
        except DecodeError:
            return LiteralMap()

    async def closure(self, uri: str) -> CompiledWorkflowClosure | None:
        """A compiled workflow of any size; None when it is lost."""
        data = await self._blobs.get_or_none(uri) if uri else None
        try:
            return None if data is None else CompiledWorkflowClosure.FromString(data)
        except DecodeError:
            return None

    async def exists(self, uri: str) -> bool:
        """Whether there is such an object."""
        return await self._blobs.stat(uri) is not None

    def signed(self, uri: str, wanted: Duration | None) -> tuple[str, Timestamp]:
        """An address of an object, and when it expires.

        Raises:
            RpcError: INVALID_ARGUMENT when it is to be valid for no time, or for too long.
        """
        expires = self._longest if wanted is None else _timedelta(wanted)
        if expires < timedelta() or expires > self._longest:
            raise invalid(
                f"expires_in {expires.total_seconds():g}s is not between 0 and {self._longest.total_seconds():g}s"
            )
        # An address is valid for whole seconds, one at least.
        expires = max(expires, timedelta(seconds=1)) if expires else self._longest
        until = Timestamp()
        until.FromDatetime(datetime.now(UTC) + expires)
        return self._blobs.sign_get(uri, expires=expires), until


def outputs_uri(run: NodeExecution | TaskExecution) -> str:
    """Where the outputs of a node or an attempt lie; "" when it has none."""
    return run.closure.output_uri if run.closure.WhichOneof("output_result") == "output_uri" else ""


def _timedelta(duration: Duration) -> timedelta:
    """A duration of any size; what is beyond years is as good as a year."""
    seconds = max(-31_536_000, min(31_536_000, duration.seconds))
    return timedelta(seconds=seconds, microseconds=duration.nanos // 1000)
