"""Why the result of a node is not cached at all, from its task and its workflow. Pure (engine-semantics §4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import Node, NodeMetadata

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types import cache_keys
from services.catalog.looking.stories import Story

_ASKED_FOR: Final = {facts.SUB_WORKFLOW: "sub-workflow", facts.LAUNCH_PLAN: "launch plan"}
_KINDS: Final = {
    facts.START: "the start of a workflow",
    facts.END: "the end of a workflow",
    facts.BRANCH: "a conditional",
    facts.GATE: "a gate",
}


def array_reason(story: Story) -> str:
    """Of a map: which of its elements may be asked about."""
    hits = sum(status == CatalogCacheStatus.CACHE_HIT for status in story.elements.values())
    return (
        f"This is a map, whose elements are cached each for itself: {hits} of {story.size} were hits; "
        f"ask about one of them, as {story.node_id}[0]"
    )


def reason(story: Story, closure: CompiledWorkflowClosure | None, inputs: LiteralMap | None) -> str:
    """Why a node has no key.

    Args:
        closure: what the node's task was compiled into; None where that is not known.
        inputs: the node's; None where they are not known.
    """
    if story.kind == facts.ARRAY:
        return array_reason(story)
    if story.kind in _KINDS:
        return f"This is {_KINDS[story.kind]}, which has no result to be cached"
    if story.kind in _ASKED_FOR:
        how = "with_overrides(cache=Cache(version=...))"
        return f"What a {_ASKED_FOR[story.kind]} gives is cached only where its node asks for that: {how}"
    task = None if closure is None else task_of(story, closure)
    if closure is None or task is None:
        return "No caching is asked for here, or the node did not get far enough to tell"
    metadata = _overrides(closure, story)
    name, of_task = task.id.name, task.metadata
    if not (metadata.cacheable if metadata.HasField("cacheable") else of_task.discoverable):
        if of_task.discoverable:
            return f"Caching of {name} is off for this node (with_overrides)"
        return f"Task {name} is not cached: it is declared without cache=True and a cache_version"
    version = metadata.cache_version if metadata.HasField("cache_version") else of_task.discovery_version
    if not version.strip(" "):
        return f"Task {name} has no cache_version, without which there is no key"
    if not task.interface.outputs.variables:
        return f"Task {name} has no outputs, so there is nothing to be cached"
    if inputs is not None and not _has_hash(inputs):
        return "The inputs hold a value that has no hash, which nothing can be equal to"
    return "Caching is off on this server (FLIGHTLOG_EXECUTION__CACHING)"


def task_of(story: Story, closure: CompiledWorkflowClosure) -> TaskTemplate | None:
    """The task that a node runs; None where it never came so far."""
    if story.scheduled is None:
        return None
    wanted = story.scheduled.task_id
    return next((task.template for task in closure.tasks if task.template.id == wanted), None)


def _overrides(closure: CompiledWorkflowClosure, story: Story) -> NodeMetadata:
    """What the workflow says of the node; nothing where several nodes of that id run other tasks."""
    assert story.scheduled is not None
    workflows = (closure.primary, *closure.sub_workflows)
    found = [
        node.metadata
        for workflow in workflows
        for node in _with_arms(workflow.template.nodes)
        if node.id == story.spec_node_id and node.task_node.reference_id == story.scheduled.task_id
    ]
    return found[0] if found else NodeMetadata()


def _with_arms(nodes: Iterable[Node]) -> Iterable[Node]:
    for node in nodes:
        yield node
        if node.HasField("branch_node"):
            if_else = node.branch_node.if_else
            arms = [block.then_node for block in (if_else.case, *if_else.other)]
            if if_else.HasField("else_node"):
                arms.append(if_else.else_node)
            yield from _with_arms(arms)


def _has_hash(inputs: LiteralMap) -> bool:
    try:
        cache_keys.tag(inputs)
    except ValueError:
        return False
    return True
