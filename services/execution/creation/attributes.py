"""What matchable attributes say about an execution: of its project and domain, and of its workflow. Pure.

Which row holds is `flightlog_types.matchable`'s concern (admin-contract §4.5, §5.1).
"""

from dataclasses import dataclass
from typing import Final

from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.matchable_resource_pb2 import (
    CLUSTER_ASSIGNMENT,
    QUALITY_OF_SERVICE_SPECIFICATION,
    TASK_RESOURCE,
    WORKFLOW_EXECUTION_CONFIG,
    MatchingAttributes,
    TaskResourceAttributes,
    WorkflowExecutionConfig,
)
from flyteidl.core.execution_pb2 import QualityOfService
from flyteidl.core.identifier_pb2 import Identifier, WorkflowExecutionIdentifier

from flightlog_types.invalid import InvalidArgument
from flightlog_types.matchable import Attributes, Place, most_specific


@dataclass(frozen=True, slots=True)
class Said:
    """What attributes say. Empty where nothing is set."""

    configs: tuple[WorkflowExecutionConfig, ...] = ()
    """The one of the most specific place, then the project's: each field is the first's that sets it."""
    task_resources: TaskResourceAttributes | None = None
    quality_of_service: QualityOfService | None = None
    cluster_pool: str = ""


NOTHING: Final = Said()


def said_about(
    execution_id: WorkflowExecutionIdentifier, workflow_id: Identifier, own: Attributes, of_workflow: Attributes
) -> Said:
    """What attributes say about an execution of a workflow.

    Flyte looks for task resources and quality of service where the workflow is registered, for all else where the
    execution runs.

    Args:
        own: what is set in the project of the execution.
        of_workflow: what is set in the project of the workflow.
    """
    if not own and not of_workflow:
        return NOTHING
    here = Place(execution_id.domain, workflow_id.name)
    registered = Place(workflow_id.domain, workflow_id.name)
    resources = _found(of_workflow, TASK_RESOURCE, registered)
    quality = _found(of_workflow, QUALITY_OF_SERVICE_SPECIFICATION, registered)
    pool = _found(own, CLUSTER_ASSIGNMENT, Place(execution_id.domain))
    return Said(
        configs=_configs(own, here),
        task_resources=None if resources is None else resources.task_resource_attributes,
        quality_of_service=None if quality is None else quality.quality_of_service,
        cluster_pool="" if pool is None else pool.cluster_assignment.cluster_pool_name,
    )


def check_cluster_pool(execution_id: WorkflowExecutionIdentifier, spec: ExecutionSpec, said: Said) -> None:
    """An execution may name no other pool of clusters than its domain has.

    Raises:
        InvalidArgument: it does.
    """
    asked = spec.cluster_assignment.cluster_pool_name
    if asked and said.cluster_pool and asked != said.cluster_pool:
        raise InvalidArgument(
            f'execution with project "{execution_id.project}" and domain "{execution_id.domain}" cannot run on cluster '
            f'pool "{asked}", because its configured to run on pool "{said.cluster_pool}"'
        )


def default_quality(spec: ExecutionSpec, launch_plan: LaunchPlanSpec, said: Said) -> QualityOfService | None:
    """The quality of service where nobody asked for one. A tier that was asked for is an answer too."""
    if any(source.quality_of_service.WhichOneof("designation") for source in (spec, launch_plan)):
        return None
    return said.quality_of_service


def _configs(attributes: Attributes, place: Place) -> tuple[WorkflowExecutionConfig, ...]:
    rows = [most_specific(attributes, WORKFLOW_EXECUTION_CONFIG, one) for one in (place, Place())]
    return tuple(row.attributes.workflow_execution_config for row in rows if row is not None)


def _found(attributes: Attributes, resource_type: int, place: Place) -> MatchingAttributes | None:
    row = most_specific(attributes, resource_type, place)
    return None if row is None else row.attributes
