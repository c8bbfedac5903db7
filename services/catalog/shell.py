"""Between the log and the entries: questions of executions in, answers out.

Whatever an execution asks in one envelope is answered in one. An entry's facts name the envelope that caused them; when
that envelope comes again, after a crash between the append and the answer, the same is decided from the state it was
decided in, and the same is answered. So no waiting node is ever forgotten.

What clients outside and the clock do to an entry is recorded first; those who wait are told when the record comes back
from the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from hashlib import sha256
from uuid import NAMESPACE_OID, uuid5

import structlog
from flyteidl.core.identifier_pb2 import (
    NodeExecutionIdentifier,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from google.protobuf.message import Message
from prometheus_client import Counter

from flightlog_log import Cause, Log, LogError, LogUnavailable, Recorded, Subject
from flightlog_protos.catalog.v1.artifacts_pb2 import ArtifactUpdated
from flightlog_protos.catalog.v1.cache_pb2 import (
    CacheAnswer,
    CachedResult,
    CacheKey,
    ReservationAlarm,
    ReservationGranted,
    ResultCached,
)
from flightlog_protos.execution.v1.facts_pb2 import (
    CacheAsked,
    CachePutRequested,
    ExecutionDeleted,
    ReservationAsked,
    ReservationReleased,
)
from services.catalog import artifacts, entries, subjects
from services.catalog.entries import Rules
from services.catalog.keeping import SERVICE, Entries, by_itself, told_already
from services.catalog.requests import Asker, Change, Evict, LookUp, NodeRequest, Put, Release, Reserve
from services.catalog.reservations import Reservations
from services.catalog.subjects import ExecutionKey

DURABLE = "catalog"
"""Name of this service's consumers on every stream."""
QUESTIONS = frozenset(
    fact.DESCRIPTOR.name
    for fact in (CacheAsked, CachePutRequested, ReservationAsked, ReservationReleased, ExecutionDeleted)
)
CHANGES = frozenset(fact.DESCRIPTOR.name for fact in (ResultCached, ReservationGranted, ArtifactUpdated))

_log = structlog.get_logger(__name__)
_answered = Counter("flightlog_catalog_answers_total", "Answers of the cache", ["kind"])
for _kind in CacheAnswer.Kind.keys()[1:]:
    _answered.labels(_kind)


class Catalog:
    """Follows the executions and answers what their nodes ask of the cache.

    Args:
        max_in_flight: envelopes worked on side by side.
    """

    def __init__(
        self,
        log: Log,
        kept: Entries | None = None,
        reservations: Reservations | None = None,
        *,
        max_in_flight: int = 512,
    ) -> None:
        self._log = log
        self._entries = kept or Entries(log, Rules())
        self._reservations = reservations or Reservations(log, self._entries)
        self._max_in_flight = max_in_flight

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self._log.consume(
                    subjects.EXECUTION, DURABLE, self.take, facts=QUESTIONS, max_in_flight=self._max_in_flight
                )
            )
            group.create_task(self._log.consume(subjects.CATALOG, DURABLE, self.on_changes, facts=CHANGES))
            group.create_task(
                self._log.consume_alarms(DURABLE, subjects.ALARM_KIND, self._reservations.on_alarm, ReservationAlarm)
            )

    async def take(self, recorded: Recorded) -> None:
        """Answer what one envelope asks; the answers are on the log when this returns."""
        if any(isinstance(fact, ExecutionDeleted) for fact in recorded.facts):
            await self._evict_all(recorded)
            return
        asked = list(_requests(recorded))
        if recorded.redelivered:
            asked = await self._unanswered(asked, recorded)
        served = await asyncio.gather(*(self._serve(key, requests, recorded) for key, requests in asked))
        await self._tell([answer for answers in served for answer in answers], recorded)

    async def _unanswered(
        self, asked: list[tuple[CacheKey, list[NodeRequest]]], recorded: Recorded
    ) -> list[tuple[CacheKey, list[NodeRequest]]]:
        """What is not to be decided a second time is left out: it would be by what entries have become since.

        After a restore every question comes again. A node that was told of this envelope's question, or of what it had
        been waiting for, is done; one that waits is served again, so that its alarm is armed.
        """
        project, domain, name = Subject.parse(recorded.subject).parts
        told: set[str] = set()
        told_at_once: set[str] = set()
        for record in await self._log.load(subjects.answers((project, domain, name))):
            nodes = {fact.node.node_id for fact in record.facts if isinstance(fact, CacheAnswer)}
            told |= nodes
            if record.envelope.causation_id == recorded.event_id:
                told_at_once |= nodes
        return [
            (key, left)
            for key, requests in asked
            if (left := [one for one in requests if not _is_answered(one, told, told_at_once)])
        ]

    async def _evict_all(self, recorded: Recorded) -> None:
        """Nobody is to find what a deleted execution made: its data goes. Its history is erased after this."""
        project, domain, name = Subject.parse(recorded.subject).parts
        made = [
            (fact.key, _result(fact, Asker(project, domain, name, fact.node_id)).artifact_id)
            for record in await self._log.load(recorded.subject)
            for fact in record.facts
            if isinstance(fact, CachePutRequested)
        ]
        cause = Cause.service(SERVICE, recorded)
        await asyncio.gather(*(self._evict(key, artifact_id, cause) for key, artifact_id in made))

    async def _evict(self, key: CacheKey, artifact_id: str, cause: Cause) -> None:
        evict = Evict("its execution was deleted", artifact_id=artifact_id, pinned_too=True)
        try:
            await self._entries.change(key, [evict], cause)
        except LogUnavailable:
            raise
        except LogError as error:
            _log.error("entry.not_evicted", subject=str(subjects.entry(key)), reason=str(error))

    async def on_changes(self, recorded: Recorded) -> None:
        """Tell those who waited what a client or the clock did for them; let entries follow an artifact's update."""
        if told_already(recorded.envelope.actor):
            return
        answers: list[CacheAnswer] = []
        for fact in recorded.facts:
            match fact:
                case ResultCached():
                    answers.extend(_told(CacheAnswer.FOUND, node, fact, fact.result) for node in fact.served)
                case ReservationGranted() if not fact.owner:
                    answers.append(_told(CacheAnswer.RESERVED, fact.holder, fact))
                case ArtifactUpdated():
                    await self._follow(fact, recorded)
                case _:
                    pass
        await self._tell(answers, recorded)

    async def _follow(self, updated: ArtifactUpdated, recorded: Recorded) -> None:
        cause = by_itself(recorded.envelope.correlation_id, recorded.event_id)
        change = Change(artifacts.result_of(updated))
        for tag in updated.tags:
            try:
                await self._entries.change(CacheKey(dataset=updated.dataset, tag=tag), [change], cause)
            except LogUnavailable:
                raise
            except LogError as error:
                _log.error("entry.not_updated", artifact=updated.artifact_id, tag=tag, reason=str(error))

    async def _tell(self, answers: Iterable[CacheAnswer], recorded: Recorded) -> None:
        by_execution: dict[ExecutionKey, list[CacheAnswer]] = {}
        for answer in answers:
            execution = answer.node.execution_id
            by_execution.setdefault((execution.project, execution.domain, execution.name), []).append(answer)
        for execution, told in by_execution.items():
            # What is decided otherwise when it comes again, as an entry has changed meanwhile, is told too.
            digest = sha256(b"".join(answer.SerializeToString(deterministic=True) for answer in told)).hexdigest()
            await self._log.publish(
                subjects.answers(execution),
                told,
                cause=Cause.service(SERVICE, recorded),
                message_id="/".join((recorded.event_id, *execution, digest)),
            )
            for answer in told:
                _answered.labels(CacheAnswer.Kind.Name(answer.kind)).inc()

    async def _serve(self, key: CacheKey, requests: list[NodeRequest], recorded: Recorded) -> tuple[CacheAnswer, ...]:
        """Decide about one entry and record it, once; returns what is to be told."""
        at = recorded.envelope.occurred_at
        try:
            outcome = await self._entries.change(key, requests, Cause.service(SERVICE, recorded), at=at)
            await self._reservations.queued(key, outcome, recorded.envelope.correlation_id)
        except LogUnavailable:
            raise
        except LogError as error:
            # An entry that cannot be read, or takes no facts, is no reason to stop a run.
            _log.error("entry.refused", subject=str(subjects.entry(key)), reason=str(error))
            return entries.refusals(key, requests, str(error), at)
        return outcome.answers


def _is_answered(request: NodeRequest, told: set[str], told_at_once: set[str]) -> bool:
    match request:
        case LookUp(asker):
            return asker.node_id in told
        case Release():
            return False
        case _:
            return request.asker is not None and request.asker.node_id in told_at_once


def _told(
    kind: CacheAnswer.Kind,
    node: NodeExecutionIdentifier,
    fact: ResultCached | ReservationGranted,
    result: CachedResult | None = None,
) -> CacheAnswer:
    return CacheAnswer(node=node, kind=kind, key=fact.key, result=result, occurred_at=fact.occurred_at)


def _requests(recorded: Recorded) -> Iterable[tuple[CacheKey, list[NodeRequest]]]:
    """What an envelope asks, by entry, in its order."""
    execution = Subject.parse(recorded.subject).parts
    asked: dict[bytes, tuple[CacheKey, list[NodeRequest]]] = {}
    for fact in recorded.facts:
        question = _request(fact, execution)
        if question is not None:
            key, request = question
            asked.setdefault(key.SerializeToString(deterministic=True), (key, []))[1].append(request)
    return asked.values()


def _request(fact: Message, execution: tuple[str, ...]) -> tuple[CacheKey, NodeRequest] | None:
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
    return CachedResult(
        artifact_id=str(artifact_id),
        outputs=fact.outputs,
        source=source,
        input_hashes=fact.input_hashes,
        inputs=fact.inputs if fact.HasField("inputs") else None,
    )
