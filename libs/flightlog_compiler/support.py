"""Which kinds of nodes this release's engine runs. The compiler knows them all; registration refuses the others."""

from collections.abc import Iterable, Iterator

from flyteidl.core import compiler_pb2, workflow_pb2

from flightlog_compiler.references import EntityKey, branch_arms, used_sub_workflows

_KINDS = {
    "launchplan_ref": "a launch plan node",
}


def unsupported_nodes(
    template: workflow_pb2.WorkflowTemplate, sub_workflows: Iterable[workflow_pb2.WorkflowTemplate] = ()
) -> list[str]:
    """One sentence for each node that this release's engine does not run; empty when it runs all of them."""
    subs = {EntityKey.of(sub.id): sub for sub in sub_workflows}
    found: list[str] = []
    for used in (template, *used_sub_workflows(template, subs)):
        found.extend(
            f"Node [{node.id}] of workflow [{used.id.name}] is {_KINDS[kind]}, which this release cannot execute."
            for node, kind in _unsupported(used)
        )
    return found


def unsupported_in_closure(closure: compiler_pb2.CompiledWorkflowClosure) -> list[str]:
    """The same for a compiled closure."""
    return unsupported_nodes(closure.primary.template, (compiled.template for compiled in closure.sub_workflows))


def _unsupported(template: workflow_pb2.WorkflowTemplate) -> Iterator[tuple[workflow_pb2.Node, str]]:
    for node in template.nodes:
        yield from _unsupported_within(node)
    if template.HasField("failure_node"):
        yield from _unsupported_within(template.failure_node)


def _unsupported_within(node: workflow_pb2.Node) -> Iterator[tuple[workflow_pb2.Node, str]]:
    target = node.WhichOneof("target")
    kind = node.workflow_node.WhichOneof("reference") if target == "workflow_node" else target
    if kind in _KINDS:
        yield node, kind
    if target == "branch_node":
        for arm in branch_arms(node.branch_node):
            yield from _unsupported_within(arm)
    elif target == "array_node":
        yield from _unsupported_within(node.array_node.node)
