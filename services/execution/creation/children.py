"""What a launch-plan node asks for: the request that its child execution is made from (engine-semantics §5.3)."""

from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionMetadata, ExecutionSpec
from flyteidl.core.literals_pb2 import KeyValuePair, LiteralMap
from google.protobuf.wrappers_pb2 import BoolValue

from flightlog_protos.execution.v1.facts_pb2 import ChildExecutionRequested, ExecutionCreated
from services.execution.creation.limits import without_words

_DEEPEST = 2**32 - 1


def nested_in(parent: ExecutionMetadata) -> int:
    """How deep a child of this execution is nested."""
    return min(parent.nesting + 1, _DEEPEST)


def child_request(
    parent: ExecutionCreated,
    asked: ChildExecutionRequested,
    shown_node_id: str,
    inputs: LiteralMap,
    default_raw_output_prefix: str,
) -> ExecutionCreateRequest:
    """The request. What holds for the parent's run holds for the child's, before its launch plan's own settings.

    Args:
        shown_node_id: the node that clients find the child under: of an element, its array.
        default_raw_output_prefix: where tasks write when nobody says otherwise; a parent that writes there has no say.
    """
    spec = ExecutionSpec(launch_plan=asked.launch_plan)
    metadata = spec.metadata
    metadata.mode = ExecutionMetadata.CHILD_WORKFLOW
    metadata.nesting = nested_in(parent.spec.metadata)
    metadata.parent_node_execution.node_id = shown_node_id
    metadata.parent_node_execution.execution_id.CopyFrom(parent.id)
    config = parent.config
    spec.labels.values.update(without_words(config.labels))
    spec.annotations.values.update(without_words(config.annotations))
    spec.security_context.CopyFrom(parent.spec.security_context)
    spec.max_parallelism = config.max_parallelism
    if config.raw_output_prefix != default_raw_output_prefix:
        spec.raw_output_data_config.output_location_prefix = config.raw_output_prefix
    if config.HasField("interruptible"):
        spec.interruptible.CopyFrom(BoolValue(value=config.interruptible))
    spec.overwrite_cache = config.overwrite_cache
    if config.envs:
        spec.envs.values.extend(KeyValuePair(key=key, value=config.envs[key]) for key in sorted(config.envs))
    if parent.spec.HasField("execution_cluster_label"):
        spec.execution_cluster_label.CopyFrom(parent.spec.execution_cluster_label)
    child = asked.execution_id
    return ExecutionCreateRequest(project=child.project, domain=child.domain, name=child.name, spec=spec, inputs=inputs)
