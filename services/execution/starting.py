"""How executions begin, whoever asks for them: all is resolved, then one fact is appended (admin-contract §4)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionSpec
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobError, BlobStore
from flightlog_log import Cause
from flightlog_protos.execution.v1.facts_pb2 import (
    ConcurrencyLimit,
    ExecutionCreated,
    ParentAttempt,
    RecoveryPlan,
    ResolvedConfig,
)
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_rpc import RpcError, already_exists, failed_precondition
from flightlog_types.addresses import addresses
from services.execution import metrics, subjects
from services.execution.admission.admission import Admission
from services.execution.creation.attributes import Said, check_cluster_pool, said_about
from services.execution.creation.created import Launchable, Places, execution_created
from services.execution.creation.inputs import resolve_inputs
from services.execution.creation.limits import own_limits, refuses, resolve_limits
from services.execution.creation.names import new_execution_name
from services.execution.creation.requests import check_place, check_request, given_inputs
from services.execution.engine import ProgramError, Refused
from services.execution.lookup import KnownProject, Lookup
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell

Owner = Callable[[ExecutionSpec], Awaitable[str]]


class Starter:
    """Makes executions, for clients and for launch-plan nodes."""

    def __init__(
        self, shell: Shell, lookup: Lookup, admission: Admission, blobs: BlobStore, settings: ExecutionSettings
    ) -> None:
        self._shell = shell
        self._lookup = lookup
        self._admission = admission
        self._blobs = blobs
        self._limits = settings.limits
        self.places = Places(
            metadata_root=blobs.uri(settings.metadata_prefix),
            raw_output_prefix=blobs.uri(settings.raw_output_prefix),
            max_parallelism=settings.max_parallelism,
        )

    async def create(
        self,
        request: ExecutionCreateRequest,
        owner: Owner,
        cause: Cause,
        *,
        parent: ParentAttempt | None = None,
        recovers: RecoveryPlan | None = None,
        within: Sequence[ConcurrencyLimit] | None = None,
        config: ResolvedConfig | None = None,
        requested_by: str = "",
    ) -> WorkflowExecutionIdentifier:
        """Makes an execution and returns its id as soon as its first fact is durable; the run starts by itself.

        Args:
            request: is completed in place.
            owner: says whose execution it is, and may complete its spec; asked once the request is known to be right.
            parent: the launch-plan node that waits for its end.
            recovers: what it may reuse of another execution, if that is one of the same workflow.
            within: of a child: the limits of its parent, in whose places it runs.
            config: of a child: that of its parent.
            requested_by: subject of the aggregate, a schedule say, that is told how it ends.

        Raises:
            InvalidArgument: the request is wrong in itself.
            RpcError: NOT_FOUND, INVALID_ARGUMENT, ALREADY_EXISTS or FAILED_PRECONDITION, in Flyte's words.
            LogUnavailable: it is not known whether it was made. Asking again, with the same name, is safe.
            BlobError: the object store cannot be reached.
        """
        check_place(request)
        known = await self._lookup.project(request.project, request.domain)
        check_request(request)
        launchable = await self._lookup.launchable(request.spec.launch_plan)
        given = given_inputs(request)
        inputs = resolve_inputs(given, launchable.expected_inputs, launchable.fixed_inputs)
        principal = await owner(request.spec)
        identifier = WorkflowExecutionIdentifier(
            project=request.project, domain=request.domain, name=request.name or new_execution_name()
        )
        said = await self._said(identifier, launchable, known)
        check_cluster_pool(identifier, request.spec, said)
        limits = resolve_limits(identifier, request.spec, launchable.spec, self._limits, within)
        inputs_ref, user_inputs_ref = await self._write(identifier, inputs, given)
        created = execution_created(
            identifier,
            request.spec,
            launchable,
            dict(known.project.labels.values),
            self.places,
            inputs=inputs_ref,
            user_inputs=user_inputs_ref,
            principal=principal,
            now=_now(),
            parent=parent,
            parent_config=config,
            said=said,
        )
        created.limits.extend(limits)
        created.requested_by = requested_by
        created.addresses.extend(addresses(inputs))
        if recovers is not None and recovers.closure == launchable.closure.sha256:
            plan = recovers.SerializeToString(deterministic=True)
            created.recovery.CopyFrom(await self._blobs.put_content(_folder(identifier), plan))
        if refuses(own_limits(limits)):
            await self._append_in_place(created, inputs, cause)
        else:
            await self._append(created, inputs, cause)
        metrics.created_total.inc()
        return identifier

    async def _said(self, identifier: WorkflowExecutionIdentifier, launchable: Launchable, known: KnownProject) -> Said:
        """What attributes say. A workflow of another project has some there."""
        workflow_id = launchable.workflow_id
        elsewhere = workflow_id.project != identifier.project
        of_workflow = await self._lookup.attributes(workflow_id.project) if elsewhere else known.attributes
        return said_about(identifier, workflow_id, known.attributes, of_workflow)

    async def _append_in_place(self, created: ExecutionCreated, inputs: LiteralMap, cause: Cause) -> None:
        """Takes a place and makes the execution, or gives the place back; when this dies between, an alarm does."""
        key = subjects.key_of(created.id)
        if await self._shell.state(key) is not None:
            raise _exists(created)
        await self._admission.take(key, created.limits, cause)
        try:
            await self._append(created, inputs, cause)
        except (RpcError, BlobError):
            await self._admission.give_back(key, cause)
            raise

    async def _append(self, created: ExecutionCreated, inputs: LiteralMap, cause: Cause) -> None:
        try:
            await self._shell.create(created, inputs, cause)
        except Refused:
            raise _exists(created) from None
        except ProgramError as error:
            raise failed_precondition(f"workflow {created.workflow_id.name} cannot be run: {error}") from error

    async def _write(
        self, identifier: WorkflowExecutionIdentifier, inputs: LiteralMap, given: LiteralMap
    ) -> tuple[DataRef, DataRef]:
        """Writes both maps under names made of their content: a refused second create must not change the first's."""
        folder = _folder(identifier)
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


def _exists(created: ExecutionCreated) -> RpcError:
    key = "/".join(subjects.key_of(created.id))
    return already_exists(f"value with matching already exists (execution {key})")


def _folder(identifier: WorkflowExecutionIdentifier) -> str:
    return f"metadata/{identifier.project}/{identifier.domain}/{identifier.name}"


def _now() -> Timestamp:
    now = Timestamp()
    now.FromDatetime(datetime.now(UTC))
    return now
