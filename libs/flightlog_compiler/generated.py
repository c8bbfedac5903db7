"""The workflow around a single task, which runs when a task is executed by itself (admin-contract §4.7)."""

import re
from collections.abc import Iterable

from flyteidl.core import compiler_pb2, identifier_pb2, literals_pb2, types_pb2, workflow_pb2

from flightlog_compiler.references import EntityKey
from flightlog_compiler.shaping import END_NODE, START_NODE
from flightlog_compiler.workflows import compile_workflow

GENERATED_PREFIX = ".flytegen."
"""Start of the names of workflows and launch plans that the server makes for a single task."""

_DEFAULT_RETRIES = 3
_MAX_NODE_ID = 63
_NOT_IN_NODE_ID = re.compile(r"[^a-zA-Z0-9-]")


def generated_workflow(compiled_task: compiler_pb2.CompiledTask) -> compiler_pb2.CompiledWorkflowClosure:
    """The closure of one node that takes the task's inputs and gives its outputs.

    Retries are the task's, or 3 when it says nothing. Raises CompileErrors for an interface that is not well-formed.
    """
    task = compiled_task.template
    node_id = _node_id(task.id.name)
    retries = task.metadata.retries if task.metadata.HasField("retries") else None
    template = workflow_pb2.WorkflowTemplate(
        id=generated_id(task.id, identifier_pb2.WORKFLOW),
        interface=task.interface,
        nodes=[
            workflow_pb2.Node(
                id=node_id,
                metadata=workflow_pb2.NodeMetadata(
                    name=node_id, retries=retries or literals_pb2.RetryStrategy(retries=_DEFAULT_RETRIES)
                ),
                inputs=_bindings(task.interface.inputs.variables, START_NODE),
                task_node=workflow_pb2.TaskNode(reference_id=task.id),
            )
        ],
        outputs=_bindings(task.interface.outputs.variables, node_id),
    )
    return compile_workflow(template, (), {EntityKey.of(task.id): compiled_task}, {})


def generated_id(
    task_id: identifier_pb2.Identifier, resource_type: identifier_pb2.ResourceType
) -> identifier_pb2.Identifier:
    """The identifier of the generated workflow or launch plan of a task."""
    generated = identifier_pb2.Identifier()
    generated.CopyFrom(task_id)
    generated.resource_type = resource_type
    generated.name = f"{GENERATED_PREFIX}{task_id.name}"
    return generated


def _node_id(task_name: str) -> str:
    reduced = _NOT_IN_NODE_ID.sub("", task_name)[-_MAX_NODE_ID:]
    # A name of other characters only leaves nothing, and two names belong to the nodes around this one.
    return "task" if reduced in ("", START_NODE, END_NODE) else reduced


def _bindings(variables: Iterable[str], node_id: str) -> list[literals_pb2.Binding]:
    return [
        literals_pb2.Binding(
            var=name,
            binding=literals_pb2.BindingData(promise=types_pb2.OutputReference(node_id=node_id, var=name)),
        )
        for name in sorted(variables)
    ]
