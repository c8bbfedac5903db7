"""CatalogService: what is cached, why a node found nothing, and taking results out (docs/operations.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Log
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey, ResultEvicted
from flightlog_protos.catalog.v1.catalog_service_pb2 import (
    CachedEntry,
    CacheSelection,
    EvictRequest,
    EvictResponse,
    ExplainNodeRequest,
    ExplainNodeResponse,
    GetCachedRequest,
    GetCachedResponse,
    KeyDifference,
    ListCachedRequest,
    ListCachedResponse,
    NodeOrElement,
    PinRequest,
    PinResponse,
)
from flightlog_rpc import CallContext, Implementation, failed_precondition, invalid, missing, not_found
from services.catalog import subjects
from services.catalog.entries import Outcome
from services.catalog.keeping import Entries
from services.catalog.looking import histories, keys, selection, uncached
from services.catalog.looking.explaining import Explanation, Inputs, explain, input_name, with_values
from services.catalog.looking.nodes import Nodes
from services.catalog.looking.reading import Reads
from services.catalog.looking.stories import Story
from services.catalog.requests import Evict, Pin, Unpin

_SERVICE: Final = "/flightlog.catalog.v1.CatalogService/"
_USERS: Final = 100
_EVENTS: Final = 1000
_CHANGED: Final = 50
"""Entries that have changed since a node asked, whose histories are looked at."""
_LARGEST_SHOWN: Final = 1 << 20
"""Bytes of inputs, and of outputs, that are answered."""


def methods(log: Log, entries: Entries, reads: Reads, nodes: Nodes) -> Mapping[str, Implementation]:
    """Full method name -> what answers it."""
    looking, keeping = Looking(log, entries, reads, nodes), Keeping(entries, reads)
    return {
        f"{_SERVICE}ListCached": looking.list,
        f"{_SERVICE}GetCached": looking.get,
        f"{_SERVICE}ExplainNode": looking.explain,
        f"{_SERVICE}Evict": keeping.evict,
        f"{_SERVICE}Pin": keeping.pin,
    }


class Looking:
    """The calls that change nothing."""

    def __init__(self, log: Log, entries: Entries, reads: Reads, nodes: Nodes) -> None:
        self._log = log
        self._rules = entries.rules
        self._reads = reads
        self._nodes = nodes

    async def list(self, request: ListCachedRequest, call: CallContext) -> ListCachedResponse:
        """ListCached: the results of a selection, newest first; an empty selection is of all."""
        where = selection.where(request.selection) & selection.behind(request.token)
        found, more = await self._reads.entries(where, selection.page_size(request.limit, selection.LISTED))
        return ListCachedResponse(entries=found, token=more)

    async def get(self, request: GetCachedRequest, call: CallContext) -> GetCachedResponse:
        """GetCached: one entry, by its result, its key or tag, or a node that looked for it."""
        key = await self._key(request)
        records = await self._log.load(subjects.entry(key))
        if not records:
            raise not_found(f"nothing was ever cached under {_shown(key)}")
        entry = await self._reads.entry(key) or CachedEntry(key=key)
        answer = GetCachedResponse(entry=entry, history=histories.events(records)[-_EVENTS:])
        if entry.HasField("result"):
            outputs = await self._nodes.literals(entry.result.outputs, _LARGEST_SHOWN)
            if outputs is not None:
                answer.outputs.CopyFrom(outputs)
            inputs = await self._nodes.inputs_of(entry.result)
            answer.users.extend(await self._reads.users(entry.result.artifact_id, _USERS))
            shown = inputs.own(entry.result.input_hashes)
            if shown is not None and shown.ByteSize() <= _LARGEST_SHOWN:
                answer.inputs.CopyFrom(shown)
        return answer

    async def explain(self, request: ExplainNodeRequest, call: CallContext) -> ExplainNodeResponse:
        """ExplainNode: why a node found no result, or which one it found."""
        node, told = await self._nodes.story(request.node)
        key = told.key
        records = [] if key is None else await self._log.load(subjects.entry(key))
        candidates: Sequence[CachedEntry] = ()
        if key is not None and told.asked_at is not None:
            candidates = await self._candidates(key, told.asked_at)
        found = explain(
            told,
            node,
            histories.events(records),
            histories.results(records),
            candidates,
            "" if key is not None else await self._uncached(told),
            self._rules,
        )
        found = await self._with_values(found, told)
        answer = ExplainNodeResponse(
            node=node,
            outcome=found.outcome,
            reason=found.reason,
            status=told.status,
            key=key,
            differences=[KeyDifference(part=part, wanted=here, found=there) for part, here, there in found.differences],
        )
        if found.nearest is not None:
            answer.nearest.CopyFrom(await self._as_it_is_now(found.nearest))
        return answer

    async def _key(self, request: GetCachedRequest) -> CacheKey:
        match request.WhichOneof("entry"):
            case "key":
                return request.key
            case "node":
                return await self._key_of(request.node)
            case "artifact_id":
                wanted = CacheSelection(artifact_id=request.artifact_id)
            case "tag":
                wanted = CacheSelection(tag=request.tag)
            case _:
                raise missing("entry")
        if selection.is_empty(wanted):
            raise missing("entry")
        found, _ = await self._reads.entries(selection.where(wanted), 2)
        if not found:
            raise not_found("no such result is cached now; of one that was, the node that made or took it tells more")
        if len(found) > 1:
            raise failed_precondition(f"there are several: {', '.join(_shown(entry.key) for entry in found)}, …")
        return found[0].key

    async def _key_of(self, wanted: NodeOrElement) -> CacheKey:
        _, told = await self._nodes.story(wanted)
        if told.key is None:
            raise not_found(f"there is no result: {await self._uncached(told)}")
        return told.key

    async def _candidates(self, key: CacheKey, asked_at: Timestamp) -> list[CachedEntry]:
        """Entries as they were at a moment."""
        found, changed = await asyncio.gather(
            self._reads.candidates(key, asked_at), self._reads.changed(key, asked_at, _CHANGED)
        )
        before = await asyncio.gather(*(self._as_it_was(one, asked_at) for one in changed))
        return [*found, *(entry for entry in before if entry is not None)]

    async def _as_it_was(self, key: CacheKey, at: Timestamp) -> CachedEntry | None:
        """An entry that has changed since; None where it had no result then."""
        records = await self._log.load(subjects.entry(key))
        before = histories.entry_at(records, at)
        if before.result is None:
            return None
        return CachedEntry(key=key, result=before.result, cached_at=before.cached_at)

    async def _uncached(self, told: Story) -> str:
        inputs = await self._nodes.inputs(told)
        return uncached.reason(told, await self._nodes.closure(told), inputs.literals)

    async def _with_values(self, found: Explanation, told: Story) -> Explanation:
        """With what is told of values and types; looked up only where some of them differ."""
        if found.nearest is None or not found.differences:
            return found
        nearest = found.nearest.result
        here, there = Inputs(None), Inputs(None)
        if any(map(input_name, found.differences)):
            here, there = await asyncio.gather(self._nodes.inputs(told), self._nodes.inputs_of(nearest))
        if any(difference.part in (keys.INPUTS, keys.OUTPUTS) for difference in found.differences):
            ours, theirs = await asyncio.gather(self._nodes.interface(told), self._nodes.interface_of(nearest))
            here, there = replace(here, interface=ours), replace(there, interface=theirs)
        return with_values(found, here, there)

    async def _as_it_is_now(self, entry: CachedEntry) -> CachedEntry:
        """With how often it was used; as it was, where it is no longer there."""
        now = await self._reads.entry(entry.key)
        same = now is not None and now.result.artifact_id == entry.result.artifact_id
        return now if now is not None and same else entry


class Keeping:
    """The calls that decide which results stay."""

    def __init__(self, entries: Entries, reads: Reads) -> None:
        self._entries = entries
        self._reads = reads

    async def evict(self, request: EvictRequest, call: CallContext) -> EvictResponse:
        """Evict: nobody finds these results any more. Pinned ones stay, unless they are asked for too."""
        found, more = await self._selected(request.selection, request.limit, request.token)
        answer = EvictResponse(token=more)
        if request.dry_run:
            for entry in found:
                (answer.kept if entry.pinned and not request.pinned_too else answer.evicted).append(entry)
            return answer

        def wanted(entry: CachedEntry) -> Evict:
            # What has taken its place meanwhile was not meant.
            return Evict(request.reason, entry.result.artifact_id, request.pinned_too)

        for entry, outcome in await self._change(found, wanted, call.cause()):
            if any(isinstance(fact, ResultEvicted) for fact in outcome.facts):
                answer.evicted.append(entry)
            elif outcome.entry.result is not None and outcome.entry.pinned:
                answer.kept.append(entry)
        return answer

    async def pin(self, request: PinRequest, call: CallContext) -> PinResponse:
        """Pin: these results stay whatever is evicted around them, or, with `unpin`, no longer."""
        found, more = await self._selected(request.selection, request.limit, request.token)

        def wanted(entry: CachedEntry) -> Pin | Unpin:
            artifact_id = entry.result.artifact_id
            return Unpin(artifact_id) if request.unpin else Pin(request.reason, artifact_id)

        answer = PinResponse(token=more)
        for entry, outcome in await self._change(found, wanted, call.cause()):
            if outcome.facts:
                entry.pinned = not request.unpin
                answer.entries.append(entry)
        return answer

    async def _selected(self, wanted: CacheSelection, limit: int, token: str) -> tuple[list[CachedEntry], str]:
        if selection.is_empty(wanted):
            raise invalid("the selection is empty: say which results are meant")
        where = selection.where(wanted) & selection.behind(token)
        return await self._reads.entries(where, selection.page_size(limit, selection.MOST))

    async def _change(
        self, found: Sequence[CachedEntry], wanted: Callable[[CachedEntry], Evict | Pin | Unpin], cause: Cause
    ) -> list[tuple[CachedEntry, Outcome]]:
        """Decides about each entry as it is now: another process may have been faster."""
        outcomes = await asyncio.gather(*(self._entries.change(entry.key, [wanted(entry)], cause) for entry in found))
        return list(zip(found, outcomes, strict=True))


def _shown(key: CacheKey) -> str:
    return f"{key.dataset.name} {key.dataset.version}, {key.tag}"
