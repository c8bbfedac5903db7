"""A node of an execution as its workflow has it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import BranchNode, Node, WorkflowTemplate


@dataclass(frozen=True, slots=True)
class Compiled:
    """A node that runs a task, a sub-workflow or a launch plan."""

    node: Node
    name: str
    # What it takes and gives; None where the closure does not say.
    interface: TypedInterface | None
    task: TaskTemplate | None = None
    # Inputs that a launch plan gives by itself.
    given: LiteralMap = field(default_factory=LiteralMap)


def compiled(closure: CompiledWorkflowClosure, way: Sequence[str]) -> Compiled | None:
    """The node at the end of a way, by the ids of the nodes that lie in one another; None where there is none."""
    node: Node | None = None
    template: WorkflowTemplate | None = closure.primary.template
    for spec_node_id in way:
        if node is not None and node.HasField("array_node"):
            node = node.array_node.node
            continue
        if node is not None and node.HasField("task_node"):
            # A task that is an array by itself: so are its elements.
            continue
        if node is not None and node.HasField("branch_node"):
            among = _arms(node.branch_node)
        else:
            if node is not None:
                template = _sub_workflow(closure, node.workflow_node.sub_workflow_ref)
            among = () if template is None else (*template.nodes, template.failure_node)
        node = next((one for one in among if one.id == spec_node_id), None)
        if node is None:
            return None
    return None if node is None else _told(closure, node)


def _told(closure: CompiledWorkflowClosure, node: Node) -> Compiled | None:
    match node.WhichOneof("target"):
        case "task_node":
            wanted = node.task_node.reference_id
            task = next((task.template for task in closure.tasks if _same(task.template.id, wanted)), None)
            return None if task is None else Compiled(node, task.id.name, task.interface, task)
        case "workflow_node" if node.workflow_node.HasField("sub_workflow_ref"):
            wanted = node.workflow_node.sub_workflow_ref
            template = _sub_workflow(closure, wanted)
            return Compiled(node, wanted.name, None if template is None else template.interface)
        case "workflow_node":
            wanted = node.workflow_node.launchplan_ref
            known = next((one.template for one in closure.launch_plans if _same(one.template.id, wanted)), None)
            if known is None:
                return Compiled(node, wanted.name, None)
            return Compiled(node, wanted.name, known.interface, given=known.fixed_inputs)
        case _:
            return None


def _arms(branch: BranchNode) -> Iterable[Node]:
    if_else = branch.if_else
    arms = [block.then_node for block in (if_else.case, *if_else.other)]
    return [*arms, if_else.else_node] if if_else.HasField("else_node") else arms


def _sub_workflow(closure: CompiledWorkflowClosure, wanted: Identifier) -> WorkflowTemplate | None:
    return next((sub.template for sub in closure.sub_workflows if _same(sub.template.id, wanted)), None)


def _same(one: Identifier, other: Identifier) -> bool:
    return (one.project, one.domain, one.name, one.version) == (other.project, other.domain, other.name, other.version)
