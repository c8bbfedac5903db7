"""Executions that other services ask for: a fact on their stream is the request, a message on ours the answer.

The scheduler names what it asks for after the schedule and the moment, so that asking twice makes one execution
(admin-contract §5.6). An execution remembers the aggregate that it was made for: when this service dies between the
create and the answer, the request comes again, finds it there, and is answered as it would have been. One that was
answered with a refusal is not tried again.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionSpec
from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.message import Message

from flightlog_log import Cause, Log, Recorded, Undecodable
from flightlog_protos.execution.v1.requests_pb2 import (
    ExecutionRequestAnswered,
    ExecutionRequested,
    TerminationRequested,
)
from flightlog_rpc import RpcError
from services.execution import metrics, subjects
from services.execution.engine import Execution, ExecutionPhase, Refusal, Refused, TerminateExecution
from services.execution.reactions import DURABLE
from services.execution.refusals import refusal_of
from services.execution.shell import Shell
from services.execution.side_by_side import side_by_side
from services.execution.starting import Starter
from services.execution.subjects import ExecutionKey

REQUESTS = frozenset(fact.DESCRIPTOR.name for fact in (ExecutionRequested, TerminationRequested))
TERMINATED_BY = "scheduler"
"""The principal of an abort that was asked for by a fact."""

_PHASES: Final = {
    ExecutionPhase.CREATED: WorkflowExecution.UNDEFINED,
    ExecutionPhase.RUNNING: WorkflowExecution.RUNNING,
    ExecutionPhase.FAILING: WorkflowExecution.FAILING,
    ExecutionPhase.ABORTING: WorkflowExecution.ABORTING,
    ExecutionPhase.SUCCEEDED: WorkflowExecution.SUCCEEDED,
    ExecutionPhase.FAILED: WorkflowExecution.FAILED,
    ExecutionPhase.ABORTED: WorkflowExecution.ABORTED,
}

_log = structlog.get_logger(__name__)


class Requests:
    """Creates and terminates what the facts of the scheduler ask for, and answers."""

    def __init__(self, log: Log, shell: Shell, starter: Starter) -> None:
        self._log = log
        self._shell = shell
        self._starter = starter

    async def run(self) -> None:
        """Follows the stream until cancelled."""
        await self._log.consume(subjects.SCHEDULER, DURABLE, self.take, facts=REQUESTS)

    async def take(self, recorded: Recorded) -> None:
        """Does what one envelope asks for, side by side; all answers are on the log when this returns.

        Raises:
            LogUnavailable: to be tried again.
            Undecodable: a request names no execution, so nobody can be answered.
        """
        await side_by_side(partial(self._react, fact, recorded) for fact in recorded.facts)

    async def _react(self, fact: Message, recorded: Recorded) -> None:
        match fact:
            case ExecutionRequested():
                await self._create(fact.request, recorded)
            case TerminationRequested():
                await self._terminate(fact, recorded)
            case _:
                return

    async def _create(self, asked: ExecutionCreateRequest, recorded: Recorded) -> None:
        key = asked.project, asked.domain, asked.name
        if subjects.execution(key) is None:
            raise Undecodable(f"{recorded.subject} asks for an execution that no name can be of: {key}")
        refusal: RpcError | None = None
        # What is there is not checked again: a redelivered request must not be refused for what has changed since.
        execution = await self._shell.state(key)
        if execution is None and await self._is_answered(key, recorded):
            # What was refused stays refused, though there may be room now.
            return
        if execution is None:
            request = ExecutionCreateRequest()
            request.CopyFrom(asked)
            cause = Cause.service("execution", recorded)
            creating = self._starter.create(request, _nobody, cause, requested_by=recorded.subject)
            refusal = await refusal_of(creating, asked.name)
            # One that was refused may be there all the same: somebody else came first.
            execution = await self._shell.state(key)
        answer = _answer(asked, recorded, execution, refusal)
        await self._log.publish(
            subjects.answer(key),
            [answer],
            cause=Cause.service("execution", recorded),
            message_id="/".join((recorded.event_id, *key)),
        )
        metrics.requests_total.labels(ExecutionRequestAnswered.Kind.Name(answer.kind)).inc()
        if refusal is not None:
            _log.warning("request.refused", execution="/".join(key), reason=refusal.message)

    async def _is_answered(self, key: ExecutionKey, recorded: Recorded) -> bool:
        answered = await self._log.last(subjects.answer(key))
        return answered is not None and answered.envelope.causation_id == recorded.event_id

    async def _terminate(self, fact: TerminationRequested, recorded: Recorded) -> None:
        key = subjects.key_of(fact.execution_id)
        command = TerminateExecution(fact.cause, TERMINATED_BY)
        try:
            await self._shell.dispatch(key, command, Cause.service("execution", recorded))
        except Refused as refused:
            if refused.reason not in (Refusal.ALREADY_TERMINAL, Refusal.NOT_FOUND):
                raise
            _log.info("termination.needless", execution="/".join(key), reason=refused.reason.name)


async def _nobody(_: ExecutionSpec) -> str:
    """Scheduled executions belong to no user, as in Flyte (admin-contract §5.6)."""
    return ""


def _answer(
    asked: ExecutionCreateRequest, recorded: Recorded, execution: Execution | None, refusal: RpcError | None
) -> ExecutionRequestAnswered:
    answer = ExecutionRequestAnswered(requested_by=recorded.subject, occurred_at=recorded.envelope.occurred_at)
    answer.execution_id.project, answer.execution_id.domain = asked.project, asked.domain
    answer.execution_id.name = asked.name
    if execution is not None:
        own = execution.created.requested_by == recorded.subject
        answer.kind = ExecutionRequestAnswered.CREATED if own else ExecutionRequestAnswered.EXISTED
        answer.phase = _PHASES[execution.phase]
    elif refusal is not None:
        answer.kind = ExecutionRequestAnswered.REFUSED
        answer.code, answer.message = refusal.code.name, refusal.message
    return answer
