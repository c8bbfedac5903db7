"""Between the log and OpenLineage: facts of executions in, events out, for the scheduler service to deliver.

One envelope of an execution gives one envelope of events, in its order. It is made again when this process dies before
the first was acknowledged, and is the same then: whoever gets an event twice tells it by its id.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobError, BlobMissing, BlobStore, BlobTooLarge
from flightlog_log import Cause, Head, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.catalog.v1.lineage_pb2 import LineageEventRecorded
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog import subjects
from services.catalog.lineage.openlineage import FACTS, Happening, Naming, Parent, event, happenings, job_name
from services.catalog.lineage.runs import Run
from services.catalog.lineage.settings import OpenLineageSettings
from services.catalog.subjects import ExecutionKey

DURABLE = "openlineage"
_RUNS_KEPT = 1000
_GATHER_SECONDS = 0.05


@dataclass(slots=True)
class _Course:
    """How far an execution is followed. Its envelopes come one after another, so only one reads this at a time."""

    run: Run | None = None
    head: Head = Head.EMPTY
    parent: Parent | None = None
    # Read, and not yet of interest.
    ahead: deque[Recorded] = field(default_factory=deque[Recorded])


class Publisher:
    """Makes an event of every start and end, from the beginning of the log on.

    Args:
        service: by whose name it publishes.
    """

    def __init__(self, log: Log, blobs: BlobStore, settings: OpenLineageSettings, *, service: str) -> None:
        self._log = log
        self._blobs = blobs
        self._service = service
        self._naming = Naming(settings.namespace, settings.producer)
        self._max_in_flight = settings.max_in_flight
        self._value_bytes = settings.value_bytes
        self._courses: OrderedDict[str, _Course] = OrderedDict()

    async def run(self) -> None:
        """Publish until cancelled."""
        await self._log.consume(
            subjects.EXECUTION,
            DURABLE,
            self.take,
            facts=FACTS | {ExecutionCreated.DESCRIPTOR.name},
            max_in_flight=self._max_in_flight,
            gather_seconds=_GATHER_SECONDS,
        )

    async def take(self, recorded: Recorded) -> None:
        """Publish what one envelope gives; the events are on the log when this returns.

        Raises:
            LogUnavailable: also when the object store cannot be reached; the envelope comes again.
        """
        events: list[LineageEventRecorded] = []
        course = self._course(recorded)
        try:
            await self._catch_up(course, recorded)
            for fact in recorded.facts:
                if isinstance(fact, ExecutionCreated):
                    course.run = Run(fact, recorded.sequence)
                    course.parent = await self._parent(fact)
                if course.run is None:
                    continue
                course.run.take(fact)
                events += [await self._event(course.run, one, course.parent) for one in happenings(course.run, fact)]
            course.head = recorded.head
        except BaseException:
            # Half of it may have been folded in.
            self._courses.pop(recorded.subject, None)
            raise
        if events:
            project, domain, name = Subject.parse(recorded.subject).parts
            await self._log.publish(
                subjects.lineage((project, domain, name)),
                events,
                cause=Cause.service(self._service, recorded),
                message_id=f"{recorded.event_id}/lineage",
            )
        if course.run is not None and course.run.ended_at is not None:
            self._courses.pop(recorded.subject, None)

    def _course(self, recorded: Recorded) -> _Course:
        course = self._courses.get(recorded.subject)
        if course is None or course.head.sequence >= recorded.sequence:
            # Not known, or it comes again: from the beginning.
            course = self._courses[recorded.subject] = _Course()
        self._courses.move_to_end(recorded.subject)
        if len(self._courses) > _RUNS_KEPT:
            self._courses.popitem(last=False)
        return course

    async def _catch_up(self, course: _Course, recorded: Recorded) -> None:
        """Folds in what lies between the last envelope that was taken and this one."""
        if course.head.position + 1 == recorded.head.position:
            return
        if not course.ahead or course.ahead[-1].sequence < recorded.sequence:
            after = course.ahead[-1].head if course.ahead else course.head
            course.ahead.extend(await self._log.load(recorded.subject, after=after))
        while course.ahead and course.ahead[0].sequence < recorded.sequence:
            skipped = course.ahead.popleft()
            if skipped.sequence <= course.head.sequence:
                continue
            for fact in skipped.facts:
                if isinstance(fact, ExecutionCreated):
                    course.run = Run(fact, skipped.sequence)
                    course.parent = await self._parent(fact)
                elif course.run is not None:
                    course.run.take(fact)
            course.head = skipped.head

    async def _parent(self, created: ExecutionCreated) -> Parent | None:
        if not created.HasField("parent"):
            return None
        execution = created.parent.node.execution_id
        key: ExecutionKey = (execution.project, execution.domain, execution.name)
        first = await self._log.first(Subject.of(subjects.EXECUTION, *key))
        of_parent = first.facts[0] if first is not None and first.facts else None
        return Parent(key, job_name(Run(of_parent))) if isinstance(of_parent, ExecutionCreated) else None

    async def _event(self, run: Run, happening: Happening, parent: Parent | None) -> LineageEventRecorded:
        return event(
            run,
            happening,
            inputs=await self._literals(happening.inputs),
            outputs=await self._literals(happening.outputs),
            parent=parent,
            naming=self._naming,
        )

    async def _literals(self, reference: DataRef | None) -> LiteralMap | None:
        if reference is None or not reference.uri:
            return None
        try:
            return LiteralMap.FromString(await self._blobs.get(reference.uri, limit=self._value_bytes))
        except (BlobMissing, BlobTooLarge, DecodeError):
            # The event is told without its data sets rather than never.
            return None
        except BlobError as error:
            raise LogUnavailable(f"{reference.uri} cannot be read now: {error}") from error
