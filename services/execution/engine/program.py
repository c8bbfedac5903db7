"""What is to be run: a compiled workflow closure in the form in which the engine looks things up.

Parsed once per closure and shared by all its executions. Every look-up that a decision makes is by key, so that a step
costs as much as the node has neighbours, however large the workflow is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flyteidl.core.compiler_pb2 import CompiledWorkflow, CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.literals_pb2 import Binding
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import Node as CompiledNode
from flyteidl.core.workflow_pb2 import TaskNodeOverrides, WorkflowMetadata
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
    # Attempts that failures of kind USER may use up.
    max_attempts: int = 1
    timeout: timedelta | None = None
    # None: the execution's or the workflow's default holds.
    interruptible: bool | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow of a closure: the primary one or a sub-workflow."""

    nodes: Mapping[str, Node]
    declares_outputs: bool
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
            for node in workflow.nodes.values():
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


def _workflow(compiled: CompiledWorkflow, tasks: Mapping[EntityKey, Task]) -> Workflow:
    template = compiled.template
    if template.HasField("failure_node"):
        raise ProgramError("workflows with a failure node are not supported")
    aliases = {(node.id, alias.alias): alias.var for node in template.nodes for alias in node.output_aliases}
    inputs = {node.id: _inputs(node.inputs, aliases) for node in template.nodes}
    inputs.setdefault(START_NODE, ())
    inputs.setdefault(END_NODE, _inputs(template.outputs, aliases))
    upstream, downstream = _edges(compiled, inputs)
    nodes = {node.id: _node(node, inputs[node.id], upstream, downstream, tasks) for node in template.nodes}
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
    return Workflow(nodes=nodes, declares_outputs=bool(inputs[END_NODE]))


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


def _node(
    node: CompiledNode,
    inputs: bindings.Inputs,
    upstream: Mapping[str, Iterable[str]],
    downstream: Mapping[str, Iterable[str]],
    tasks: Mapping[EntityKey, Task],
) -> Node:
    task: Task | None = None
    sub_workflow: EntityKey | None = None
    kind = facts_pb2.NODE_KIND_UNSPECIFIED
    match node.WhichOneof("target"):
        case "task_node":
            task = tasks.get(entity_key(node.task_node.reference_id))
            if task is None:
                raise ProgramError(f"node [{node.id}] refers to a task that the closure lacks")
            kind = facts_pb2.TASK
        case "workflow_node" if node.workflow_node.HasField("sub_workflow_ref"):
            sub_workflow = entity_key(node.workflow_node.sub_workflow_ref)
            kind = facts_pb2.SUB_WORKFLOW
        case target:
            if node.id not in (START_NODE, END_NODE):
                raise ProgramError(f"node [{node.id}] is of a kind that is not supported: {target}")
    metadata = node.metadata
    timeout = _timeout(metadata.timeout)
    retries = metadata.retries.retries or (task.retries if task is not None else 0)
    return Node(
        id=node.id,
        kind=kind,
        name=metadata.name,
        inputs=inputs,
        sources=_sources(inputs),
        upstream=tuple(upstream[node.id]),
        downstream=tuple(downstream[node.id]),
        task=task,
        overrides=node.task_node.overrides if task is not None else None,
        sub_workflow=sub_workflow,
        max_attempts=retries + 1,
        timeout=timeout if timeout > timedelta() else None,
        interruptible=metadata.interruptible if metadata.HasField("interruptible") else None,
    )


def _timeout(duration: Duration) -> timedelta:
    """The duration, whatever its numbers are: a deadline must be a date."""
    seconds = max(-_LONGEST_SECONDS, min(_LONGEST_SECONDS, duration.seconds))
    return timedelta(seconds=seconds, microseconds=duration.nanos // 1000)
