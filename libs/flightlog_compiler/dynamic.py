"""The workflow that a dynamic task asks for at run time (engine-semantics §5.1).

What the task wrote is compiled like a workflow that was registered: one without inputs, whose outputs are those the
task declares. Everything is a function of the arguments, so compiling again gives the same bytes.
"""

import hashlib
from collections.abc import Iterable, Mapping

from flyteidl.core import compiler_pb2, dynamic_job_pb2, identifier_pb2, interface_pb2, tasks_pb2, workflow_pb2

from flightlog_compiler.references import EntityKey, LaunchPlanInterface, Requirements, requirements
from flightlog_compiler.tasks import compile_task
from flightlog_compiler.workflows import compile_workflow

_VERSION_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_VERSION_LENGTH = 10


def dynamic_workflow_id(
    execution_id: identifier_pb2.WorkflowExecutionIdentifier, node_id: str, spec_node_id: str, attempt: int
) -> identifier_pb2.Identifier:
    """The id under which clients see the workflow of one attempt of a dynamic node.

    Flyte draws the version at random; here it follows from the attempt, so that planning twice gives one plan.

    Args:
        node_id: the node's unique id.
        spec_node_id: its id in the compiled workflow.
    """
    unique = "/".join((execution_id.project, execution_id.domain, execution_id.name, node_id, str(attempt)))
    number = int.from_bytes(hashlib.sha256(unique.encode()).digest())
    version = ""
    for _ in range(_VERSION_LENGTH):
        number, letter = divmod(number, len(_VERSION_LETTERS))
        version += _VERSION_LETTERS[letter]
    return identifier_pb2.Identifier(
        resource_type=identifier_pb2.WORKFLOW,
        project=execution_id.project,
        domain=execution_id.domain,
        name=f"dynamic_{spec_node_id}",
        version=version,
        org=execution_id.org,
    )


def dynamic_requirements(spec: dynamic_job_pb2.DynamicJobSpec) -> Requirements:
    """What must be loaded before `compile_dynamic`: launch plans, and tasks whose templates the spec does not hold."""
    held = {EntityKey.of(task.id) for task in spec.tasks}
    needed = requirements(workflow_pb2.WorkflowTemplate(nodes=spec.nodes), spec.subworkflows)
    return Requirements(
        tuple(task_id for task_id in needed.task_ids if EntityKey.of(task_id) not in held), needed.launch_plan_ids
    )


def compile_dynamic(
    spec: dynamic_job_pb2.DynamicJobSpec,
    parent: tasks_pb2.TaskTemplate,
    workflow_id: identifier_pb2.Identifier,
    tasks: Mapping[EntityKey, compiler_pb2.CompiledTask],
    launch_plans: Mapping[EntityKey, LaunchPlanInterface],
) -> compiler_pb2.CompiledWorkflowClosure:
    """Compile what a dynamic task asked for; the arguments stay untouched.

    Args:
        spec: what the task wrote (futures.pb).
        parent: the dynamic task itself: it declares the outputs, and its container's config holds for the children.
        tasks: at least those that `dynamic_requirements` names.
        launch_plans: likewise.

    Raises CompileErrors with every problem found.
    """
    held: dict[EntityKey, compiler_pb2.CompiledTask] = {}
    for template in spec.tasks:
        if EntityKey.of(template.id) not in held:
            held[EntityKey.of(template.id)] = _compiled_task(template, parent)
    template = workflow_pb2.WorkflowTemplate(
        id=workflow_id,
        interface=interface_pb2.TypedInterface(outputs=parent.interface.outputs),
        nodes=spec.nodes,
        outputs=spec.outputs,
    )
    closure = compile_workflow(template, spec.subworkflows, {**tasks, **held}, launch_plans)
    _undescribe(
        (
            closure.primary.template.interface,
            *(compiled.template.interface for compiled in closure.sub_workflows),
            *(task.template.interface for task in closure.tasks if task.template.HasField("interface")),
        )
    )
    return closure


def _compiled_task(template: tasks_pb2.TaskTemplate, parent: tasks_pb2.TaskTemplate) -> compiler_pb2.CompiledTask:
    compiled = compile_task(template)
    if template.HasField("container") and parent.HasField("container"):
        compiled.template.container.config.extend(parent.container.config)
    return compiled


def _undescribe(interfaces: Iterable[interface_pb2.TypedInterface]) -> None:
    """Clients are shown no descriptions of variables of dynamic workflows (engine-semantics §5.1)."""
    for interface in interfaces:
        for variables in (interface.inputs.variables, interface.outputs.variables):
            for variable in variables.values():
                variable.ClearField("description")
