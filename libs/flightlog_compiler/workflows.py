"""Compiles a workflow and the sub-workflows it runs into the closure that clients read and the engine executes.

Each workflow is compiled by itself: a sub-workflow node needs only the declared interface of what it runs.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from flyteidl.core import compiler_pb2, workflow_pb2

from flightlog_compiler import errors
from flightlog_compiler.bindings import BindingCheck, Interface, Producers, Types, promised_nodes
from flightlog_compiler.errors import Problems
from flightlog_compiler.graph import Graph
from flightlog_compiler.interfaces import Interfaces, check_declared, declared, needs_others
from flightlog_compiler.references import (
    EntityKey,
    LaunchPlanInterface,
    References,
    all_nodes,
    branch_arms,
    cached_launch_plans,
    check_sub_workflow_cycles,
    requirements,
    used_sub_workflows,
)
from flightlog_compiler.shaping import END_NODE, START_NODE, shaped
from flightlog_types import prototext


def compile_workflow(
    template: workflow_pb2.WorkflowTemplate,
    sub_workflows: Iterable[workflow_pb2.WorkflowTemplate],
    tasks: Mapping[EntityKey, compiler_pb2.CompiledTask],
    launch_plans: Mapping[EntityKey, LaunchPlanInterface],
) -> compiler_pb2.CompiledWorkflowClosure:
    """Compile a workflow; the arguments stay untouched.

    Args:
        template: the workflow; its id is the one it is registered under.
        sub_workflows: what its sub-workflow nodes, and theirs, refer to; others are dropped.
        tasks: at least those that `requirements` names. Identifiers are taken from the tasks themselves.
        launch_plans: likewise.

    Raises CompileErrors with every problem found.
    """
    problems = Problems()
    subs = _indexed(sub_workflows, problems)
    check_sub_workflow_cycles(template, subs, problems)
    references = References.of(tasks.values(), launch_plans.values(), subs.values())
    used = {EntityKey.of(sub.id) for sub in used_sub_workflows(template, subs)}
    closure = compiler_pb2.CompiledWorkflowClosure()
    for target, source in ((closure.primary, template), *((None, sub) for key, sub in subs.items() if key in used)):
        compiled = closure.sub_workflows.add() if target is None else target
        _WorkflowCompilation(source, references, problems).compile_into(compiled)
    problems.raise_any()
    for task_id in requirements(template, subs.values()).task_ids:
        task = closure.tasks.add(template=references.tasks[EntityKey.of(task_id)]).template
        if task.HasField("interface"):
            task.interface.inputs.SetInParent()
            task.interface.outputs.SetInParent()
    templates = (closure.primary.template, *(compiled.template for compiled in closure.sub_workflows))
    for launch_plan_id in cached_launch_plans(templates):
        closure.launch_plans.append(references.launch_plans[EntityKey.of(launch_plan_id)].compiled())
    return closure


def _indexed(
    sub_workflows: Iterable[workflow_pb2.WorkflowTemplate], problems: Problems
) -> dict[EntityKey, workflow_pb2.WorkflowTemplate]:
    found: dict[EntityKey, workflow_pb2.WorkflowTemplate] = {}
    for template in sub_workflows:
        known = found.setdefault(EntityKey.of(template.id), template)
        if known != template:
            problems.add(errors.duplicate_id(prototext(template.id)))
    return found


class _WorkflowCompilation:
    """The compilation of one workflow, primary or sub-workflow."""

    def __init__(self, source: workflow_pb2.WorkflowTemplate, references: References, problems: Problems) -> None:
        self._source = source
        self._references = references
        self._problems = problems
        self._graph = Graph()
        self._nodes: dict[str, workflow_pb2.Node] = {}
        self._outputs: dict[str, Types | None] = {}
        self._producers = Producers(self._nodes, self._outputs)
        self._interfaces = Interfaces(references, self._producers, problems)

    def compile_into(self, compiled: compiler_pb2.CompiledWorkflow) -> None:
        """Fill `compiled`, or report problems."""
        if not self._source.nodes:
            self._problems.add(errors.no_nodes(self._source.id))
            return
        if not check_declared(START_NODE, self._source.interface, self._problems):
            return
        compiled.template.CopyFrom(shaped(self._source, self._problems))
        template = compiled.template
        self._nodes.update((node.id, node) for node in template.nodes)
        workflow = declared(template.interface)
        self._outputs[START_NODE], self._outputs[END_NODE] = workflow.inputs, {}
        user_nodes = template.nodes[2:]
        interfaces = self._infer(user_nodes)
        self._connect(template.nodes[1], Interface(workflow.outputs, {}))
        for node in user_nodes:
            self._connect(node, interfaces[node.id])
        if template.HasField("failure_node"):
            self._check_outside(template.failure_node, self._interfaces.of(template.failure_node))
        self._graph.close(node.id for node in user_nodes)
        self._graph.check(self._nodes, self._problems)
        compiled.connections.CopyFrom(self._graph.connections())

    def _infer(self, nodes: Iterable[workflow_pb2.Node]) -> dict[str, Interface | None]:
        """The interface of every node: first of those that declare one, then of those that take theirs from others."""
        interfaces: dict[str, Interface | None] = {}
        inferred: dict[str, workflow_pb2.Node] = {}
        for node in nodes:
            if needs_others(node):
                inferred[node.id] = node
                self._outputs[node.id] = None
            else:
                self._learn(node, interfaces)
        waiting: dict[str, int] = {}
        dependents: defaultdict[str, list[str]] = defaultdict(list)
        for node_id, node in inferred.items():
            sources = {source for source in _sources(node) if source in inferred and source != node_id}
            waiting[node_id] = len(sources)
            for source in sources:
                dependents[source].append(node_id)
        ready = deque(node_id for node_id, count in waiting.items() if count == 0)
        while ready:
            node_id = ready.popleft()
            self._learn(inferred[node_id], interfaces)
            for dependent in dependents[node_id]:
                waiting[dependent] -= 1
                if waiting[dependent] == 0:
                    ready.append(dependent)
        # Whoever still waits is part of a cycle, which the graph check reports.
        return {node_id: interfaces.get(node_id) for node_id in self._nodes}

    def _learn(self, node: workflow_pb2.Node, interfaces: dict[str, Interface | None]) -> None:
        interface = self._interfaces.of(node)
        interfaces[node.id] = interface
        self._outputs[node.id] = None if interface is None else interface.outputs

    def _connect(self, node: workflow_pb2.Node, interface: Interface | None) -> None:
        """Check the bindings of a top-level node and note whom it waits for."""
        for upstream in node.upstream_node_ids:
            if upstream not in self._nodes:
                self._problems.add(errors.node_not_found(node.id, upstream))
            else:
                self._graph.connect(upstream, node.id)
        for upstream in self._checked(node, interface):
            self._graph.connect(upstream, node.id)
        if node.WhichOneof("target") == "branch_node":
            self._check_arms(node, node.id)

    def _check_outside(self, node: workflow_pb2.Node, interface: Interface | None, branch: str = "") -> None:
        """Check a node that the walk does not reach by edges: inside a branch of the graph, or the failure node."""
        for upstream in self._checked(node, interface):
            self._graph.note_upstream(upstream, node.id, branch)
        if node.WhichOneof("target") == "branch_node":
            self._check_arms(node, branch)

    def _check_arms(self, node: workflow_pb2.Node, branch: str) -> None:
        for arm in branch_arms(node.branch_node):
            for upstream in arm.upstream_node_ids:
                if upstream not in self._nodes:
                    self._problems.add(errors.node_not_found(arm.id, upstream))
                else:
                    self._graph.note_upstream(upstream, arm.id, branch)
            self._check_outside(arm, self._interfaces.of(arm), branch)

    def _checked(self, node: workflow_pb2.Node, interface: Interface | None) -> set[str]:
        """Check a node's bindings; the existing nodes they refer to."""
        if interface is None or needs_others(node):
            # Nothing is declared to check against, or the declaration was read off the bindings themselves.
            return {source for source in promised_nodes(node.inputs) if source in self._nodes}
        check = BindingCheck(self._producers, node, self._problems)
        check.check(node.inputs, interface.inputs)
        return check.needed


def _sources(node: workflow_pb2.Node) -> set[str]:
    """The nodes whose outputs decide the interface of a branch or an approval."""
    found = promised_nodes(node.inputs)
    if node.WhichOneof("target") == "branch_node":
        wrapper = workflow_pb2.WorkflowTemplate(nodes=[node])
        for inner in all_nodes(wrapper):
            found |= promised_nodes(inner.inputs)
    return found
