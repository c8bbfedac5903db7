"""DeleteExecution: an execution that is over goes for good."""

from __future__ import annotations

from collections.abc import Mapping

from flightlog_protos.history.v1.deletion_pb2 import DeleteExecutionRequest, DeleteExecutionResponse
from flightlog_rpc import CallContext, Implementation, failed_precondition
from services.execution import subjects
from services.execution.api import answers
from services.execution.engine import DeleteExecution, Refusal, Refused
from services.execution.shell import Shell


class DeletionCalls:
    """The call that deletes."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def methods(self) -> Mapping[str, Implementation]:
        """Full method name -> what answers it."""
        return {"/flightlog.history.v1.HistoryService/DeleteExecution": self.delete}

    async def delete(self, request: DeleteExecutionRequest, call: CallContext) -> DeleteExecutionResponse:
        """Delete an execution. From then on nobody finds it; what it left is erased soon after.

        Its children are executions like any other, and stay.

        Raises:
            RpcError: NOT_FOUND, also for one that is deleted already; FAILED_PRECONDITION while it is not over.
        """
        identifier = answers.execution_id(request)
        command = DeleteExecution(request.reason, call.principal)
        try:
            await self._shell.dispatch(subjects.key_of(identifier), command, call.cause())
        except Refused as refused:
            if refused.reason is Refusal.NOT_OVER:
                raise failed_precondition(
                    f"execution {identifier.name} is not over: terminate it, and delete it then"
                ) from None
            raise answers.missing_execution(identifier) from None
        return DeleteExecutionResponse()
