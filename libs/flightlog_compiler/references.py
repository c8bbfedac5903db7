"""What a workflow refers to, and finding it (admin-contract §3.2)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, workflow_pb2

from flightlog_compiler import errors
from flightlog_compiler.errors import Problems


class EntityKey(NamedTuple):
    """A full identifier, hashable. Readers compare identifiers byte by byte (admin-contract T26); all fields count."""

    resource_type: int
    project: str
    domain: str
    name: str
    version: str
    org: str

    @staticmethod
    def of(identifier: identifier_pb2.Identifier) -> "EntityKey":
        return EntityKey(
            identifier.resource_type,
            identifier.project,
            identifier.domain,
            identifier.name,
            identifier.version,
            identifier.org,
        )


@dataclass(frozen=True)
class LaunchPlanInterface:
    """What a workflow sees of a launch plan it runs: the inputs it takes and the outputs it gives."""

    id: identifier_pb2.Identifier
    expected_inputs: interface_pb2.ParameterMap
    expected_outputs: interface_pb2.VariableMap
    fixed_inputs: literals_pb2.LiteralMap = field(default_factory=literals_pb2.LiteralMap)

    def compiled(self) -> compiler_pb2.CompiledLaunchPlan:
        """As it stands in a closure, for those who tell results apart by what they are made of.

        Its fixed inputs are all that it gives by itself: defaults, too.
        """
        compiled = compiler_pb2.CompiledLaunchPlan()
        template = compiled.template
        template.id.CopyFrom(self.id)
        template.interface.outputs.CopyFrom(self.expected_outputs)
        template.fixed_inputs.CopyFrom(self.fixed_inputs)
        for name, parameter in self.expected_inputs.parameters.items():
            template.interface.inputs.variables[name].CopyFrom(parameter.var)
            if parameter.HasField("default"):
                template.fixed_inputs.literals[name].CopyFrom(parameter.default)
        return compiled


@dataclass(frozen=True)
class Requirements:
    """What must be loaded before a workflow can be compiled; each identifier once, in a stable order."""

    task_ids: tuple[identifier_pb2.Identifier, ...]
    launch_plan_ids: tuple[identifier_pb2.Identifier, ...]


@dataclass(frozen=True)
class References:
    """Everything that nodes of one closure may refer to."""

    tasks: Mapping[EntityKey, tasks_pb2.TaskTemplate]
    launch_plans: Mapping[EntityKey, LaunchPlanInterface]
    sub_workflows: Mapping[EntityKey, workflow_pb2.WorkflowTemplate]

    @staticmethod
    def of(
        tasks: Iterable[compiler_pb2.CompiledTask],
        launch_plans: Iterable[LaunchPlanInterface],
        sub_workflows: Iterable[workflow_pb2.WorkflowTemplate],
    ) -> "References":
        return References(
            tasks={EntityKey.of(task.template.id): task.template for task in tasks},
            launch_plans={EntityKey.of(launch_plan.id): launch_plan for launch_plan in launch_plans},
            sub_workflows={EntityKey.of(template.id): template for template in sub_workflows},
        )


def requirements(
    template: workflow_pb2.WorkflowTemplate, sub_workflows: Iterable[workflow_pb2.WorkflowTemplate]
) -> Requirements:
    """The tasks and launch plans that a workflow and the sub-workflows it runs refer to.

    A reference to a sub-workflow that was not sent along is no requirement: compiling reports it.
    """
    subs = {EntityKey.of(sub.id): sub for sub in sub_workflows}
    tasks: dict[EntityKey, identifier_pb2.Identifier] = {}
    launch_plans: dict[EntityKey, identifier_pb2.Identifier] = {}
    for used in (template, *used_sub_workflows(template, subs)):
        for node in all_nodes(used):
            if node.HasField("task_node") and node.task_node.HasField("reference_id"):
                tasks[EntityKey.of(node.task_node.reference_id)] = node.task_node.reference_id
            elif node.workflow_node.HasField("launchplan_ref"):
                launch_plans[EntityKey.of(node.workflow_node.launchplan_ref)] = node.workflow_node.launchplan_ref
    return Requirements(
        tuple(tasks[key] for key in sorted(tasks)), tuple(launch_plans[key] for key in sorted(launch_plans))
    )


def cached_launch_plans(
    templates: Iterable[workflow_pb2.WorkflowTemplate],
) -> Iterator[identifier_pb2.Identifier]:
    """The launch plans that nodes of these workflows run and want the results of to be cached; each once, in order."""
    found: dict[EntityKey, identifier_pb2.Identifier] = {}
    for template in templates:
        for node in all_nodes(template):
            if node.metadata.cacheable and node.workflow_node.HasField("launchplan_ref"):
                found[EntityKey.of(node.workflow_node.launchplan_ref)] = node.workflow_node.launchplan_ref
    return (found[key] for key in sorted(found))


def used_sub_workflows(
    template: workflow_pb2.WorkflowTemplate, subs: Mapping[EntityKey, workflow_pb2.WorkflowTemplate]
) -> list[workflow_pb2.WorkflowTemplate]:
    """The sub-workflows a workflow runs, directly or through others, each once."""
    used: dict[EntityKey, workflow_pb2.WorkflowTemplate] = {}
    waiting = [template]
    while waiting:
        for reference in _sub_workflow_references(waiting.pop()):
            key = EntityKey.of(reference)
            if key in subs and key not in used:
                used[key] = subs[key]
                waiting.append(subs[key])
    return list(used.values())


def check_sub_workflow_cycles(
    template: workflow_pb2.WorkflowTemplate,
    subs: Mapping[EntityKey, workflow_pb2.WorkflowTemplate],
    problems: Problems,
) -> None:
    """Report a workflow that runs itself: unfolding it would never end."""
    done: set[EntityKey] = set()
    path: dict[EntityKey, Iterator[identifier_pb2.Identifier]] = {
        EntityKey.of(template.id): iter(_sub_workflow_references(template))
    }
    while path:
        key, references = next(reversed(path.items()))
        for reference in references:
            following = EntityKey.of(reference)
            if following in path:
                names = [passed.name for passed in path]
                problems.add(errors.cycle(reference.name, [*names, reference.name]))
                return
            if following in subs and following not in done:
                path[following] = iter(_sub_workflow_references(subs[following]))
                break
        else:
            done.add(key)
            del path[key]


def all_nodes(template: workflow_pb2.WorkflowTemplate) -> Iterator[workflow_pb2.Node]:
    """Every node of one workflow: top level, inside branches and arrays, and the failure node."""
    for node in template.nodes:
        yield from _with_inner(node)
    if template.HasField("failure_node"):
        yield from _with_inner(template.failure_node)


def branch_arms(branch: workflow_pb2.BranchNode) -> Iterator[workflow_pb2.Node]:
    """The nodes of a branch, in the order in which its conditions are tried; the else-node last."""
    for block in branch_blocks(branch):
        if block.HasField("then_node"):
            yield block.then_node
    if branch.if_else.HasField("else_node"):
        yield branch.if_else.else_node


def branch_blocks(branch: workflow_pb2.BranchNode) -> Iterator[workflow_pb2.IfBlock]:
    """The conditions of a branch with their nodes, in order."""
    if branch.if_else.HasField("case"):
        yield branch.if_else.case
    yield from branch.if_else.other


def _with_inner(node: workflow_pb2.Node) -> Iterator[workflow_pb2.Node]:
    yield node
    match node.WhichOneof("target"):
        case "branch_node":
            for arm in branch_arms(node.branch_node):
                yield from _with_inner(arm)
        case "array_node" if node.array_node.HasField("node"):
            yield from _with_inner(node.array_node.node)
        case _:
            return


def _sub_workflow_references(template: workflow_pb2.WorkflowTemplate) -> list[identifier_pb2.Identifier]:
    return [
        node.workflow_node.sub_workflow_ref
        for node in all_nodes(template)
        if node.HasField("workflow_node") and node.workflow_node.HasField("sub_workflow_ref")
    ]
