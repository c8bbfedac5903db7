"""The compiler: from what flytekit registers to the closures that clients read and the engine runs. Pure.

A workflow goes through `requirements` (what must be loaded), `compile_workflow` (shape, interfaces, bindings, graph)
and `unsupported_nodes` (what this release's engine cannot run). Rules: admin-contract §3.
"""

from services.registry.compiler.errors import CompileError, CompileErrors
from services.registry.compiler.generated import GENERATED_PREFIX, generated_id, generated_workflow
from services.registry.compiler.references import EntityKey, LaunchPlanInterface, Requirements, requirements
from services.registry.compiler.support import unsupported_in_closure, unsupported_nodes
from services.registry.compiler.tasks import compile_task
from services.registry.compiler.workflows import compile_workflow

__all__ = [
    "GENERATED_PREFIX",
    "CompileError",
    "CompileErrors",
    "EntityKey",
    "LaunchPlanInterface",
    "Requirements",
    "compile_task",
    "compile_workflow",
    "generated_id",
    "generated_workflow",
    "requirements",
    "unsupported_in_closure",
    "unsupported_nodes",
]
