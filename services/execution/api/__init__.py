"""The gRPC methods of the execution service."""

from collections.abc import Callable, Mapping

from flightlog_blobs import BlobStore
from flightlog_rpc import Implementation
from services.execution.admission.admission import Admission
from services.execution.api.creating import Creating
from services.execution.api.data import Data
from services.execution.api.downloads import Downloads
from services.execution.api.executions import Executions
from services.execution.api.moments import as_asked
from services.execution.api.node_executions import NodeExecutions
from services.execution.api.queues import QueueCalls
from services.execution.api.signals import Signals
from services.execution.api.task_executions import TaskExecutions
from services.execution.api.version import get_version
from services.execution.projection.queries import Reads
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell
from services.execution.starting import Starter

_ADMIN = "/flyteidl.service.AdminService/"
_DATA = "/flyteidl.service.DataProxyService/"
_SIGNAL = "/flyteidl.service.SignalService/"
_QUEUES = "/flightlog.execution.v1.QueueService/"


def methods(
    shell: Shell,
    starter: Starter,
    reads: Reads,
    blobs: BlobStore,
    admission: Admission,
    settings: ExecutionSettings,
) -> Mapping[str, Implementation]:
    """Full method name -> what answers it."""
    data = Data(blobs, settings.inline_bytes, settings.link_expiry)
    creating = Creating(shell, starter, reads, blobs)
    executions = Executions(shell, reads, data, admission)
    signals = Signals(shell, reads)
    queues = QueueCalls(admission, shell)
    return {
        **_reads(shell, reads, data, admission),
        f"{_ADMIN}CreateExecution": creating.create,
        f"{_ADMIN}RelaunchExecution": creating.relaunch,
        f"{_ADMIN}RecoverExecution": creating.recover,
        f"{_ADMIN}UpdateExecution": executions.update,
        f"{_ADMIN}TerminateExecution": executions.terminate,
        f"{_ADMIN}GetVersion": get_version,
        f"{_QUEUES}ListQueues": queues.list,
        f"{_QUEUES}ListWaits": queues.list_waits,
        f"{_SIGNAL}GetOrCreateSignal": signals.get_or_create,
        f"{_SIGNAL}SetSignal": signals.set,
    }


def _reads(shell: Shell, reads: Reads, data: Data, admission: Admission) -> Mapping[str, Implementation]:
    """What is answered as of now, or of the moment that its call asks about."""

    def executions(of: Reads) -> Executions:
        return Executions(shell, of, data, admission)

    def nodes(of: Reads) -> NodeExecutions:
        return NodeExecutions(of, data)

    def tasks(of: Reads) -> TaskExecutions:
        return TaskExecutions(of, data)

    def downloads(of: Reads) -> Downloads:
        return Downloads(of, data, nodes(of))

    answered: Mapping[str, Callable[[Reads], Implementation]] = {
        f"{_ADMIN}GetExecution": lambda of: executions(of).get,
        f"{_ADMIN}GetExecutionData": lambda of: executions(of).get_data,
        f"{_ADMIN}ListExecutions": lambda of: executions(of).list,
        f"{_ADMIN}GetNodeExecution": lambda of: nodes(of).get,
        f"{_ADMIN}ListNodeExecutions": lambda of: nodes(of).list,
        f"{_ADMIN}ListNodeExecutionsForTask": lambda of: nodes(of).list_for_task,
        f"{_ADMIN}GetNodeExecutionData": lambda of: nodes(of).get_data,
        f"{_ADMIN}GetDynamicNodeWorkflow": lambda of: nodes(of).get_dynamic_workflow,
        f"{_ADMIN}GetTaskExecution": lambda of: tasks(of).get,
        f"{_ADMIN}ListTaskExecutions": lambda of: tasks(of).list,
        f"{_ADMIN}GetTaskExecutionData": lambda of: tasks(of).get_data,
        f"{_DATA}GetData": lambda of: downloads(of).get_data,
        f"{_DATA}CreateDownloadLink": lambda of: downloads(of).create_download_link,
        f"{_DATA}CreateDownloadLocation": lambda of: downloads(of).create_download_location,
        f"{_SIGNAL}ListSignals": lambda of: Signals(shell, of).list,
    }
    return {name: as_asked(reads, of) for name, of in answered.items()}
