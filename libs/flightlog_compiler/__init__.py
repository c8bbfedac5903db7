"""The compiler: from what flytekit registers to the closures that clients read and the engine runs. Pure.

A workflow goes through `requirements` (what must be loaded) and `compile_workflow` (shape, interfaces, bindings,
graph). What a dynamic task asks for goes through `dynamic_requirements` and `compile_dynamic`. Rules: admin-contract
§3, engine-semantics §5.1.
"""

from flightlog_compiler.dynamic import compile_dynamic, dynamic_requirements, dynamic_workflow_id
from flightlog_compiler.errors import CompileError, CompileErrors
from flightlog_compiler.generated import GENERATED_PREFIX, generated_id, generated_workflow
from flightlog_compiler.references import EntityKey, LaunchPlanInterface, Requirements, requirements
from flightlog_compiler.tasks import compile_task
from flightlog_compiler.workflows import compile_workflow

__all__ = [
    "GENERATED_PREFIX",
    "CompileError",
    "CompileErrors",
    "EntityKey",
    "LaunchPlanInterface",
    "Requirements",
    "compile_dynamic",
    "compile_task",
    "compile_workflow",
    "dynamic_requirements",
    "dynamic_workflow_id",
    "generated_id",
    "generated_workflow",
    "requirements",
]
