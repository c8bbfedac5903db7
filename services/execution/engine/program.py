"""What is to be run: a compiled workflow closure in the form in which the engine looks things up.

Parsed once per closure and shared by all its executions. Every look-up that a decision makes is by key, so that a step
costs as much as the node has neighbours, however large the workflow is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from flyteidl.core.compiler_pb2 import CompiledWorkflow, CompiledWorkflowClosure
from flyteidl.core.condition_pb2 import BooleanExpression
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.literals_pb2 import Binding
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import Error
from flyteidl.core.workflow_pb2 import ArrayNode, BranchNode, GateNode, TaskNodeOverrides, WorkflowMetadata
from flyteidl.core.workflow_pb2 import Node as CompiledNode
from google.protobuf.duration_pb2 import Duration

from flightlog_protos.execution.v1 import facts_pb2
from services.execution.engine import bindings
from services.execution.engine.bindings import START_NODE

END_NODE: Final = "end-node"
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
    bound_inputs: frozenset[str]
    # None: not said; 0: no limit.
    parallelism: int | None
    min_successes: int | None
    min_success_ratio: float | None


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

    @staticmethod
    def parse(closure: CompiledWorkflowClosure) -> "Program":
        """Reads a closure.

        Raises:
            ProgramError: a node refers to what the closure lacks, or is of a kind this engine does not run.
        """
        tasks = {entity_key(task.template.id): _task(task.template) for task in closure.tasks}
        primary = closure.primary
        main = _workflow(primary, tasks)
        sub_workflows = {entity_key(sub.template.id): _workflow(sub, tasks) for sub in closure.sub_workflows}
        for workflow in (main, *sub_workflows.values()):
            for node in _all_nodes(workflow):
                if node.sub_workflow is not None and node.sub_workflow not in sub_workflows:
                    raise ProgramError(f"node [{node.id}] refers to a sub-workflow that the closure lacks")
        return Program(
            primary=main,
            sub_workflows=sub_workflows,
            fails_immediately=primary.template.metadata.on_failure == WorkflowMetadata.FAIL_IMMEDIATELY,
            interruptible=primary.template.metadata_defaults.interruptible,
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


def _workflow(compiled: CompiledWorkflow, tasks: Mapping[EntityKey, Task]) -> Workflow:
    template = compiled.template
    aliases = _aliases(template.nodes)
    inputs = {node.id: _inputs(node.inputs, aliases) for node in template.nodes}
    inputs.setdefault(START_NODE, ())
    inputs.setdefault(END_NODE, _inputs(template.outputs, aliases))
    upstream, downstream = _edges(compiled, inputs)
    nodes: dict[str, Node] = {}
    for node in template.nodes:
        if node.id not in (START_NODE, END_NODE):
            parsed = _node(node, aliases, tasks)
            nodes[node.id] = replace(parsed, upstream=tuple(upstream[node.id]), downstream=tuple(downstream[node.id]))
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
        nodes[failure_node] = _node(template.failure_node, aliases, tasks)
    return Workflow(nodes=nodes, declares_outputs=bool(inputs[END_NODE]), failure_node=failure_node)


def _aliases(nodes: Iterable[CompiledNode]) -> bindings.Aliases:
    return {(node.id, alias.alias): alias.var for node in nodes for alias in node.output_aliases}


def _inputs(bound: Iterable[Binding], aliases: bindings.Aliases) -> bindings.Inputs:
    return tuple((binding.var, bindings.compiled(binding.binding, aliases)) for binding in bound)


def _sources(inputs: bindings.Inputs) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node for _, source in inputs for node in bindings.promised_nodes(source)))


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


def _node(compiled: CompiledNode, aliases: bindings.Aliases, tasks: Mapping[EntityKey, Task]) -> Node:
    """A node without its edges."""
    inputs = _inputs(compiled.inputs, aliases)
    metadata = compiled.metadata
    timeout = _timeout(metadata.timeout)
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
            task = tasks.get(entity_key(compiled.task_node.reference_id))
            if task is None:
                raise ProgramError(f"node [{node.id}] refers to a task that the closure lacks")
            retries = metadata.retries.retries or task.retries
            overrides = compiled.task_node.overrides
            return replace(node, kind=facts_pb2.TASK, task=task, overrides=overrides, max_attempts=retries + 1)
        case "workflow_node" if compiled.workflow_node.HasField("sub_workflow_ref"):
            key = entity_key(compiled.workflow_node.sub_workflow_ref)
            return replace(node, kind=facts_pb2.SUB_WORKFLOW, sub_workflow=key)
        case "workflow_node" if compiled.workflow_node.HasField("launchplan_ref"):
            return replace(node, kind=facts_pb2.LAUNCH_PLAN, launch_plan=compiled.workflow_node.launchplan_ref)
        case "branch_node":
            return replace(node, kind=facts_pb2.BRANCH, branch=_branch(compiled.branch_node, aliases, tasks))
        case "gate_node":
            return replace(node, kind=facts_pb2.GATE, gate=compiled.gate_node)
        case "array_node":
            return replace(node, kind=facts_pb2.ARRAY, array=_array(compiled.array_node, aliases, tasks))
        case target:
            raise ProgramError(f"node [{node.id}] is of a kind that is not supported: {target}")


def _branch(compiled: BranchNode, aliases: bindings.Aliases, tasks: Mapping[EntityKey, Task]) -> Branch:
    if_else = compiled.if_else
    blocks = (if_else.case, *if_else.other)
    arms = {block.then_node.id: _node(block.then_node, aliases, tasks) for block in blocks}
    otherwise = ""
    if if_else.HasField("else_node"):
        otherwise = if_else.else_node.id
        arms[otherwise] = _node(if_else.else_node, aliases, tasks)
    return Branch(
        cases=tuple((block.condition, block.then_node.id) for block in blocks),
        otherwise=otherwise,
        error=if_else.error if if_else.HasField("error") else None,
        arms=Workflow(nodes=arms, declares_outputs=True),
    )


def _array(compiled: ArrayNode, aliases: bindings.Aliases, tasks: Mapping[EntityKey, Task]) -> Array:
    element = _node(compiled.node, aliases, tasks)
    return Array(
        elements=Workflow(nodes=_Elements(element), declares_outputs=True),
        element=element,
        bound_inputs=frozenset(compiled.bound_inputs),
        parallelism=compiled.parallelism if compiled.HasField("parallelism") else None,
        min_successes=compiled.min_successes if compiled.HasField("min_successes") else None,
        min_success_ratio=compiled.min_success_ratio if compiled.HasField("min_success_ratio") else None,
    )


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


def _timeout(duration: Duration) -> timedelta:
    """The duration, whatever its numbers are: a deadline must be a date."""
    seconds = max(-_LONGEST_SECONDS, min(_LONGEST_SECONDS, duration.seconds))
    return timedelta(seconds=seconds, microseconds=duration.nanos // 1000)
