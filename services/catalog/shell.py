"""Between the log and the entries: questions of executions in, answers out.

Whatever an execution asks in one envelope is answered in one. An entry's facts name the envelope that caused them; when
that envelope comes again, after a crash between the append and the answer, the same is decided from the state it was
decided in, and the same is answered. So no waiting node is ever forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import takewhile
from uuid import NAMESPACE_OID, uuid5

import structlog
from flyteidl.core.identifier_pb2 import (
    NodeExecutionIdentifier,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from google.protobuf.message import Message
from prometheus_client import Counter

from flightlog_log import Cause, Conflict, Head, Log, LogError, LogUnavailable, Recorded, Subject
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey
from flightlog_protos.execution.v1.facts_pb2 import (
    CacheAsked,
    CachePutRequested,
    ReservationAsked,
    ReservationReleased,
)
from services.catalog import entries, subjects
from services.catalog.entries import Asker, LookUp, Put, Release, Request, Reserve
from services.catalog.subjects import ExecutionKey

SERVICE = "catalog"
DURABLE = "catalog"
QUESTIONS = frozenset(
    fact.DESCRIPTOR.name for fact in (CacheAsked, CachePutRequested, ReservationAsked, ReservationReleased)
)

_log = structlog.get_logger(__name__)
_answered = Counter("flightlog_catalog_answers_total", "Answers of the cache", ["kind"])
for _kind in CacheAnswer.Kind.keys()[1:]:
    _answered.labels(_kind)


class Catalog:
    """Follows the executions and answers what their nodes ask of the cache.

    Args:
        entries_at_once: entries looked at side by side for one envelope.
        max_in_flight: envelopes worked on side by side.
    """

    def __init__(self, log: Log, *, entries_at_once: int = 64, max_in_flight: int = 512) -> None:
        self._log = log
        self._looking = asyncio.Semaphore(entries_at_once)
        self._max_in_flight = max_in_flight

    async def run(self) -> None:
        """Answer until cancelled."""
        await self._log.consume(
            subjects.EXECUTION, DURABLE, self.take, facts=QUESTIONS, max_in_flight=self._max_in_flight
        )

    async def take(self, recorded: Recorded) -> None:
        """Answer what one envelope asks; the answers are on the log when this returns."""
        asked = _requests(recorded)
        served = await asyncio.gather(*(self._serve(key, requests, recorded) for key, requests in asked))
        by_execution: dict[ExecutionKey, list[CacheAnswer]] = {}
        for answer in (answer for answers in served for answer in answers):
            execution = answer.node.execution_id
            by_execution.setdefault((execution.project, execution.domain, execution.name), []).append(answer)
        for execution, answers in by_execution.items():
            await self._log.publish(
                subjects.answers(execution),
                answers,
                cause=Cause.service(SERVICE, recorded),
                message_id="/".join((recorded.event_id, *execution)),
            )
            for answer in answers:
                _answered.labels(CacheAnswer.Kind.Name(answer.kind)).inc()

    async def _serve(self, key: CacheKey, requests: list[Request], recorded: Recorded) -> tuple[CacheAnswer, ...]:
        """Decide about one entry and record it, once; returns what is to be told."""
        async with self._looking:
            while True:
                try:
                    return await self._decide(key, requests, recorded)
                except Conflict:
                    continue
                except LogUnavailable:
                    raise
                except LogError as error:
                    # An entry that cannot be read, or takes no facts, is no reason to stop a run.
                    _log.error("entry.refused", subject=str(subjects.entry(key)), reason=str(error))
                    return entries.refusals(key, requests, str(error), recorded.envelope.occurred_at)

    async def _decide(self, key: CacheKey, requests: list[Request], recorded: Recorded) -> tuple[CacheAnswer, ...]:
        """Raises `Conflict` when another envelope came first."""
        subject = subjects.entry(key)
        records = await self._log.load(subject)
        before = list(takewhile(lambda record: record.envelope.causation_id != recorded.event_id, records))
        entry = entries.fold(fact for record in before for fact in record.facts)
        outcome = entries.decide(entry, key, requests, recorded.envelope.occurred_at)
        if outcome.facts and len(before) == len(records):
            head = records[-1].head if records else Head.EMPTY
            await self._log.append(subject, outcome.facts, head=head, cause=Cause.service(SERVICE, recorded))
        return outcome.answers


def _requests(recorded: Recorded) -> Iterable[tuple[CacheKey, list[Request]]]:
    """What an envelope asks, by entry, in its order."""
    execution = Subject.parse(recorded.subject).parts
    asked: dict[bytes, tuple[CacheKey, list[Request]]] = {}
    for fact in recorded.facts:
        question = _request(fact, execution)
        if question is not None:
            key, request = question
            asked.setdefault(key.SerializeToString(deterministic=True), (key, []))[1].append(request)
    return asked.values()


def _request(fact: Message, execution: tuple[str, ...]) -> tuple[CacheKey, Request] | None:
    project, domain, name = execution
    match fact:
        case CacheAsked():
            return fact.node.cache.key, LookUp(Asker(project, domain, name, fact.node.node_id))
        case ReservationAsked():
            return fact.key, Reserve(Asker(project, domain, name, fact.node_id))
        case ReservationReleased():
            return fact.key, Release(Asker(project, domain, name, fact.node_id))
        case CachePutRequested():
            asker = Asker(project, domain, name, fact.node_id)
            return fact.key, Put(asker, _result(fact, asker), overwrites=fact.overwrites)
        case _:
            return None


def _result(fact: CachePutRequested, asker: Asker) -> CachedResult:
    execution = WorkflowExecutionIdentifier(project=asker.project, domain=asker.domain, name=asker.execution)
    source = TaskExecutionIdentifier(
        task_id=fact.task_id,
        node_execution_id=NodeExecutionIdentifier(execution_id=execution, node_id=fact.node_id),
        retry_attempt=fact.attempt,
    )
    # Named by its source: said twice, it is the same one.
    artifact_id = uuid5(NAMESPACE_OID, "/".join(("flightlog", *asker, str(fact.attempt))))
    return CachedResult(artifact_id=str(artifact_id), outputs=fact.outputs, source=source)
