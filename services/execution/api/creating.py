"""CreateExecution, RelaunchExecution and RecoverExecution (admin-contract §4)."""

from functools import partial

from flyteidl.admin.execution_pb2 import (
    ExecutionCreateRequest,
    ExecutionCreateResponse,
    ExecutionMetadata,
    ExecutionRecoverRequest,
    ExecutionRelaunchRequest,
    ExecutionSpec,
)
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_blobs import BlobStore
from flightlog_protos.execution.v1.facts_pb2 import RecoveryPlan
from flightlog_rpc import CallContext
from services.execution import subjects
from services.execution.api import answers
from services.execution.creation.children import nested_in
from services.execution.projection.queries import Reads
from services.execution.shell import Shell
from services.execution.starting import Starter


class Creating:
    """The calls that make executions."""

    def __init__(self, shell: Shell, starter: Starter, reads: Reads, blobs: BlobStore) -> None:
        self._shell = shell
        self._starter = starter
        self._reads = reads
        self._blobs = blobs

    async def create(self, request: ExecutionCreateRequest, call: CallContext) -> ExecutionCreateResponse:
        """CreateExecution. Answers as soon as the first fact is durable; the run starts by itself.

        One of mode RECOVERED recovers its reference execution, if there is one of this name.
        """
        with self._shell.answering_create():
            metadata = request.spec.metadata
            recovers: RecoveryPlan | None = None
            if metadata.mode == ExecutionMetadata.RECOVERED and metadata.HasField("reference_execution"):
                recovers = await self._shell.recovery_plan(subjects.key_of(metadata.reference_execution))
            owner = partial(self._inherit, principal=call.principal)
            identifier = await self._starter.create(request, owner, call.cause(), recovers=recovers)
            return ExecutionCreateResponse(id=identifier)

    async def relaunch(self, request: ExecutionRelaunchRequest, call: CallContext) -> ExecutionCreateResponse:
        """RelaunchExecution: the same spec and user inputs again (admin-contract §4.7)."""
        again = await self._again(answers.execution_id(request), request.name, ExecutionMetadata.RELAUNCH)
        again.spec.overwrite_cache = request.overwrite_cache
        return await self.create(again, call)

    async def recover(self, request: ExecutionRecoverRequest, call: CallContext) -> ExecutionCreateResponse:
        """RecoverExecution: the same once more, but nothing runs again that has succeeded there already.

        The phase of that execution does not matter (engine-semantics §5.8).
        """
        again = await self._again(answers.execution_id(request), request.name, ExecutionMetadata.RECOVERED)
        if request.HasField("metadata"):
            parent = request.metadata.parent_node_execution
            again.spec.metadata.ClearField("parent_node_execution")
            if request.metadata.HasField("parent_node_execution"):
                again.spec.metadata.parent_node_execution.CopyFrom(parent)
        return await self.create(again, call)

    async def _again(
        self, identifier: WorkflowExecutionIdentifier, name: str, mode: ExecutionMetadata.ExecutionMode
    ) -> ExecutionCreateRequest:
        """The request that an execution was made by, as far as it is known, for another one of its kind."""
        stored = await self._reads.execution(subjects.key_of(identifier))
        if stored is None:
            raise answers.missing_execution(identifier)
        spec = ExecutionSpec()
        spec.CopyFrom(stored.message.spec)
        spec.metadata.mode = mode
        spec.metadata.reference_execution.CopyFrom(stored.message.id)
        source = await self._shell.state(subjects.key_of(identifier))
        if (
            source is not None
            and not source.created.config.HasField("parallelism_root")
            and spec.max_parallelism == self._starter.places.max_parallelism
        ):
            # Nobody asked for it: it is what the server set.
            spec.max_parallelism = 0
        inputs = LiteralMap()
        if stored.user_inputs_uri:
            inputs.ParseFromString(await self._blobs.get_or_none(stored.user_inputs_uri) or b"")
        return ExecutionCreateRequest(
            project=identifier.project, domain=identifier.domain, name=name, spec=spec, inputs=inputs
        )

    async def _inherit(self, spec: ExecutionSpec, principal: str) -> str:
        """A child execution belongs to its parent's user and is nested one deeper (admin-contract §4.6 step 7)."""
        metadata = spec.metadata
        if not metadata.HasField("parent_node_execution"):
            return principal
        parent = metadata.parent_node_execution
        node = await self._reads.node(subjects.key_of(parent.execution_id), parent.node_id)
        if node is None:
            raise answers.missing_node(parent)
        execution = await self._reads.execution(subjects.key_of(parent.execution_id))
        if execution is None:
            raise answers.missing_execution(parent.execution_id)
        inherited = execution.message.spec
        metadata.nesting = nested_in(inherited.metadata)
        if inherited.HasField("execution_cluster_label"):
            spec.execution_cluster_label.CopyFrom(inherited.execution_cluster_label)
        return inherited.metadata.principal
