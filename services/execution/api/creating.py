"""CreateExecution and RelaunchExecution: everything is resolved here, then one fact is appended (admin-contract §4)."""

import asyncio
from datetime import UTC, datetime

from flyteidl.admin.execution_pb2 import (
    ExecutionCreateRequest,
    ExecutionCreateResponse,
    ExecutionMetadata,
    ExecutionRelaunchRequest,
    ExecutionSpec,
)
from flyteidl.admin.launch_plan_pb2 import CONCURRENCY_LIMIT_BEHAVIOR_SKIP, ConcurrencyPolicy
from flyteidl.core.identifier_pb2 import Identifier, WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobStore
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_rpc import CallContext, already_exists, failed_precondition
from services.execution import metrics, subjects
from services.execution.api import answers
from services.execution.creation.created import Places, execution_created
from services.execution.creation.inputs import resolve_inputs
from services.execution.creation.names import new_execution_name
from services.execution.creation.requests import check_place, check_request, given_inputs
from services.execution.engine import ProgramError, Refused
from services.execution.lookup import Lookup
from services.execution.projection.queries import Reads
from services.execution.shell import Shell

_DEEPEST = 2**32 - 1


class Creating:
    """The calls that make executions."""

    def __init__(self, shell: Shell, lookup: Lookup, reads: Reads, blobs: BlobStore, places: Places) -> None:
        self._shell = shell
        self._lookup = lookup
        self._reads = reads
        self._blobs = blobs
        self._places = places

    async def create(self, request: ExecutionCreateRequest, call: CallContext) -> ExecutionCreateResponse:
        """CreateExecution. Answers as soon as the first fact is durable; the run starts by itself."""
        with self._shell.answering_create():
            return await self._create(request, call)

    async def _create(self, request: ExecutionCreateRequest, call: CallContext) -> ExecutionCreateResponse:
        check_place(request)
        project = await self._lookup.project(request.project, request.domain)
        check_request(request)
        launchable = await self._lookup.launchable(request.spec.launch_plan)
        given = given_inputs(request)
        inputs = resolve_inputs(given, launchable.expected_inputs, launchable.fixed_inputs)
        spec = request.spec
        principal = await self._inherit(spec, call.principal)
        await self._require_room(launchable.spec.concurrency_policy, spec.launch_plan)
        identifier = WorkflowExecutionIdentifier(
            project=request.project, domain=request.domain, name=request.name or new_execution_name()
        )
        inputs_ref, user_inputs_ref = await self._write(identifier, inputs, given)
        created = execution_created(
            identifier,
            spec,
            launchable,
            dict(project.labels.values),
            self._places,
            inputs=inputs_ref,
            user_inputs=user_inputs_ref,
            principal=principal,
            now=_now(),
        )
        try:
            await self._shell.create(created, inputs, call.cause())
        except Refused:
            raise already_exists(
                f"value with matching already exists (execution {'/'.join(subjects.key_of(identifier))})"
            ) from None
        except ProgramError as error:
            raise failed_precondition(f"workflow {launchable.workflow_id.name} cannot be run: {error}") from error
        metrics.created_total.inc()
        return ExecutionCreateResponse(id=identifier)

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
        metadata.nesting = min(inherited.metadata.nesting + 1, _DEEPEST)
        if inherited.HasField("execution_cluster_label"):
            spec.execution_cluster_label.CopyFrom(inherited.execution_cluster_label)
        return inherited.metadata.principal

    async def _require_room(self, policy: ConcurrencyPolicy, launch_plan: Identifier) -> None:
        """A launch plan may limit how many of its executions run at once (admin-contract §4.7).

        Raises:
            RpcError: ALREADY_EXISTS when there are as many, as Flyte answers.
        """
        if policy.behavior != CONCURRENCY_LIMIT_BEHAVIOR_SKIP:
            return
        if await self._reads.active_of_launch_plan(launch_plan) >= policy.max:
            raise already_exists(
                f"concurrency limit ({policy.max}) reached for launch plan {launch_plan.name}; skipping execution"
            )

    async def _write(
        self, identifier: WorkflowExecutionIdentifier, inputs: LiteralMap, given: LiteralMap
    ) -> tuple[DataRef, DataRef]:
        """Writes both maps under names made of their content: a refused second create must not change the first's."""
        folder = f"metadata/{identifier.project}/{identifier.domain}/{identifier.name}"
        inputs_data = inputs.SerializeToString(deterministic=True)
        given_data = given.SerializeToString(deterministic=True)
        if inputs_data == given_data:
            reference = await self._blobs.put_content(folder, inputs_data)
            return reference, reference
        inputs_ref, given_ref = await asyncio.gather(
            self._blobs.put_content(folder, inputs_data),
            self._blobs.put_content(folder, given_data),
        )
        return inputs_ref, given_ref


def _now() -> Timestamp:
    now = Timestamp()
    now.FromDatetime(datetime.now(UTC))
    return now
