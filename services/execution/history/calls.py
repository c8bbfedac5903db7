"""The methods of HistoryService that are about executions."""

from collections.abc import Mapping

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_rpc import Implementation, StreamImplementation
from services.execution.admission.admission import Admission
from services.execution.history.comparing import Comparing
from services.execution.history.explaining_calls import ExplainingCalls
from services.execution.history.files.calls import FileCalls
from services.execution.history.state import States
from services.execution.projection.queries import Reads
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell

_HISTORY = "/flightlog.history.v1.HistoryService/"


def methods(
    log: Log, blobs: BlobStore, shell: Shell, reads: Reads, admission: Admission, settings: ExecutionSettings
) -> Mapping[str, Implementation | StreamImplementation]:
    """Full method name -> what answers it."""
    comparing = Comparing(log, blobs, settings.inline_bytes)
    explaining = ExplainingCalls(log, shell, reads, admission)
    files = FileCalls(log, blobs, settings)
    return {
        f"{_HISTORY}DiffExecutions": comparing.diff,
        f"{_HISTORY}ExplainWaiting": explaining.explain,
        f"{_HISTORY}GetStateAt": States(log).get,
        f"{_HISTORY}ExportHistory": files.export_history,
        f"{_HISTORY}ImportHistory": files.import_history,
    }
