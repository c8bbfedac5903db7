"""ExportHistory and ImportHistory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import structlog

from flightlog_blobs import BlobStore
from flightlog_log import EventsMissing, Log, Subject, new_id
from flightlog_protos.history.v1.audit_pb2 import HistoryImported
from flightlog_protos.history.v1.export_pb2 import (
    ExportHistoryRequest,
    ExportHistoryResponse,
    ImportHistoryRequest,
    ImportHistoryResponse,
)
from flightlog_rpc import CallContext, failed_precondition, missing, not_found
from services.execution import subjects
from services.execution.engine import BrokenHistory
from services.execution.history.files.exporting import Exporting, NoSuchExecution
from services.execution.history.files.importing import Importing
from services.execution.settings import ExecutionSettings

_UNPACKED: Final = 512 << 20
"""Most bytes that a file may have when it is unpacked, all of which are in memory then."""
_IMPORTS: Final = Subject.of("AUDIT", "HistoryService", "ImportHistory")
_log = structlog.get_logger(__name__)


class FileCalls:
    """The calls that take executions away, and put them on this log."""

    def __init__(self, log: Log, blobs: BlobStore, settings: ExecutionSettings) -> None:
        self._log = log
        self._exporting = Exporting(log, blobs, settings)
        self._importing = Importing(log, blobs, _UNPACKED)
        self._one_at_a_time = asyncio.Lock()

    async def export_history(
        self, request: ExportHistoryRequest, _call: CallContext
    ) -> AsyncIterator[ExportHistoryResponse]:
        """An execution's whole history as one file, in pieces.

        Raises:
            RpcError: NOT_FOUND; FAILED_PRECONDITION when the log has only the end of it.
        """
        key = subjects.key_of(request.id)
        if not all(key):
            raise missing("id")
        pieces = self._exporting.export(key, children=request.children, without_data=request.without_data)
        try:
            async for piece in pieces:
                yield ExportHistoryResponse(content=piece)
        except NoSuchExecution as error:
            raise not_found(f"there is no execution {error}") from None
        except (EventsMissing, BrokenHistory) as error:
            raise failed_precondition(f"execution {'/'.join(key)} cannot be exported: {error}") from None

    async def import_history(self, request: ImportHistoryRequest, call: CallContext) -> ImportHistoryResponse:
        """Puts an exported history on this log, and who did so beside it. Raises as `Importing.put`."""
        if not request.content:
            raise missing("content")
        async with self._one_at_a_time:
            done = await self._importing.put(request.content)
        project, domain, name = done.keys[0]
        fact = HistoryImported(
            project=project, domain=domain, name=name, executions=len(done.keys), envelopes=done.envelopes
        )
        fact.occurred_at.FromDatetime(datetime.now(UTC))
        await self._log.publish(_IMPORTS, [fact], cause=call.cause(), message_id=new_id())
        _log.info("history.imported", executions=["/".join(key) for key in done.keys], envelopes=done.envelopes)
        return ImportHistoryResponse(ids=map(subjects.identifier_of, done.keys), envelopes=done.envelopes)
