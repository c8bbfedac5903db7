"""The compiler: from what flytekit registers to the closures that clients read and the engine runs. Pure.

A workflow goes through `requirements` (what must be loaded), `compile_workflow` (shape, interfaces, bindings, graph)
and `unsupported_nodes` (what this release's engine cannot run). Rules: admin-contract §3.
"""

from flightlog_compiler.errors import CompileError, CompileErrors
from flightlog_compiler.generated import GENERATED_PREFIX, generated_id, generated_workflow
from flightlog_compiler.references import EntityKey, LaunchPlanInterface, Requirements, requirements
from flightlog_compiler.support import unsupported_in_closure, unsupported_nodes
from flightlog_compiler.tasks import compile_task
from flightlog_compiler.workflows import compile_workflow

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
