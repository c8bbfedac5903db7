"""The workflow and launch plan of a single-task execution (admin-contract §4.7, engine-semantics §8).

Executing a task runs a workflow of one node. Flyte stores that workflow and a launch plan, both named
`.flytegen.<task name>`, at the first such execution; here they follow from the task version alone and are derived when
asked for, so every task has them at once and they cannot differ from it. Only the compiled closure is kept, as part of
the task's registration.
"""

from flyteidl.admin import launch_plan_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2

from flightlog_compiler import GENERATED_PREFIX, generated_id
from flightlog_protos.registry.v1 import facts_pb2


def task_id_of(identifier: identifier_pb2.Identifier) -> identifier_pb2.Identifier | None:
    """The task behind a generated identifier; None for any other."""
    name = identifier.name.removeprefix(GENERATED_PREFIX)
    if name == identifier.name or not name:
        return None
    return identifier_pb2.Identifier(
        resource_type=identifier_pb2.TASK,
        project=identifier.project,
        domain=identifier.domain,
        name=name,
        version=identifier.version,
    )


def workflow_of(task: facts_pb2.TaskRegistered, closure: compiler_pb2.CompiledWorkflowClosure) -> workflow_pb2.Workflow:
    """The generated workflow as GetWorkflow answers it."""
    return workflow_pb2.Workflow(
        id=generated_id(task.id, identifier_pb2.WORKFLOW),
        closure=workflow_pb2.WorkflowClosure(compiled_workflow=closure, created_at=task.created_at),
    )


def launch_plan_of(task: facts_pb2.TaskRegistered) -> launch_plan_pb2.LaunchPlan:
    """The generated launch plan as GetLaunchPlan answers it: every input of the task is required."""
    interface = task.compiled_task.template.interface
    expected = interface_pb2.ParameterMap()
    for name in sorted(interface.inputs.variables):
        expected.parameters[name].var.CopyFrom(interface.inputs.variables[name])
        expected.parameters[name].required = True
    return launch_plan_pb2.LaunchPlan(
        id=generated_id(task.id, identifier_pb2.LAUNCH_PLAN),
        spec=launch_plan_pb2.LaunchPlanSpec(
            workflow_id=generated_id(task.id, identifier_pb2.WORKFLOW),
            entity_metadata=launch_plan_pb2.LaunchPlanMetadata(),
            default_inputs=expected,
        ),
        closure=launch_plan_pb2.LaunchPlanClosure(
            expected_inputs=expected,
            expected_outputs=interface.outputs,
            created_at=task.created_at,
            updated_at=task.created_at,
        ),
    )
