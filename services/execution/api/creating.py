"""CreateExecution and RelaunchExecution (admin-contract §4)."""

from functools import partial

from flyteidl.admin.execution_pb2 import (
    ExecutionCreateRequest,
    ExecutionCreateResponse,
    ExecutionMetadata,
    ExecutionRelaunchRequest,
    ExecutionSpec,
)
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_blobs import BlobStore
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
        """CreateExecution. Answers as soon as the first fact is durable; the run starts by itself."""
        with self._shell.answering_create():
            owner = partial(self._inherit, principal=call.principal)
            return ExecutionCreateResponse(id=await self._starter.create(request, owner, call.cause()))

    async def relaunch(self, request: ExecutionRelaunchRequest, call: CallContext) -> ExecutionCreateResponse:
        """RelaunchExecution: the same spec and user inputs again (admin-contract §4.7)."""
        identifier = answers.execution_id(request)
        stored = await self._reads.execution(subjects.key_of(identifier))
        if stored is None:
            raise answers.missing_execution(identifier)
        spec = ExecutionSpec()
        spec.CopyFrom(stored.message.spec)
        spec.metadata.mode = ExecutionMetadata.RELAUNCH
        spec.metadata.reference_execution.CopyFrom(stored.message.id)
        spec.overwrite_cache = request.overwrite_cache
        inputs = LiteralMap()
        if stored.user_inputs_uri:
            inputs.ParseFromString(await self._blobs.get_or_none(stored.user_inputs_uri) or b"")
        again = ExecutionCreateRequest(
            project=identifier.project, domain=identifier.domain, name=request.name, spec=spec, inputs=inputs
        )
        return await self.create(again, call)

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
