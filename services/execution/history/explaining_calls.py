"""ExplainWaiting: what is behind an execution's phase, from the tables and the log."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from flyteidl.admin.execution_pb2 import Execution
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.task_execution_pb2 import TaskExecution

from flightlog_log import Log, Subject
from flightlog_protos.execution.v1.queue_service_pb2 import Wait
from flightlog_protos.history.v1.explanation_pb2 import ExplainWaitingRequest, ExplainWaitingResponse
from flightlog_read import Page, parse_filters, parse_sort
from flightlog_rpc import CallContext
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.words import waiting_for
from services.execution.api import answers
from services.execution.history.causes import Causes
from services.execution.history.explaining import Explanations
from services.execution.projection.entities import NODE_EXECUTION, TASK_EXECUTION
from services.execution.projection.queries import Reads
from services.execution.shell import Shell
from services.execution.subjects import ExecutionKey
from services.execution.waits import waits

_PAGE: Final = 100
_FAILED: Final = parse_filters("value_in(phase,FAILED;TIMED_OUT)", NODE_EXECUTION)
_ALL: Final = parse_filters("", TASK_EXECUTION)

_Row = TypeVar("_Row")


class ExplainingCalls:
    """The call about what is behind an execution's phase."""

    def __init__(self, log: Log, shell: Shell, reads: Reads, admission: Admission) -> None:
        self._explanations = Explanations(_Stored(log, shell, reads, admission))

    async def explain(self, request: ExplainWaitingRequest, call: CallContext) -> ExplainWaitingResponse:
        """ExplainWaiting: as it is now.

        Raises:
            RpcError: INVALID_ARGUMENT without a whole id; NOT_FOUND when there is no such execution.
            LogUnavailable, StaleRead: log or tables cannot be read.
        """
        identifier = answers.execution_id(request)
        explanation = await self._explanations.of(subjects.key_of(identifier))
        if explanation is None:
            raise answers.missing_execution(identifier)
        return ExplainWaitingResponse(explanation=explanation)


class _Stored:
    """What tables and log know of executions."""

    def __init__(self, log: Log, shell: Shell, reads: Reads, admission: Admission) -> None:
        self._log = log
        self._shell = shell
        self._reads = reads
        self._admission = admission

    async def execution(self, key: ExecutionKey) -> Execution | None:
        stored = await self._reads.execution(key)
        return None if stored is None else stored.message

    async def place(self, key: ExecutionKey) -> str:
        project, domain, name = key
        return waiting_for(await self._admission.look(project, domain), name)

    async def failed_nodes(self, key: ExecutionKey, parent: str) -> list[NodeExecution]:
        order = parse_sort(None, NODE_EXECUTION)
        return await _all(lambda page: self._reads.nodes(key, parent, _FAILED, order, page))

    async def attempts(self, key: ExecutionKey, node_id: str) -> list[TaskExecution]:
        order = parse_sort(None, TASK_EXECUTION)
        found = await _all(lambda page: self._reads.tasks(key, node_id, _ALL, order, page))
        return sorted(found, key=lambda task: task.id.retry_attempt)

    async def waits(self, key: ExecutionKey) -> list[Wait]:
        state = await self._shell.state(key)
        return [] if state is None or state.phase.terminal else list(waits(state, datetime.now(UTC)))

    async def causes(self, key: ExecutionKey) -> Causes:
        subject = subjects.execution(key)
        if subject is None:
            return Causes()
        seen = await self._log.load(Subject.of(subjects.LAUNCHER, *subject.parts))
        return Causes.of(await self._log.load(subject), seen)


async def _all(read: Callable[[Page], Awaitable[list[_Row]]]) -> list[_Row]:
    """All rows, a page at a time: a task execution carries all elements of its array."""
    found: list[_Row] = []
    while True:
        page = await read(Page(_PAGE, len(found)))
        found += page
        if len(page) < _PAGE:
            return found
