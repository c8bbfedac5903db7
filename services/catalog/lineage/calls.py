"""GetLineage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_protos.catalog.v1.lineage_service_pb2 import GetLineageRequest, LineageGraph
from flightlog_rpc import CallContext, invalid, not_found, resource_exhausted
from services.catalog.lineage.graph import NothingKnown, lineage
from services.catalog.lineage.index import Index
from services.catalog.lineage.reading import Reading
from services.catalog.lineage.settings import LineageSettings
from services.catalog.lineage.tracing import INPUTS, OUTPUTS

_SERVICE = "/flightlog.catalog.v1.LineageService/"


class LineageCalls:
    """Answers questions about lineage, each from what the log has when it comes."""

    def __init__(self, log: Log, blobs: BlobStore, index: Index, settings: LineageSettings) -> None:
        self._log = log
        self._blobs = blobs
        self._index = index
        self._settings = settings

    async def get_lineage(self, request: GetLineageRequest, _: CallContext) -> LineageGraph:
        """The graph around an artifact.

        Raises:
            RpcError: INVALID_ARGUMENT, the reference names nothing or several things; NOT_FOUND; RESOURCE_EXHAUSTED,
                workflows lie in one another hundreds of levels deep.
        """
        _check(request)
        settings = self._settings
        await self._index.wait()
        reading = Reading(
            self._log,
            self._blobs,
            self._index,
            executions=settings.executions,
            mentions=settings.mentions,
            reads=settings.reads,
            value_bytes=settings.value_bytes,
        )
        try:
            return await lineage(reading, request, size=settings.size)
        except NothingKnown as unknown:
            raise not_found(str(unknown)) from None
        except RecursionError:
            raise resource_exhausted("its workflows lie in one another too deep to be followed") from None


def methods(calls: LineageCalls) -> Mapping[str, Callable[[Any, CallContext], Awaitable[Any]]]:
    """Every method of the service, by full name, as the RPC server takes them."""
    return {f"{_SERVICE}GetLineage": calls.get_lineage}


def _check(request: GetLineageRequest) -> None:
    artifact = request.artifact
    execution = artifact.node.execution_id
    named = (execution.project, execution.domain, execution.name)
    if artifact.uri:
        if any(named) or artifact.node.node_id or artifact.variable or artifact.side:
            raise invalid("an artifact is named by its execution or by its uri, not by both")
    elif not all(named):
        raise invalid("an artifact is named by its uri, or by project, domain and name of its execution")
    if artifact.side not in ("", INPUTS, OUTPUTS):
        raise invalid(f"a side is {INPUTS} or {OUTPUTS}, not [{artifact.side}]")
    if request.direction not in GetLineageRequest.Direction.values():
        raise invalid(f"there is no direction {request.direction}")
