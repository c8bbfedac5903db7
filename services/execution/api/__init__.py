"""The gRPC methods of the execution service."""

from collections.abc import Mapping

from flightlog_blobs import BlobStore
from flightlog_rpc import Implementation
from services.execution.admission.admission import Admission
from services.execution.api.creating import Creating
from services.execution.api.data import Data
from services.execution.api.downloads import Downloads
from services.execution.api.executions import Executions
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
    nodes = NodeExecutions(reads, data)
    tasks = TaskExecutions(reads, data)
    downloads = Downloads(reads, data, nodes)
    signals = Signals(shell, reads)
    queues = QueueCalls(admission, shell)
    return {
        f"{_ADMIN}CreateExecution": creating.create,
        f"{_ADMIN}RelaunchExecution": creating.relaunch,
        f"{_ADMIN}RecoverExecution": creating.recover,
        f"{_ADMIN}GetExecution": executions.get,
        f"{_ADMIN}GetExecutionData": executions.get_data,
        f"{_ADMIN}ListExecutions": executions.list,
        f"{_ADMIN}UpdateExecution": executions.update,
        f"{_ADMIN}TerminateExecution": executions.terminate,
        f"{_ADMIN}GetNodeExecution": nodes.get,
        f"{_ADMIN}ListNodeExecutions": nodes.list,
        f"{_ADMIN}ListNodeExecutionsForTask": nodes.list_for_task,
        f"{_ADMIN}GetNodeExecutionData": nodes.get_data,
        f"{_ADMIN}GetDynamicNodeWorkflow": nodes.get_dynamic_workflow,
        f"{_ADMIN}GetTaskExecution": tasks.get,
        f"{_ADMIN}ListTaskExecutions": tasks.list,
        f"{_ADMIN}GetTaskExecutionData": tasks.get_data,
        f"{_ADMIN}GetVersion": get_version,
        f"{_DATA}GetData": downloads.get_data,
        f"{_DATA}CreateDownloadLink": downloads.create_download_link,
        f"{_DATA}CreateDownloadLocation": downloads.create_download_location,
        f"{_QUEUES}ListQueues": queues.list,
        f"{_QUEUES}ListWaits": queues.list_waits,
        f"{_SIGNAL}GetOrCreateSignal": signals.get_or_create,
        f"{_SIGNAL}ListSignals": signals.list,
        f"{_SIGNAL}SetSignal": signals.set,
    }
