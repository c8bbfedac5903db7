"""Why the result of a node is not cached at all, from what it runs and its workflow. Pure (engine-semantics §4.1)."""

from __future__ import annotations

from typing import Final

from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import NodeMetadata

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types import cache_keys
from services.catalog.looking.compiled import Compiled, compiled
from services.catalog.looking.stories import Story

_KINDS: Final = {
    facts.START: "the start of a workflow",
    facts.END: "the end of a workflow",
    facts.BRANCH: "a conditional",
    facts.GATE: "a gate",
}
_ASKED_FOR: Final = "with_overrides(cache=Cache(version=...))"
_NOTHING_TOLD: Final = "No caching is asked for here, or the node did not get far enough to tell"


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
        closure: what the node was compiled into; None where that is not known.
        inputs: the node's; None where they are not known.
    """
    if story.kind == facts.ARRAY:
        return array_reason(story)
    if story.kind in _KINDS:
        return f"This is {_KINDS[story.kind]}, which has no result to be cached"
    found = None if closure is None else compiled(closure, story.way)
    if found is None:
        return _NOTHING_TOLD
    version, refusal = _of_task(found.node.metadata, found.task) if found.task is not None else _of_node(found)
    if refusal:
        return refusal
    what = f"{_kind(found).capitalize()} {found.name}"
    if not version.strip(" "):
        return f"{what} has no cache_version, without which there is no key"
    if found.interface is None:
        return f"What {_kind(found)} {found.name} gives was not compiled into this workflow; a new version of it has it"
    if not found.interface.outputs.variables:
        return f"{what} has no outputs, so there is nothing to be cached"
    if inputs is not None and not _have_hashes(inputs, found):
        return "The inputs hold a value that has no hash, which nothing can be equal to"
    return "Caching is off on this server (FLIGHTLOG_EXECUTION__CACHING)"


def _of_task(node: NodeMetadata, task: TaskTemplate) -> tuple[str, str]:
    """The version of the cache, and why there is none."""
    name, said = task.id.name, task.metadata
    version = node.cache_version if node.HasField("cache_version") else said.discovery_version
    if node.cacheable if node.HasField("cacheable") else said.discoverable:
        return version, ""
    if said.discoverable:
        return version, f"Caching of {name} is off for this node (with_overrides)"
    return version, f"Task {name} is not cached: it is declared without cache=True and a cache_version"


def _of_node(found: Compiled) -> tuple[str, str]:
    """Likewise, of what runs no task: only the node can ask for it."""
    metadata = found.node.metadata
    if metadata.cacheable:
        return metadata.cache_version, ""
    return "", f"What a {_kind(found)} gives is cached only where its node asks for that: {_ASKED_FOR}"


def _kind(found: Compiled) -> str:
    if found.task is not None:
        return "task"
    return "launch plan" if found.node.workflow_node.HasField("launchplan_ref") else "sub-workflow"


def _have_hashes(inputs: LiteralMap, found: Compiled) -> bool:
    ignored = () if found.task is None else found.task.metadata.cache_ignore_input_vars
    try:
        cache_keys.tag(inputs, ignored)
        cache_keys.tag(found.given)
    except ValueError:
        return False
    return True
