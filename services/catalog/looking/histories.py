"""What happened to an entry of the cache, for people: from its subject on the log. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, TaskExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Recorded
from flightlog_protos.catalog.v1.cache_pb2 import (
    CachedResult,
    ReservationEnded,
    ReservationGranted,
    ReservationQueued,
    ResultCached,
    ResultEvicted,
    ResultPinned,
    ResultUnpinned,
)
from flightlog_protos.catalog.v1.catalog_service_pb2 import CacheEvent
from flightlog_protos.log.v1.envelope_pb2 import Actor
from services.catalog import entries
from services.catalog.entries import Entry

CACHED, REPLACED, EVICTED, RESERVED = "cached", "replaced", "evicted", "reserved"
CHANGED = "changed"
"""The same result has other data: a client of DataCatalog updated the artifact."""


def events(records: Iterable[Recorded]) -> list[CacheEvent]:
    """The history of an entry, oldest first."""
    told: list[CacheEvent] = []
    result = ""
    for record in records:
        actor = actor_name(record.envelope.actor)
        for fact in record.facts:
            for event in _events(fact, result):
                event.actor = actor
                told.append(event)
            match fact:
                case ResultCached():
                    result = fact.result.artifact_id
                case ResultEvicted():
                    result = ""
                case _:
                    pass
    return told


def results(records: Sequence[Recorded]) -> list[ResultCached]:
    """Every result that the entry has had, oldest first."""
    return [fact for record in records for fact in record.facts if isinstance(fact, ResultCached)]


def entry_at(records: Iterable[Recorded], at: Timestamp) -> Entry:
    """The entry as it was at a moment, as far as its facts tell when they occurred."""
    until = at.ToNanoseconds()

    def had_occurred(fact: Message) -> bool:
        occurred_at: Timestamp = getattr(fact, "occurred_at", at)
        return occurred_at.ToNanoseconds() <= until

    return entries.fold(fact for record in records for fact in record.facts if had_occurred(fact))


def actor_name(actor: Actor) -> str:
    """Who caused something, as claimed: a name, or the program it came from."""
    if actor.subject and actor.subject != actor.client:
        return actor.subject
    # What follows is the library that the program uses, which says nothing about who it was.
    return actor.client.partition(" grpc-")[0] or "somebody"


def node_name(node: NodeExecutionIdentifier) -> str:
    """A node as people write it: `n0 of flytesnacks/development/abc`."""
    execution = node.execution_id
    return f"{node.node_id} of {execution.project}/{execution.domain}/{execution.name}"


def maker(result: CachedResult) -> str:
    """Who made a result; a client that put it there is not known by name."""
    source = result.source
    return node_name(source.node_execution_id) if _is_known(source) else "a client outside"


def _is_known(source: TaskExecutionIdentifier) -> bool:
    return bool(source.node_execution_id.node_id)


def _events(fact: object, result: str) -> Iterator[CacheEvent]:
    match fact:
        case ResultCached():
            yield CacheEvent(
                occurred_at=fact.occurred_at,
                what=CHANGED if result == fact.result.artifact_id else REPLACED if result else CACHED,
                subject=maker(fact.result),
                artifact_id=fact.result.artifact_id,
            )
        case ResultEvicted():
            yield CacheEvent(
                occurred_at=fact.occurred_at, what=EVICTED, reason=fact.reason, artifact_id=fact.artifact_id
            )
        case ResultPinned():
            yield CacheEvent(
                occurred_at=fact.occurred_at, what="pinned", reason=fact.reason, artifact_id=fact.artifact_id
            )
        case ResultUnpinned():
            yield CacheEvent(occurred_at=fact.occurred_at, what="unpinned", artifact_id=fact.artifact_id)
        case ReservationGranted():
            subject = fact.owner or node_name(fact.holder)
            yield CacheEvent(occurred_at=fact.occurred_at, what=RESERVED, subject=subject)
        case ReservationQueued():
            yield CacheEvent(occurred_at=fact.occurred_at, what="awaited", subject=node_name(fact.waiter))
        case ReservationEnded():
            what = "lapsed" if fact.lapsed else "released"
            yield CacheEvent(occurred_at=fact.occurred_at, what=what, subject=fact.owner or node_name(fact.node))
        case _:
            pass
