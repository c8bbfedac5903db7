"""Reads and changes of executions as a whole (admin-contract §1.4, §4.8)."""

import asyncio

from flyteidl.admin.common_pb2 import NamedEntityIdentifier, ResourceListRequest
from flyteidl.admin.event_pb2 import EventErrorAlreadyInTerminalState, EventFailureReason
from flyteidl.admin.execution_pb2 import (
    Execution,
    ExecutionList,
    ExecutionState,
    ExecutionTerminateRequest,
    ExecutionTerminateResponse,
    ExecutionUpdateRequest,
    ExecutionUpdateResponse,
    WorkflowExecutionGetDataRequest,
    WorkflowExecutionGetDataResponse,
    WorkflowExecutionGetRequest,
)
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_read import SqlWhere, parse_filters, parse_page, parse_sort
from flightlog_rpc import CallContext, RpcError, failed_precondition
from flightlog_types import validation
from flightlog_types.invalid import invalid_value
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.words import waiting_for
from services.execution.api import answers
from services.execution.api.data import Data
from services.execution.engine import ChangeState, Command, Refusal, Refused, TerminateExecution
from services.execution.projection.entities import EXECUTION
from services.execution.projection.queries import Reads, StoredExecution, of_project
from services.execution.shell import Shell

_FORCE = "flightlog-force"
_WAITING = "flightlog.waiting"
_ACTIVE_ONLY = SqlWhere("e.state = $1", (0,))


class Executions:
    """The calls about executions that exist."""

    def __init__(self, shell: Shell, reads: Reads, data: Data, admission: Admission) -> None:
        self._shell = shell
        self._reads = reads
        self._data = data
        self._admission = admission

    async def get(self, request: WorkflowExecutionGetRequest, call: CallContext) -> Execution:
        """GetExecution. Of one that waits for room, an annotation says at what place, and for what; not of the past."""
        identifier = answers.execution_id(request)
        found = (await self._stored(identifier)).message
        if found.closure.phase == WorkflowExecution.QUEUED and self._reads.sequence is None:
            queue = await self._admission.look(identifier.project, identifier.domain)
            waiting = waiting_for(queue, identifier.name)
            if waiting:
                found.spec.annotations.values[_WAITING] = waiting
        return found

    async def get_data(
        self, request: WorkflowExecutionGetDataRequest, call: CallContext
    ) -> WorkflowExecutionGetDataResponse:
        """GetExecutionData: the complete inputs, and the outputs once there are some."""
        stored = await self._stored(answers.execution_id(request))
        closure = stored.message.closure
        outputs_uri = closure.outputs.uri if closure.WhichOneof("output_result") == "outputs" else ""
        (inputs, inputs_blob), (outputs, outputs_blob) = await asyncio.gather(
            self._data.read(stored.inputs_uri), self._data.read(outputs_uri)
        )
        return WorkflowExecutionGetDataResponse(
            inputs=inputs_blob, outputs=outputs_blob, full_inputs=inputs, full_outputs=outputs
        )

    async def list(self, request: ResourceListRequest, call: CallContext) -> ExecutionList:
        """ListExecutions: the active ones, unless a filter speaks of `state`."""
        given = validation.require_named_entity(request.id if request.HasField("id") else None, name=False)
        page = parse_page(request.limit, request.token, "ListExecutions")
        where = parse_filters(request.filters, EXECUTION)
        if "execution.state" not in where.fields:
            where = where & _ACTIVE_ONLY
        order = parse_sort(request.sort_by if request.HasField("sort_by") else None, EXECUTION)
        found = await self._reads.executions(_in(given), where, order, page)
        for execution in found:
            execution.spec.ClearField("inputs")
            execution.closure.ClearField("computed_inputs")
            if execution.closure.HasField("error"):
                answers.cut_error(execution.closure.error)
        return ExecutionList(executions=found, token=page.next_token(len(found)))

    async def update(self, request: ExecutionUpdateRequest, call: CallContext) -> ExecutionUpdateResponse:
        """UpdateExecution: archive, or take back; a running one too."""
        identifier = answers.execution_id(request)
        if request.state not in ExecutionState.values():
            raise invalid_value("state")
        await self._obey(identifier, ChangeState(request.state, call.principal), call)
        return ExecutionUpdateResponse()

    async def terminate(self, request: ExecutionTerminateRequest, call: CallContext) -> ExecutionTerminateResponse:
        """TerminateExecution: ABORTING at once, ABORTED when all that runs is gone.

        With the metadata `flightlog-force: true` it is ABORTED at once, whatever still runs.
        """
        identifier = answers.execution_id(request)
        force = call.value(_FORCE) == "true"
        await self._obey(identifier, TerminateExecution(request.cause, call.principal, force), call)
        return ExecutionTerminateResponse()

    async def _obey(self, identifier: WorkflowExecutionIdentifier, command: Command, call: CallContext) -> None:
        try:
            await self._shell.dispatch(subjects.key_of(identifier), command, call.cause())
        except Refused as refused:
            if refused.reason is Refusal.ALREADY_TERMINAL:
                raise await self._already_terminal(identifier) from None
            raise answers.missing_execution(identifier) from None

    async def _already_terminal(self, identifier: WorkflowExecutionIdentifier) -> RpcError:
        """FAILED_PRECONDITION with the typed reason that clients inspect (T5)."""
        closure = (await self._stored(identifier)).message.closure
        phase = WorkflowExecution.Phase.Name(closure.phase)
        return failed_precondition(
            f"execution {identifier.name} is already in the terminal phase {phase}",
            EventFailureReason(already_in_terminal_state=EventErrorAlreadyInTerminalState(current_phase=phase)),
        )

    async def _stored(self, identifier: WorkflowExecutionIdentifier) -> StoredExecution:
        stored = await self._reads.execution(subjects.key_of(identifier))
        if stored is None:
            raise answers.missing_execution(identifier)
        return stored


def _in(identifier: NamedEntityIdentifier) -> SqlWhere:
    return of_project(identifier.project, identifier.domain, identifier.name)
