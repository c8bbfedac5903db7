"""Builds the workflows that are measured, straight from flyteidl messages.

They consist of `echo` tasks, which the engine runs itself: what is measured is the backend, not the tasks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2

PROJECT = "flytesnacks"
DOMAIN = "development"
VERSION = "bench-1"


def identifier(kind: identifier_pb2.ResourceType, name: str) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(resource_type=kind, project=PROJECT, domain=DOMAIN, name=name, version=VERSION)


def integer(value: int) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=value)))


_INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)
_INTEGERS = types_pb2.LiteralType(collection_type=_INTEGER)


def _variables(*names: str, kind: types_pb2.LiteralType = _INTEGER) -> interface_pb2.VariableMap:
    return interface_pb2.VariableMap(variables={name: interface_pb2.Variable(type=kind) for name in names})


def _promise(variable: str, node: str, output: str) -> literals_pb2.Binding:
    promise = types_pb2.OutputReference(node_id=node, var=output)
    return literals_pb2.Binding(var=variable, binding=literals_pb2.BindingData(promise=promise))


@dataclass(frozen=True)
class Registration:
    """The three requests that make one workflow runnable."""

    task: task_pb2.TaskCreateRequest
    workflow: workflow_pb2.WorkflowCreateRequest
    launch_plan: launch_plan_pb2.LaunchPlanCreateRequest

    @property
    def launch_plan_id(self) -> identifier_pb2.Identifier:
        return self.launch_plan.id


def _echo_task(name: str = "bench.echo", kind: types_pb2.LiteralType = _INTEGER) -> task_pb2.TaskCreateRequest:
    task_id = identifier(identifier_pb2.TASK, name)
    metadata = tasks_pb2.TaskMetadata(
        runtime=tasks_pb2.RuntimeMetadata(type=tasks_pb2.RuntimeMetadata.FLYTE_SDK, version="1.16.0", flavor="python")
    )
    interface = interface_pb2.TypedInterface(inputs=_variables("a", kind=kind), outputs=_variables("o0", kind=kind))
    template = tasks_pb2.TaskTemplate(id=task_id, type="echo", metadata=metadata, interface=interface)
    return task_pb2.TaskCreateRequest(id=task_id, spec=task_pb2.TaskSpec(template=template))


def _node(number: int, upstream: str | None) -> core_workflow_pb2.Node:
    task = identifier(identifier_pb2.TASK, "bench.echo")
    return core_workflow_pb2.Node(
        id=f"n{number}",
        metadata=core_workflow_pb2.NodeMetadata(name="echo"),
        inputs=[_promise("a", upstream or "", "o0" if upstream else "x")],
        upstream_node_ids=[upstream] if upstream else [],
        task_node=core_workflow_pb2.TaskNode(reference_id=task),
    )


def _registration(name: str, nodes: list[core_workflow_pb2.Node], last: str) -> Registration:
    workflow_id = identifier(identifier_pb2.WORKFLOW, name)
    template = core_workflow_pb2.WorkflowTemplate(
        id=workflow_id,
        metadata=core_workflow_pb2.WorkflowMetadata(),
        metadata_defaults=core_workflow_pb2.WorkflowMetadataDefaults(),
        interface=interface_pb2.TypedInterface(inputs=_variables("x"), outputs=_variables("o0")),
        nodes=nodes,
        outputs=[_promise("o0", last, "o0")],
    )
    return Registration(
        task=_echo_task(),
        workflow=workflow_pb2.WorkflowCreateRequest(id=workflow_id, spec=workflow_pb2.WorkflowSpec(template=template)),
        launch_plan=launch_plan_pb2.LaunchPlanCreateRequest(
            id=identifier(identifier_pb2.LAUNCH_PLAN, name),
            spec=launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow_id),
        ),
    )


def chain(length: int) -> Registration:
    """`length` echo nodes, each fed by the one before."""
    nodes = [_node(i, f"n{i - 1}" if i else None) for i in range(length)]
    return _registration(f"bench.chain_{length}", nodes, f"n{length - 1}")


def fan_out(width: int) -> Registration:
    """`width` echo nodes side by side; the workflow's output is the last one's."""
    nodes = [_node(i, None) for i in range(width)]
    return _registration(f"bench.fan_{width}", nodes, f"n{width - 1}")


def graph(size: int) -> Registration:
    """About `size` echo nodes in as many layers as each layer has nodes.

    A node is fed by the one above it, and waits for that one's neighbour too.
    """
    width = round(math.sqrt(size))
    nodes: list[core_workflow_pb2.Node] = []
    for i in range(width * width):
        above = i - width
        node = _node(i, f"n{above}" if above >= 0 else None)
        if above >= 0:
            neighbour = above - above % width + (above + 1) % width
            node.upstream_node_ids.append(f"n{neighbour}")
        nodes.append(node)
    return _registration(f"bench.graph_{size}", nodes, nodes[-1].id)


def launching(children: int) -> Registration:
    """`children` nodes side by side, each running the launch plan of `chain(1)`; all of them may run at once."""
    launched = chain(1).launch_plan_id
    nodes = [
        core_workflow_pb2.Node(
            id=f"n{i}",
            metadata=core_workflow_pb2.NodeMetadata(name="launched"),
            inputs=[_promise("x", "", "x")],
            workflow_node=core_workflow_pb2.WorkflowNode(launchplan_ref=launched),
        )
        for i in range(children)
    ]
    registration = _registration(f"bench.launching_{children}", nodes, nodes[-1].id)
    registration.launch_plan.spec.max_parallelism = children
    return registration


def mapped(size: int) -> Registration:
    """One array node of `size` echo elements. Its list is fixed in the launch plan: runs take no inputs."""
    name = f"bench.map_{size}"
    task = _echo_task("bench.mapped_echo", _INTEGERS)
    element = core_workflow_pb2.Node(
        id="echo",
        inputs=[_promise("a", "", "xs")],
        task_node=core_workflow_pb2.TaskNode(reference_id=task.id),
    )
    array = core_workflow_pb2.Node(
        id="n0",
        metadata=core_workflow_pb2.NodeMetadata(name="mapped echo"),
        inputs=[_promise("a", "", "xs")],
        array_node=core_workflow_pb2.ArrayNode(node=element),
    )
    workflow_id = identifier(identifier_pb2.WORKFLOW, name)
    template = core_workflow_pb2.WorkflowTemplate(
        id=workflow_id,
        metadata=core_workflow_pb2.WorkflowMetadata(),
        metadata_defaults=core_workflow_pb2.WorkflowMetadataDefaults(),
        interface=interface_pb2.TypedInterface(
            inputs=_variables("xs", kind=_INTEGERS), outputs=_variables("o0", kind=_INTEGERS)
        ),
        nodes=[array],
        outputs=[_promise("o0", "n0", "o0")],
    )
    fixed = literals_pb2.LiteralMap()
    fixed.literals["xs"].collection.literals.extend(map(integer, range(size)))
    return Registration(
        task=task,
        workflow=workflow_pb2.WorkflowCreateRequest(id=workflow_id, spec=workflow_pb2.WorkflowSpec(template=template)),
        launch_plan=launch_plan_pb2.LaunchPlanCreateRequest(
            id=identifier(identifier_pb2.LAUNCH_PLAN, name),
            spec=launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow_id, fixed_inputs=fixed),
        ),
    )
