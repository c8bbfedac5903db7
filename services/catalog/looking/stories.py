"""What one node of an execution had to do with the cache, from the facts of its execution. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef

_OVER: Final = (facts.NodeFailed, facts.NodeTimedOut, facts.NodeAborted, facts.NodeSkipped)
_ENDS: Final = (facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted)


class UnknownNode(Exception):
    """The execution has no such node; the text says what it has."""


@dataclass(slots=True)
class Story:
    """A node, as far as the cache is concerned."""

    node_id: str
    kind: facts.NodeKind = facts.NODE_KIND_UNSPECIFIED
    name: str = ""
    spec_node_id: str = ""
    element: int | None = None
    # Of an element those of its array, unless it has its own.
    inputs: DataRef | None = None
    use: facts.CacheUse | None = None
    # When the catalog was asked, and when the node went on.
    asked_at: Timestamp | None = None
    queued_at: Timestamp | None = None
    # A result was found whose outputs are gone.
    lost: bool = False
    awaited_at: Timestamp | None = None
    awaits: bool = False
    put: facts.CachePutRequested | None = None
    succeeded: facts.NodeSucceeded | None = None
    recovered: facts.NodeRecovered | None = None
    over: bool = False
    # The compiled workflow that has it, and the way to it in there: ids of nodes that lie in one another.
    closure: DataRef | None = None
    way: tuple[str, ...] = ()
    # Of an array: how many elements it has, and how those that ended used the cache.
    size: int = 0
    elements: dict[str, CatalogCacheStatus] = field(default_factory=dict[str, CatalogCacheStatus])

    @property
    def key(self) -> CacheKey | None:
        """Under which its result is kept; None when it is not."""
        return None if self.use is None else self.use.key

    @property
    def input_hashes(self) -> dict[str, str]:
        """The inputs that count in its key."""
        return {} if self.use is None else {one.name: one.hash for one in self.use.input_hashes}

    @property
    def status(self) -> CatalogCacheStatus:
        """What clients see of it, or would see."""
        if self.recovered is not None:
            return self.recovered.cache_status
        if self.succeeded is not None and self.succeeded.HasField("catalog_key"):
            return self.succeeded.cache_status
        if self.use is None:
            return CatalogCacheStatus.CACHE_DISABLED
        if self.asked_at is None:
            return CatalogCacheStatus.CACHE_SKIPPED
        return CatalogCacheStatus.CACHE_MISS


def story(history: Iterable[Message], node_id: str, element: int | None = None) -> Story:
    """The story of a node, or of an element of the array node `node_id`.

    Raises:
        UnknownNode: the execution has none of that id, or not yet.
    """
    known = list(history)
    nodes = {fact.node_id: fact for fact in map(_queued, known) if fact is not None}
    wanted = node_id if element is None else _element(nodes, node_id, element)
    if wanted not in nodes:
        raise UnknownNode(_missing(nodes, wanted))
    told = Story(wanted)
    told.closure, told.way = _place(known, nodes, wanted)
    for fact in known:
        _tell(told, fact)
    if told.element is not None and told.inputs is None:
        array = nodes.get(nodes[wanted].parent_node_id)
        told.inputs = array.inputs if array is not None and array.HasField("inputs") else None
    return told


def _tell(told: Story, fact: Message) -> None:
    match fact:
        case facts.CacheAsked() if fact.node.node_id == told.node_id:
            _begin(told, fact.node)
            told.use, told.asked_at = fact.node.cache, fact.occurred_at
        case facts.NodeQueued() if fact.node_id == told.node_id:
            _begin(told, fact)
            told.queued_at = fact.occurred_at
            if fact.HasField("cache"):
                told.lost = told.asked_at is not None and fact.cache.overwrites
                told.use = told.use or fact.cache
        case facts.NodeQueued() if fact.parent_node_id == told.node_id and fact.HasField("element"):
            told.elements.setdefault(fact.node_id, CatalogCacheStatus.CACHE_DISABLED)
        case facts.NodeSucceeded() if fact.node_id in told.elements:
            told.elements[fact.node_id] = fact.cache_status
        case facts.ArrayPlanned() if fact.node_id == told.node_id:
            told.size = fact.size
            told.elements.clear()
        case facts.ReservationAwaited() if fact.node_id == told.node_id:
            told.awaited_at, told.awaits = fact.occurred_at, True
        case facts.ReservationHeld() if fact.node_id == told.node_id:
            told.awaits = False
            told.lost = told.lost or fact.overwrites
        case facts.CachePutRequested() if fact.node_id == told.node_id:
            told.put = fact
        case facts.NodeSucceeded() if fact.node_id == told.node_id:
            told.succeeded, told.awaits = fact, False
        case facts.NodeRecovered() if fact.node_id == told.node_id:
            told.recovered = fact
        case _ if isinstance(fact, _OVER) and fact.node_id == told.node_id:
            told.over, told.awaits = True, False
        case _ if isinstance(fact, _ENDS):
            told.over, told.awaits = True, False
        case _:
            pass


def _begin(told: Story, node: facts.NodeQueued) -> None:
    told.kind, told.name, told.spec_node_id = node.kind, node.name, node.spec_node_id
    told.element = node.element if node.HasField("element") else None
    if node.HasField("inputs"):
        told.inputs = node.inputs


def _queued(fact: Message) -> facts.NodeQueued | None:
    if isinstance(fact, facts.CacheAsked):
        return fact.node
    return fact if isinstance(fact, facts.NodeQueued) else None


def _place(
    history: Iterable[Message], nodes: dict[str, facts.NodeQueued], node_id: str
) -> tuple[DataRef | None, tuple[str, ...]]:
    """In which closure a node is, and the way to it: the execution's, or one that a dynamic node around it has."""
    closure: DataRef | None = None
    plans: dict[tuple[str, str], DataRef] = {}
    for fact in history:
        if isinstance(fact, facts.ExecutionCreated):
            closure = fact.closure
        elif isinstance(fact, facts.DynamicPlanned):
            plans[fact.node_id, str(fact.attempt)] = fact.closure
    way: list[str] = []
    node = nodes.get(node_id)
    while node is not None:
        way.append(node.spec_node_id)
        asked_for = plans.get((node.parent_node_id, node.retry_group))
        if asked_for is not None:
            closure = asked_for
            break
        node = nodes.get(node.parent_node_id)
    return closure, tuple(reversed(way))


def _element(nodes: dict[str, facts.NodeQueued], array: str, element: int) -> str:
    """The element of the array's last attempt."""
    found = [
        node.node_id
        for node in nodes.values()
        if node.parent_node_id == array and node.HasField("element") and node.element == element
    ]
    if found:
        return found[-1]
    if array not in nodes:
        raise UnknownNode(_missing(nodes, array))
    if nodes[array].kind != facts.ARRAY:
        raise UnknownNode(f"node {array} is no map, so it has no element {element}")
    raise UnknownNode(f"node {array} has no element {element}, or has not begun it")


def _missing(nodes: dict[str, facts.NodeQueued], node_id: str) -> str:
    near = get_close_matches(node_id, nodes, n=3, cutoff=0.5) or [name for name in nodes if name != "start-node"][:8]
    among = f"; among those it has: {', '.join(near)}" if near else ""
    return f"no node {node_id} has begun{among}"
