"""What is to be run: a compiled workflow closure in the form in which the engine looks things up.

Parsed once per closure and shared by all its executions. Every look-up that a decision makes is by key, so that a step
costs as much as the node has neighbours, however large the workflow is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from flyteidl.core.compiler_pb2 import CompiledLaunchPlan, CompiledWorkflow, CompiledWorkflowClosure
from flyteidl.core.condition_pb2 import BooleanExpression
from flyteidl.core.identifier_pb2 import TASK, Identifier
from flyteidl.core.literals_pb2 import Binding
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import Error
from flyteidl.core.workflow_pb2 import (
    ArrayNode,
    BranchNode,
    GateNode,
    TaskNodeOverrides,
    WorkflowMetadata,
    WorkflowTemplate,
)
from flyteidl.core.workflow_pb2 import Node as CompiledNode
from flyteidl.plugins.array_job_pb2 import ArrayJob
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from flightlog_protos.execution.v1 import facts_pb2
from flightlog_types.addresses import addresses
from services.execution.engine import bindings, cacheable
from services.execution.engine.bindings import START_NODE
from services.execution.engine.cacheable import Cache

END_NODE: Final = "end-node"
CONTAINER_ARRAY: Final = "container_array"
"""Type of tasks that are arrays by themselves, as older releases of flytekit made them."""
# A hundred years.
_LONGEST_SECONDS: Final = 100 * 365 * 86_400

EntityKey = tuple[str, str, str, str]
"""Project, domain, name and version."""


class ProgramError(ValueError):
    """The closure cannot be run by this engine: it is inconsistent, or has a kind of node that is not supported."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task template, as far as the engine needs it."""

    id: Identifier
    type: str
    template: TaskTemplate
    declares_outputs: bool
    retries: int
    # None: the template does not say; the file's existence decides.
    generates_deck: bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a compiled workflow. Upstream and downstream hold ids in the same workflow, in a fixed order."""

    id: str
    kind: facts_pb2.NodeKind
    name: str
    inputs: bindings.Inputs
    # Nodes whose outputs the inputs are made of.
    sources: tuple[str, ...]
    upstream: tuple[str, ...]
    downstream: tuple[str, ...]
    # Branch nodes of which an arm reads what this node gives, while the branch itself does not wait for it.
    feeds: tuple[str, ...] = ()
    task: Task | None = None
    overrides: TaskNodeOverrides | None = None
    sub_workflow: EntityKey | None = None
    launch_plan: Identifier | None = None
    branch: "Branch | None" = None
    gate: GateNode | None = None
    array: "Array | None" = None
    # Attempts that failures of kind USER may use up.
    max_attempts: int = 1
    timeout: timedelta | None = None
    # None: the execution's or the workflow's default holds.
    interruptible: bool | None = None
    # Set when results of this node are to be cached.
    cache: Cache | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """A conditional: conditions in their order, each with the arm that runs when it is the first to be true."""

    cases: tuple[tuple[BooleanExpression, str], ...]
    # The arm without a condition, or the error of reaching it, or neither.
    otherwise: str = ""
    error: Error | None = None
    # The arms' nodes, by the ids that cases and otherwise name. Their inputs are bound in the workflow around.
    arms: "Workflow" = field(default_factory=lambda: Workflow(nodes={}, declares_outputs=True))


@dataclass(frozen=True, slots=True)
class Array:
    """A map: one node, run once for each element of its collection inputs."""

    # Every element's node, under the ids `n0`, `n1`, …
    elements: "Workflow"
    element: Node
    # What clients see the elements under, as one task execution.
    task_id: Identifier
    # Names of the collections that it gives.
    outputs: tuple[str, ...]
    bound_inputs: frozenset[str] = frozenset()
    # None: not said; 0: no limit.
    parallelism: int | None = None
    min_successes: int | None = None
    min_success_ratio: float | None = None
    # All elements run to their ends, also when the array can only fail any more.
    runs_all: bool = False
    # Each element reads inputs of its own, not the array's with an index.
    individual_inputs: bool = False
    # Set for a task of type container_array, whose elements write to `<output prefix>/<index>`.
    is_task: bool = False
    # The number of elements, where the template has it.
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow of a closure, or what runs inside a node as one: a branch's arms, an array's elements."""

    nodes: Mapping[str, Node]
    declares_outputs: bool
    # Id of the node that runs when the workflow fails; it is on no edge.
    failure_node: str = ""
    # Why there are no nodes.
    unrunnable: str = ""

    def node(self, spec_node_id: str) -> Node:
        """The node of this id. Raises ProgramError when there is none."""
        try:
            return self.nodes[spec_node_id]
        except KeyError:
            raise ProgramError(self.unrunnable or f"the workflow has no node [{spec_node_id}]") from None


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled workflow closure, parsed."""

    primary: Workflow
    sub_workflows: Mapping[EntityKey, Workflow]
    # Policy and default of the primary workflow: they hold for all nodes, nested ones too (engine-semantics §1.3).
    fails_immediately: bool
    interruptible: bool
    # How long an attempt may wait until it runs; zero: nothing is said.
    queueing_budget: timedelta = timedelta()
    # Where files, folders, frames and offloaded values lie that are constants in it.
    addresses: tuple[str, ...] = ()

    @staticmethod
    def parse(closure: CompiledWorkflowClosure) -> "Program":
        """Reads a closure.

        Raises:
            ProgramError: a node refers to what the closure lacks, or is of a kind this engine does not run.
        """
        primary, named = closure.primary, _Named.of(closure)
        main = _workflow(primary, named)
        sub_workflows = {entity_key(sub.template.id): _workflow(sub, named) for sub in closure.sub_workflows}
        for workflow in (main, *sub_workflows.values()):
            for node in _all_nodes(workflow):
                if node.sub_workflow is not None and node.sub_workflow not in sub_workflows:
                    raise ProgramError(f"node [{node.id}] refers to a sub-workflow that the closure lacks")
        constants = (
            constant.literal
            for workflow in (main, *sub_workflows.values())
            for node in _all_nodes(workflow)
            for _, source in node.inputs
            for constant in bindings.constants(source)
        )
        return Program(
            addresses=tuple(addresses(constants)),
            primary=main,
            sub_workflows=sub_workflows,
            fails_immediately=primary.template.metadata.on_failure == WorkflowMetadata.FAIL_IMMEDIATELY,
            interruptible=primary.template.metadata_defaults.interruptible,
            queueing_budget=bounded_duration(primary.template.metadata.quality_of_service.spec.queueing_budget),
        )

    @staticmethod
    def unrunnable(reason: str) -> "Program":
        """Stands for a closure that cannot be had: looking up anything in it raises ProgramError with the reason."""
        nothing = Workflow(nodes={}, declares_outputs=False, unrunnable=reason)
        return Program(primary=nothing, sub_workflows={}, fails_immediately=True, interruptible=False)

    def sub_workflow(self, key: EntityKey) -> Workflow:
        """The sub-workflow of this key. Raises ProgramError when the closure lacks it."""
        try:
            return self.sub_workflows[key]
        except KeyError:
            raise ProgramError(self.primary.unrunnable or f"the closure has no sub-workflow {key}") from None


@dataclass(frozen=True, slots=True)
class _Named:
    """What the nodes of a closure refer to by name."""

    tasks: Mapping[EntityKey, Task]
    sub_workflows: Mapping[EntityKey, WorkflowTemplate]
    # Those whose results are cached.
    launch_plans: Mapping[EntityKey, CompiledLaunchPlan]

    @staticmethod
    def of(closure: CompiledWorkflowClosure) -> "_Named":
        return _Named(
            tasks={entity_key(task.template.id): _task(task.template) for task in closure.tasks},
            sub_workflows={entity_key(sub.template.id): sub.template for sub in closure.sub_workflows},
            launch_plans={entity_key(compiled.template.id): compiled for compiled in closure.launch_plans},
        )


def entity_key(identifier: Identifier) -> EntityKey:
    return identifier.project, identifier.domain, identifier.name, identifier.version


def _task(template: TaskTemplate) -> Task:
    metadata = template.metadata
    return Task(
        id=template.id,
        type=template.type,
        template=template,
        declares_outputs=bool(template.interface.outputs.variables),
        retries=metadata.retries.retries,
        generates_deck=metadata.generates_deck.value if metadata.HasField("generates_deck") else None,
    )


def _all_nodes(workflow: Workflow) -> Iterator[Node]:
    """The nodes of a workflow, those of its branches and arrays included."""
    for node in workflow.nodes.values():
        yield node
        if node.branch is not None:
            yield from _all_nodes(node.branch.arms)
        if node.array is not None:
            yield node.array.element


def _workflow(compiled: CompiledWorkflow, named: _Named) -> Workflow:
    template = compiled.template
    aliases = _aliases(template.nodes)
    inputs = {node.id: _inputs(node.inputs, aliases) for node in template.nodes}
    inputs.setdefault(START_NODE, ())
    inputs.setdefault(END_NODE, _inputs(template.outputs, aliases))
    upstream, downstream = _edges(compiled, inputs)
    nodes = {node.id: _node(node, aliases, named) for node in template.nodes if node.id not in (START_NODE, END_NODE)}
    feeds = _feeds(nodes, upstream)
    read = _read_outputs(inputs)
    for node_id, parsed in nodes.items():
        nodes[node_id] = replace(
            _with_outputs(parsed, read.get(node_id, ())),
            upstream=tuple(upstream[node_id]),
            downstream=tuple(downstream[node_id]),
            feeds=tuple(feeds[node_id]),
        )
    for bound, kind in ((START_NODE, facts_pb2.START), (END_NODE, facts_pb2.END)):
        nodes[bound] = Node(
            id=bound,
            kind=kind,
            name="",
            inputs=inputs[bound],
            sources=_sources(inputs[bound]),
            upstream=tuple(upstream[bound]),
            downstream=tuple(downstream[bound]),
        )
    failure_node = ""
    if template.HasField("failure_node"):
        failure_node = template.failure_node.id
        nodes[failure_node] = _node(template.failure_node, aliases, named)
    return Workflow(nodes=nodes, declares_outputs=bool(inputs[END_NODE]), failure_node=failure_node)


def _aliases(nodes: Iterable[CompiledNode]) -> bindings.Aliases:
    return {(node.id, alias.alias): alias.var for node in nodes for alias in node.output_aliases}


def _inputs(bound: Iterable[Binding], aliases: bindings.Aliases) -> bindings.Inputs:
    return tuple((binding.var, bindings.compiled(binding.binding, aliases)) for binding in bound)


def _sources(inputs: bindings.Inputs) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node for _, source in inputs for node in bindings.promised_nodes(source)))


def _read_outputs(inputs: Mapping[str, bindings.Inputs]) -> dict[str, list[str]]:
    """The output variables of each node that others read, in order."""
    read: dict[str, dict[str, None]] = {}
    for bound in inputs.values():
        for _, source in bound:
            for promise in bindings.promises(source):
                read.setdefault(promise.node, {})[promise.var] = None
    return {node_id: sorted(names) for node_id, names in read.items()}


def _with_outputs(node: Node, read: Iterable[str]) -> Node:
    """The node; an array whose elements are no tasks, and name no outputs therefore, gives what is read of it."""
    if node.branch is not None:
        arms = {arm_id: _with_outputs(arm, read) for arm_id, arm in node.branch.arms.nodes.items()}
        return replace(node, branch=replace(node.branch, arms=replace(node.branch.arms, nodes=arms)))
    if node.array is None or node.array.element.task is not None:
        return node
    return replace(node, array=replace(node.array, outputs=tuple(read)))


def _edges(
    compiled: CompiledWorkflow, inputs: Mapping[str, bindings.Inputs]
) -> tuple[dict[str, dict[str, None]], dict[str, dict[str, None]]]:
    """Who follows whom: the compiled connections, completed by what bindings and explicit order imply.

    Nodes without upstream follow the start node, nodes without downstream precede the end node, so that the end node
    ends last. Dicts keep the order of first mention.
    """
    upstream: dict[str, dict[str, None]] = {node_id: {} for node_id in inputs}
    downstream: dict[str, dict[str, None]] = {node_id: {} for node_id in inputs}

    def connect(first: str, then: str) -> None:
        if first not in downstream or then not in upstream:
            raise ProgramError(f"the edge [{first}] to [{then}] names a node that does not exist")
        downstream[first][then] = None
        upstream[then][first] = None

    connections = compiled.connections
    for first in sorted(connections.downstream):
        for then in connections.downstream[first].ids:
            connect(first, then)
    for node in compiled.template.nodes:
        for first in node.upstream_node_ids:
            connect(first, node.id)
    for node_id, bound in inputs.items():
        for _, source in bound:
            for first in bindings.promised_nodes(source):
                connect(first, node_id)
    for node_id in inputs:
        if node_id not in (START_NODE, END_NODE):
            if not upstream[node_id]:
                connect(START_NODE, node_id)
            if not downstream[node_id]:
                connect(node_id, END_NODE)
    if not upstream[END_NODE]:
        connect(START_NODE, END_NODE)
    return upstream, downstream


def _feeds(nodes: Mapping[str, Node], upstream: Mapping[str, dict[str, None]]) -> dict[str, dict[str, None]]:
    """Branch nodes by the nodes that an arm of theirs waits for when it is taken, but not the branch itself."""
    feeds: dict[str, dict[str, None]] = {node_id: {} for node_id in nodes}
    for node in nodes.values():
        for first in () if node.branch is None else _awaited_by_arms(node.branch):
            if first == START_NODE or first in upstream[node.id]:
                continue
            if first not in feeds:
                raise ProgramError(f"an arm of [{node.id}] waits for a node that does not exist: [{first}]")
            feeds[first][node.id] = None
    return feeds


def _awaited_by_arms(branch: Branch) -> Iterator[str]:
    for arm in branch.arms.nodes.values():
        yield from arm.upstream
        if arm.branch is not None:
            yield from _awaited_by_arms(arm.branch)


def _arm(compiled: CompiledNode, aliases: bindings.Aliases, named: _Named) -> Node:
    """A node inside a branch. It waits for nodes of the workflow around."""
    node = _node(compiled, aliases, named)
    return replace(node, upstream=tuple(dict.fromkeys((*compiled.upstream_node_ids, *node.sources))))


def _node(compiled: CompiledNode, aliases: bindings.Aliases, named: _Named) -> Node:
    """A node without its edges."""
    inputs = _inputs(compiled.inputs, aliases)
    metadata = compiled.metadata
    timeout = bounded_duration(metadata.timeout)
    node = Node(
        id=compiled.id,
        kind=facts_pb2.NODE_KIND_UNSPECIFIED,
        name=metadata.name,
        inputs=inputs,
        sources=_sources(inputs),
        upstream=(),
        downstream=(),
        max_attempts=metadata.retries.retries + 1,
        timeout=timeout if timeout > timedelta() else None,
        interruptible=metadata.interruptible if metadata.HasField("interruptible") else None,
    )
    match compiled.WhichOneof("target"):
        case "task_node":
            task = named.tasks.get(entity_key(compiled.task_node.reference_id))
            if task is None:
                raise ProgramError(f"node [{node.id}] refers to a task that the closure lacks")
            retries = metadata.retries.retries or task.retries
            overrides = compiled.task_node.overrides
            cache = cacheable.of_task(metadata, task.template)
            node = replace(
                node, kind=facts_pb2.TASK, task=task, overrides=overrides, max_attempts=retries + 1, cache=cache
            )
            return node if task.type != CONTAINER_ARRAY else _array_task(node, task)
        case "workflow_node" if compiled.workflow_node.HasField("sub_workflow_ref"):
            key = entity_key(compiled.workflow_node.sub_workflow_ref)
            cache = cacheable.of_workflow(metadata, named.sub_workflows.get(key))
            return replace(node, kind=facts_pb2.SUB_WORKFLOW, sub_workflow=key, cache=cache)
        case "workflow_node" if compiled.workflow_node.HasField("launchplan_ref"):
            launch_plan = compiled.workflow_node.launchplan_ref
            cache = cacheable.of_launch_plan(metadata, named.launch_plans.get(entity_key(launch_plan)))
            return replace(node, kind=facts_pb2.LAUNCH_PLAN, launch_plan=launch_plan, cache=cache)
        case "branch_node":
            return replace(node, kind=facts_pb2.BRANCH, branch=_branch(compiled.branch_node, aliases, named))
        case "gate_node":
            return replace(node, kind=facts_pb2.GATE, gate=compiled.gate_node)
        case "array_node":
            return replace(node, kind=facts_pb2.ARRAY, array=_array(compiled.array_node, aliases, named))
        case target:
            raise ProgramError(f"node [{node.id}] is of a kind that is not supported: {target}")


def _branch(compiled: BranchNode, aliases: bindings.Aliases, named: _Named) -> Branch:
    if_else = compiled.if_else
    blocks = (if_else.case, *if_else.other)
    arms = {block.then_node.id: _arm(block.then_node, aliases, named) for block in blocks}
    otherwise = ""
    if if_else.HasField("else_node"):
        otherwise = if_else.else_node.id
        arms[otherwise] = _arm(if_else.else_node, aliases, named)
    return Branch(
        cases=tuple((block.condition, block.then_node.id) for block in blocks),
        otherwise=otherwise,
        error=if_else.error if if_else.HasField("error") else None,
        arms=Workflow(nodes=arms, declares_outputs=True),
    )


def _array(compiled: ArrayNode, aliases: bindings.Aliases, named: _Named) -> Array:
    element = _node(compiled.node, aliases, named)
    if element.kind not in (facts_pb2.TASK, facts_pb2.LAUNCH_PLAN):
        raise ProgramError(f"node [{element.id}] is mapped, and neither a task nor a launch plan")
    task = element.task
    return Array(
        elements=Workflow(nodes=_Elements(element), declares_outputs=True),
        element=element,
        task_id=task.id if task is not None else _shown_as_task(element),
        outputs=tuple(sorted(task.template.interface.outputs.variables)) if task is not None else (),
        bound_inputs=frozenset(compiled.bound_inputs),
        parallelism=compiled.parallelism if compiled.HasField("parallelism") else None,
        min_successes=compiled.min_successes if compiled.HasField("min_successes") else None,
        min_success_ratio=compiled.min_success_ratio if compiled.HasField("min_success_ratio") else None,
        runs_all=compiled.run_all_sub_nodes,
        # Only a task that was registered as a map picks its element out of lists.
        individual_inputs=task is None
        or compiled.is_original_sub_node_interface.value
        or compiled.data_mode == ArrayNode.INDIVIDUAL_INPUT_FILES,
    )


def _shown_as_task(element: Node) -> Identifier:
    """What stands for the task where elements are something else: clients see arrays as task executions."""
    shown = Identifier(name=element.name or element.id)
    if element.launch_plan is not None:
        shown.CopyFrom(element.launch_plan)
    shown.resource_type = TASK
    return shown


def _array_task(node: Node, task: Task) -> Node:
    """A task of type container_array: an array over itself, which its template describes (engine-semantics §5.6)."""
    try:
        job = ParseDict(MessageToDict(task.template.custom), ArrayJob(), ignore_unknown_fields=True)
    except ParseError as error:
        raise ProgramError(f"task [{task.id.name}] describes no array: {error}") from error
    criterion = job.WhichOneof("success_criteria")
    element = replace(node, timeout=None)
    array = Array(
        elements=Workflow(nodes=_Elements(element), declares_outputs=True),
        element=element,
        task_id=task.id,
        outputs=tuple(sorted(task.template.interface.outputs.variables)),
        parallelism=max(0, job.parallelism),
        min_successes=max(0, job.min_successes) if criterion == "min_successes" else None,
        min_success_ratio=job.min_success_ratio if criterion == "min_success_ratio" else None,
        is_task=True,
        size=max(0, job.size) if task.template.task_type_version == 0 else None,
    )
    return replace(node, kind=facts_pb2.ARRAY, task=None, overrides=None, cache=None, array=array)


@dataclass(frozen=True, slots=True)
class _Elements(Mapping[str, Node]):
    """Nodes `n0`, `n1`, … without end, all of them alike."""

    element: Node

    def __getitem__(self, spec_node_id: str) -> Node:
        if not spec_node_id[1:].isdecimal():
            raise KeyError(spec_node_id)
        return replace(self.element, id=spec_node_id)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def bounded_duration(duration: Duration) -> timedelta:
    """The duration, within a hundred years whatever its numbers are: what it leads to must be a date."""
    seconds = max(-_LONGEST_SECONDS, min(_LONGEST_SECONDS, duration.seconds))
    return timedelta(seconds=seconds, microseconds=duration.nanos // 1000)
