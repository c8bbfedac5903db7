"""Launch-plan nodes as effects: their child executions are created and terminated here, and their ends reported.

Whatever dies in between, each step can be taken again: a child's name follows from its parent, and a child knows the
attempt that it was made for.
"""

from typing import Final

from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionMetadata, ExecutionSpec
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_blobs import BlobError, BlobStore
from flightlog_log import Cause, LogUnavailable
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import subjects
from services.execution.creation.children import child_request
from services.execution.engine import (
    Execution,
    ExecutionPhase,
    NodeState,
    ObserveChild,
    Refusal,
    Refused,
    TerminateExecution,
)
from services.execution.refusals import refusal_of
from services.execution.shell import Shell
from services.execution.starting import Starter
from services.execution.subjects import ExecutionKey

NOT_CREATED: Final = "RuntimeExecutionError"
End = facts.ExecutionSucceeded | facts.ExecutionFailed | facts.ExecutionAborted


class Children:
    """What is done about the child executions of launch-plan nodes. Raises as `Shell.dispatch`."""

    def __init__(self, shell: Shell, starter: Starter, blobs: BlobStore) -> None:
        self._shell = shell
        self._starter = starter
        self._blobs = blobs

    async def requested(self, key: ExecutionKey, asked: facts.ChildExecutionRequested, cause: Cause) -> None:
        """Creates a child, or lets the node fail where it cannot be created."""
        parent = await self._shell.state(key)
        node = _waiting(parent, asked)
        if parent is None or node is None:
            return
        refusal = await self._create(parent, node, asked, cause)
        if refusal:
            error = ExecutionError(code=NOT_CREATED, message=refusal, kind=ExecutionError.USER)
            failed = ObserveChild(asked.node_id, asked.attempt, WorkflowExecution.FAILED, error=error)
            await self._shell.dispatch(key, failed, cause)
            return
        # Another process may have taken in, just before the child was there, that it is to be terminated.
        now = await self._shell.state(key)
        if now is not None and _waiting(now, asked) is None:
            await self._terminate(now, asked, "", cause)

    async def aborting(self, key: ExecutionKey, fact: facts.ChildExecutionAborting, cause: Cause) -> None:
        """Terminates a child; its end is reported like any other. One that never was has ended at once."""
        parent = await self._shell.state(key)
        if parent is not None and not await self._terminate(parent, fact, fact.reason, cause):
            gone = ObserveChild(fact.node_id, fact.attempt, WorkflowExecution.ABORTED)
            await self._shell.dispatch(key, gone, cause)

    async def ended(self, end: End, cause: Cause) -> None:
        """Tells the launch-plan node that waits for this execution, if one does, how it ended."""
        if not end.HasField("parent"):
            return
        parent = end.parent
        node_id, attempt = parent.node.node_id, parent.attempt
        match end:
            case facts.ExecutionSucceeded():
                observed = ObserveChild(node_id, attempt, WorkflowExecution.SUCCEEDED, outputs=end.outputs)
            case facts.ExecutionFailed():
                observed = ObserveChild(node_id, attempt, WorkflowExecution.FAILED, error=end.error)
            case _:
                observed = ObserveChild(node_id, attempt, WorkflowExecution.ABORTED)
        await self._shell.dispatch(subjects.key_of(parent.node.execution_id), observed, cause)

    async def _create(
        self, parent: Execution, node: NodeState, asked: facts.ChildExecutionRequested, cause: Cause
    ) -> str:
        """Creates the child unless it is there. Returns why it cannot be, "" when it is there."""
        awaited_by = _awaited_by(parent, asked)
        existing = await self._shell.state(subjects.key_of(asked.execution_id))
        if existing is not None:
            return "" if existing.created.parent == awaited_by else _taken(asked)
        try:
            inputs = await self._blobs.get_or_none(asked.inputs.uri)
        except BlobError as error:
            raise LogUnavailable(f"inputs of {asked.execution_id.name}: {error}") from error
        if inputs is None:
            return f"the inputs [{asked.inputs.uri}] cannot be read: they do not exist"
        shown = node.node_id if node.element is None else node.parent_id
        created = parent.created
        request = child_request(
            created, asked, shown, LiteralMap.FromString(inputs), self._starter.places.raw_output_prefix
        )

        async def owner(_: ExecutionSpec) -> str:
            return created.spec.metadata.principal

        recovers = await self._recovers(request, asked)
        creating = self._starter.create(
            request,
            owner,
            cause,
            parent=awaited_by,
            recovers=recovers,
            within=created.limits,
            config=created.config,
        )
        refusal = await refusal_of(creating, asked.execution_id.name)
        if refusal is None:
            return ""
        existing = await self._shell.state(subjects.key_of(asked.execution_id))
        # Another process may have created it meanwhile.
        if existing is not None and existing.created.parent == awaited_by:
            return ""
        return refusal.message

    async def _recovers(
        self, request: ExecutionCreateRequest, asked: facts.ChildExecutionRequested
    ) -> facts.RecoveryPlan | None:
        """What the child may reuse of the one that it is to recover; the request then says that it does."""
        if not asked.HasField("recovers"):
            return None
        plan = await self._shell.recovery_plan(subjects.key_of(asked.recovers))
        if plan is not None:
            request.spec.metadata.mode = ExecutionMetadata.RECOVERED
            request.spec.metadata.reference_execution.CopyFrom(asked.recovers)
        return plan

    async def _terminate(
        self,
        parent: Execution,
        about: facts.ChildExecutionRequested | facts.ChildExecutionAborting,
        reason: str,
        cause: Cause,
    ) -> bool:
        """Terminates the child of an attempt; False when that has none."""
        key = subjects.key_of(about.execution_id)
        child = await self._shell.state(key)
        if child is None or child.created.parent != _awaited_by(parent, about):
            return False
        if child.phase.terminal or child.phase == ExecutionPhase.ABORTING:
            return True
        why = f"cascading abort as parent execution id [{parent.created.id.name}] aborted, reason [{reason}]"
        try:
            await self._shell.dispatch(key, TerminateExecution(why, parent.created.spec.metadata.principal), cause)
        except Refused as refused:
            if refused.reason not in (Refusal.ALREADY_TERMINAL, Refusal.NOT_FOUND):
                raise
        return True


def _awaited_by(
    parent: Execution, about: facts.ChildExecutionRequested | facts.ChildExecutionAborting
) -> facts.ParentAttempt:
    node = NodeExecutionIdentifier(node_id=about.node_id, execution_id=parent.created.id)
    return facts.ParentAttempt(node=node, attempt=about.attempt)


def _waiting(parent: Execution | None, asked: facts.ChildExecutionRequested) -> NodeState | None:
    """The node that waits for this child; None when it has stopped waiting."""
    node = parent.nodes.get(asked.node_id) if parent is not None else None
    attempt = node.live_attempt if node is not None else None
    if attempt is None or attempt.number != asked.attempt or attempt.stopping:
        return None
    return node


def _taken(asked: facts.ChildExecutionRequested) -> str:
    return f"an execution [{asked.execution_id.name}] exists already that this node has not asked for"
