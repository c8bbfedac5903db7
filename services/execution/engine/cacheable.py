"""Which nodes' results are cached, and as whose: what the compiled workflow says of it (engine-semantics §2.9, §4).

Of tasks their templates say so, and a node may say otherwise. For a workflow or a launch plan there is only the node
that runs it; Flyte leaves unread what such a node says.
"""

from dataclasses import dataclass, field

from flyteidl.core.compiler_pb2 import CompiledLaunchPlan
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, TASK, WORKFLOW, Identifier, ResourceType
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import LiteralType
from flyteidl.core.workflow_pb2 import NodeMetadata, WorkflowTemplate

from flightlog_types.casting import castable
from flightlog_types.literals import literal_type_of


@dataclass(frozen=True, slots=True)
class Cache:
    """How the results of a node are cached."""

    # Whose results they are: a task, a workflow or a launch plan.
    entity: Identifier
    interface: TypedInterface
    version: str
    # Nodes with the same inputs run one at a time.
    serializes: bool
    # Inputs that results do not depend on.
    ignored: frozenset[str] = frozenset()
    # Inputs that the results depend on and the node need not give: what a launch plan itself gives.
    given: LiteralMap = field(default_factory=LiteralMap)

    def gives(self, outputs: LiteralMap, *, of_element: bool) -> bool:
        """Whether outputs may be this node's: all that it declares, nothing else, and of types that it declares.

        Clients put results under any key, of any kind (engine-semantics §4.7).

        Args:
            of_element: they are of one element; a task that was registered as a map declares lists of these.
        """
        declared = self.interface.outputs.variables
        return outputs.literals.keys() == declared.keys() and all(
            _is_of(literal_type_of(literal), declared[name].type, of_element)
            for name, literal in outputs.literals.items()
        )


def of_task(node: NodeMetadata, template: TaskTemplate) -> Cache | None:
    """What the task says of caching, as far as the node says nothing else."""
    task = template.metadata
    cacheable = node.cacheable if node.HasField("cacheable") else task.discoverable
    if not cacheable:
        return None
    return _cache(
        _identifier(template.id, TASK),
        template.interface,
        node.cache_version if node.HasField("cache_version") else task.discovery_version,
        node.cache_serializable if node.HasField("cache_serializable") else task.cache_serializable,
        ignored=frozenset(task.cache_ignore_input_vars),
    )


def of_workflow(node: NodeMetadata, template: WorkflowTemplate | None) -> Cache | None:
    """What a node says of caching that runs a sub-workflow."""
    if template is None or not node.cacheable:
        return None
    entity = _identifier(template.id, WORKFLOW)
    return _cache(entity, template.interface, node.cache_version, node.cache_serializable)


def of_launch_plan(node: NodeMetadata, compiled: CompiledLaunchPlan | None) -> Cache | None:
    """What a node says of caching that runs a launch plan. A closure of an earlier release lacks what is needed."""
    if compiled is None or not node.cacheable:
        return None
    template = compiled.template
    return _cache(
        _identifier(template.id, LAUNCH_PLAN),
        template.interface,
        node.cache_version,
        node.cache_serializable,
        given=template.fixed_inputs,
    )


def _cache(
    entity: Identifier,
    interface: TypedInterface,
    version: str,
    serializes: bool,
    *,
    ignored: frozenset[str] = frozenset(),
    given: LiteralMap | None = None,
) -> Cache | None:
    """None where there is no key, for want of a version, and no result, for want of outputs."""
    if not version.strip(" ") or not interface.outputs.variables:
        return None
    return Cache(entity, interface, version, serializes, ignored, given or LiteralMap())


def _is_of(given: LiteralType, declared: LiteralType, of_element: bool) -> bool:
    listed = of_element and declared.HasField("collection_type")
    return castable(given, declared) or (listed and castable(given, declared.collection_type))


def _identifier(identifier: Identifier, resource_type: ResourceType) -> Identifier:
    named = Identifier()
    named.CopyFrom(identifier)
    named.resource_type = resource_type
    return named
