"""The first fact of an execution, complete: later decisions look nothing up (engine-semantics §10.1)."""

from dataclasses import dataclass

from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier, WorkflowExecutionIdentifier
from flyteidl.core.interface_pb2 import ParameterMap, VariableMap
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated, ParentAttempt, ResolvedConfig
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.creation.attributes import NOTHING, Said
from services.execution.creation.config import resolve_config, resolve_notifications, resolve_security_context


@dataclass(frozen=True, slots=True)
class Launchable:
    """What can be run: a launch plan, or a single task seen as one (admin-contract §4.7)."""

    spec: LaunchPlanSpec
    workflow_id: Identifier
    closure: DataRef
    expected_inputs: ParameterMap
    fixed_inputs: LiteralMap
    expected_outputs: VariableMap


@dataclass(frozen=True, slots=True)
class Places:
    """Where executions keep their data, and what holds when nobody says otherwise."""

    metadata_root: str
    raw_output_prefix: str
    max_parallelism: int


def execution_created(
    execution_id: WorkflowExecutionIdentifier,
    spec: ExecutionSpec,
    launchable: Launchable,
    project_labels: dict[str, str],
    places: Places,
    *,
    inputs: DataRef,
    user_inputs: DataRef,
    principal: str,
    now: Timestamp,
    parent: ParentAttempt | None = None,
    parent_config: ResolvedConfig | None = None,
    said: Said = NOTHING,
) -> ExecutionCreated:
    """The fact. `spec` is the request's, and is completed in place of being copied.

    Args:
        parent: the launch-plan node that waits for the end of this execution.
        parent_config: what holds for the execution of that node.
        said: what attributes say about the execution.
    """
    config = resolve_config(
        spec,
        launchable.spec,
        project_labels,
        execution_id=execution_id,
        metadata_root=places.metadata_root,
        raw_output_prefix=places.raw_output_prefix,
        max_parallelism=places.max_parallelism,
        parent=parent_config,
        said=said,
    )
    security_context = resolve_security_context(spec, launchable.spec, said.configs)
    config_notifications = resolve_notifications(spec, launchable.spec)
    _complete(spec, execution_id, principal)
    if spec.launch_plan.resource_type == LAUNCH_PLAN:
        spec.max_parallelism = config.max_parallelism
    created = ExecutionCreated(
        id=execution_id,
        spec=spec,
        workflow_id=launchable.workflow_id,
        closure=launchable.closure,
        inputs=inputs,
        user_inputs=user_inputs,
        notifications=config_notifications,
        config=config,
        created_at=now,
        parent=parent,
    )
    created.spec.security_context.CopyFrom(security_context)
    return created


def _complete(spec: ExecutionSpec, execution_id: WorkflowExecutionIdentifier, principal: str) -> None:
    metadata = spec.metadata
    # A client's word on who runs it ("placeholder", "sdk") is not taken for the authenticated user (T54).
    metadata.principal = principal
    del metadata.artifact_ids[:]
    metadata.system_metadata.namespace = f"{execution_id.project}-{execution_id.domain}"
