"""Why a node found no result, or found the one it has. Pure.

What counts is how the cache was when the node asked: what was put there or taken away later explains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey, InputHash, ResultCached
from flightlog_protos.catalog.v1.catalog_service_pb2 import CachedEntry, CacheEvent, ExplainNodeResponse
from services.catalog.entries import Rules
from services.catalog.looking import histories, interfaces, keys, values
from services.catalog.looking.histories import CACHED, EVICTED, REPLACED, RESERVED
from services.catalog.looking.keys import Difference, Parts, differences, entity_name
from services.catalog.looking.stories import Story

IGNORED: Final = "(ignored)"
"""In the place of the value of an input that does not count in the other key."""

_NAMED: Final = 3
"""How many of the parts that differ are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a node's question, and why."""

    outcome: ExplainNodeResponse.Outcome
    said: str
    nearest: CachedEntry | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def reason(self) -> str:
        """The explanation as one sentence."""
        return f"{self.said}{_listed(self.differences)}."


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a node, or of the array that it is an element of; `literals` is None where they are gone.

    `interface` is what the node takes and gives, where that is known.
    """

    literals: LiteralMap | None
    element: int | None = None
    interface: TypedInterface | None = None

    def own(self, hashes: Iterable[InputHash]) -> LiteralMap | None:
        """The inputs of the node itself: of an element its items, as far as the hashes of its key tell them."""
        if self.literals is None:
            return None
        found = LiteralMap()
        found.CopyFrom(self.literals)
        for one in hashes:
            value = values.value_of(one.name, one.hash, self.literals, self.element)
            if value is not None:
                found.literals[one.name].CopyFrom(value)
        return found

    def text(self, name: str, digest: str) -> str:
        """The value that a hash was made of; the hash where it is not known any more."""
        literal = values.value_of(name, digest, self.literals, self.element)
        return digest if literal is None else values.text(literal)

    def ignores(self, name: str) -> bool:
        """Whether there is an input of this name, given that it does not count."""
        return self.literals is not None and name in self.literals.literals


def explain(
    story: Story,
    node: NodeExecutionIdentifier,
    history: Sequence[CacheEvent],
    results: Sequence[ResultCached],
    candidates: Iterable[CachedEntry],
    uncached: str,
    rules: Rules,
) -> Explanation:
    """Why a node has the result it has.

    Args:
        node: whose story it is.
        history: of the entry of its key.
        results: that this entry has had.
        candidates: entries of the same name as they are now, whatever their keys.
        uncached: why a node without a key has none.
        rules: by which results are found.
    """
    if story.recovered is not None:
        source = histories.node_name(story.recovered.source)
        return Explanation(ExplainNodeResponse.RECOVERED, f"It was reused from {source}, which this execution recovers")
    key = story.key
    if key is None:
        return Explanation(ExplainNodeResponse.NOT_CACHED, uncached)
    if story.status == CatalogCacheStatus.CACHE_HIT:
        return _hit(story, key, results)
    if story.lost:
        return Explanation(
            ExplainNodeResponse.OUTPUTS_LOST,
            "There was a result, but its outputs are gone, or not such as this node gives: it was made again",
        )
    if story.asked_at is None:
        return Explanation(
            ExplainNodeResponse.OVERWRITES, "Its execution has overwrite_cache: nothing is looked up, all is made anew"
        )
    if story.queued_at is None:
        ended = "It ended before the catalog had answered" if story.over else "The catalog has not answered yet"
        return Explanation(ExplainNodeResponse.UNANSWERED, ended)
    told = _told_by_history(story, node, history, rules)
    return told or _nearest(story, key, story.asked_at, node, candidates)


def with_values(explanation: Explanation, here: Inputs, there: Inputs) -> Explanation:
    """The same explanation with values and types in the place of their hashes, as far as they are known."""
    told: list[Difference] = []
    for difference in explanation.differences:
        name = input_name(difference)
        if name is None:
            told.append(_with_types(difference, here.interface, there.interface))
            continue
        ours = here.text(name, difference.here) if difference.here else IGNORED if here.ignores(name) else ""
        theirs = there.text(name, difference.there) if difference.there else IGNORED if there.ignores(name) else ""
        if ours == theirs:
            # They differ beyond what is shown of them.
            ours, theirs = f"{ours} #{difference.here[:8]}", f"{theirs} #{difference.there[:8]}"
        told.append(difference._replace(here=ours, there=theirs))
    return replace(explanation, differences=tuple(told))


def _with_types(difference: Difference, here: TypedInterface | None, there: TypedInterface | None) -> Difference:
    if here is None or there is None:
        return difference
    match difference.part:
        case keys.INPUTS:
            ours, theirs = interfaces.changed(here.inputs, there.inputs)
        case keys.OUTPUTS:
            ours, theirs = interfaces.changed(here.outputs, there.outputs)
        case _:
            return difference
    return difference._replace(here=values.shortened(ours), there=values.shortened(theirs))


def input_name(difference: Difference) -> str | None:
    """Which input it is about; None for another part of the key."""
    kind, _, name = difference.part.partition(" ")
    return name if kind == "input" and name else None


def clock(moment: Timestamp) -> str:
    """A moment as sentences have it: `2026-11-21 13:55:02 UTC`."""
    return moment.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")


def _hit(story: Story, key: CacheKey, results: Sequence[ResultCached]) -> Explanation:
    assert story.succeeded is not None
    artifact = story.succeeded.catalog_key.artifact_tag.artifact_id
    taken = next((one for one in results if one.result.artifact_id == artifact), None)
    source = story.succeeded.catalog_key.source_task_execution.node_execution_id
    by = histories.node_name(source) if source.node_id else "a client outside"
    if taken is None:
        return Explanation(ExplainNodeResponse.HIT, f"It was a hit: made by {by}")
    entry = CachedEntry(key=key, result=taken.result, cached_at=taken.occurred_at)
    if story.awaited_at is not None:
        return Explanation(ExplainNodeResponse.HIT, f"It waited until {by} had made the result, and took that", entry)
    return Explanation(ExplainNodeResponse.HIT, f"It was a hit: made by {by} at {clock(taken.occurred_at)}", entry)


def _told_by_history(
    story: Story, node: NodeExecutionIdentifier, history: Sequence[CacheEvent], rules: Rules
) -> Explanation | None:
    """What the entry of its own key tells: that a result was there, or was just being made."""
    assert story.queued_at is not None
    if story.awaits:
        holder = next((event.subject for event in reversed(history) if event.what == RESERVED), "another node")
        said = f"No result was cached; it waits for {holder}, which is making the same one"
        return Explanation(ExplainNodeResponse.AWAITS_ANOTHER, said)
    changes = [event for event in history if event.what in (CACHED, REPLACED, EVICTED)]
    before = [event for event in changes if _time(event.occurred_at) <= _time(story.queued_at)]
    if before and before[-1].what == EVICTED:
        last = before[-1]
        why = f": {last.reason}" if last.reason else ""
        said = f"The result was evicted by {last.actor} at {clock(last.occurred_at)}{why}"
        return Explanation(ExplainNodeResponse.EVICTED, said)
    if before and rules.max_age is not None:
        age = timedelta(microseconds=(_time(story.queued_at) - _time(before[-1].occurred_at)) // 1000)
        if age > rules.max_age:
            made = f"The result of {before[-1].subject} was made at {clock(before[-1].occurred_at)}"
            said = f"{made}, and results older than {rules.max_age} are not taken"
            return Explanation(ExplainNodeResponse.TOO_OLD, said)
    if story.put is None:
        return None
    ours = histories.node_name(node)
    known = [event for event in changes if _time(event.occurred_at) <= _time(story.put.occurred_at)]
    if known and known[-1].what != EVICTED and known[-1].subject != ours:
        said = f"Another node was making the same result at the same time, {known[-1].subject}"
        if story.use is not None and not story.use.serializes:
            said += "; with cache_serialize one waits for the other"
        return Explanation(ExplainNodeResponse.MADE_MEANWHILE, said)
    return None


def _nearest(
    story: Story, key: CacheKey, asked_at: Timestamp, node: NodeExecutionIdentifier, candidates: Iterable[CachedEntry]
) -> Explanation:
    here = Parts.of(key, story.use.input_hashes if story.use is not None else ())
    found: list[tuple[int, int, str, CachedEntry, list[Difference]]] = []
    for entry in candidates:
        if _time(entry.cached_at) > _time(asked_at) or entry.result.source.node_execution_id == node:
            continue
        parts = differences(here, Parts.of(entry.key, entry.result.input_hashes))
        if parts:
            found.append((len(parts), -_time(entry.cached_at), entry.result.artifact_id, entry, parts))
    if not found:
        return Explanation(
            ExplainNodeResponse.NOTHING_CACHED, f"No result of {entity_name(key)} was cached when it asked"
        )
    *_, entry, parts = min(found, key=lambda one: one[:3])
    said = f"No result has the same key; next to it is that of {histories.maker(entry.result)}: "
    return Explanation(ExplainNodeResponse.OTHER_KEY, said, entry, tuple(parts))


def _listed(parts: Sequence[Difference]) -> str:
    if not parts:
        return ""
    named = [_phrase(part) for part in parts[:_NAMED]]
    more = len(parts) - len(named)
    if more:
        named.append(f"{more} more {'part differs' if more == 1 else 'parts differ'}")
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]


def _phrase(difference: Difference) -> str:
    part, here, there = difference
    name = input_name(difference)
    match part:
        case "inputs":
            return "the inputs differ"
        case keys.INPUTS | keys.OUTPUTS:
            whose = "inputs" if part == keys.INPUTS else "outputs"
            if ":" not in here + there:
                return f"the types of the {whose} differ"
            return f"the {whose} are declared with {here or 'less'} here and {there or 'less'} there"
        case _ if name is None:
            return f"the {part} is {here} here and {there} there"
        case _ if not there:
            return f"input {name} is only here"
        case _ if not here:
            return f"input {name} is only there"
        case _:
            return f"input {name} is {_of(here)} here and {_of(there)} there"


def _of(value: str) -> str:
    return "ignored" if value == IGNORED else value


def _time(moment: Timestamp) -> int:
    return moment.seconds * 1_000_000_000 + moment.nanos
