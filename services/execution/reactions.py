"""What happens because something happened: durable consumers that turn facts, observations and alarms into commands.

Each message is handled at least once and, per execution, in order. Handling one twice finds nothing to do: the engine
ignores what it has taken in, and alarms are armed under the timer's name.
"""

import asyncio
from datetime import UTC, datetime
from functools import partial

import structlog

from flightlog_log import Cause, Log, Recorded, Subject
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer
from flightlog_protos.execution.v1.alarms_pb2 import Alarm
from flightlog_protos.execution.v1.facts_pb2 import (
    ChildExecutionAborting,
    ChildExecutionRequested,
    ExecutionAborted,
    ExecutionCreated,
    ExecutionDeleted,
    ExecutionFailed,
    ExecutionSucceeded,
    TimerSet,
)
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import Actor
from services.execution import subjects, tree
from services.execution.admission.admission import Admission
from services.execution.children import Children, End
from services.execution.creation.limits import own_limits
from services.execution.engine import AnswerCache, FireTimer, ObserveAttempt, Refusal, Refused
from services.execution.shell import Shell
from services.execution.side_by_side import side_by_side
from services.execution.subjects import ExecutionKey

_log = structlog.get_logger(__name__)

DURABLE = "execution"
"""Name of this service's consumers on every stream."""
_REACTED_TO = (
    ExecutionCreated,
    TimerSet,
    ChildExecutionRequested,
    ChildExecutionAborting,
    ExecutionSucceeded,
    ExecutionFailed,
    ExecutionAborted,
    *tree.REACTED_TO,
)


class Reactions:
    """The consumers of the execution service."""

    def __init__(self, log: Log, shell: Shell, children: Children, admission: Admission) -> None:
        self._log = log
        self._shell = shell
        self._children = children
        self._admission = admission
        self._tree = tree.Tree(shell)

    async def run(self) -> None:
        """Reacts until cancelled."""
        async with asyncio.TaskGroup() as group:
            facts = frozenset(kind.DESCRIPTOR.name for kind in _REACTED_TO)
            group.create_task(self._log.consume(subjects.EXECUTION, DURABLE, self.on_facts, facts=facts))
            observed = frozenset({AttemptObserved.DESCRIPTOR.name})
            group.create_task(self._log.consume(subjects.LAUNCHER, DURABLE, self.on_observation, facts=observed))
            answered = frozenset({CacheAnswer.DESCRIPTOR.name})
            group.create_task(self._log.consume(subjects.CATALOG, DURABLE, self.on_answers, facts=answered))
            group.create_task(self._log.consume_alarms(DURABLE, subjects.ALARM_KIND, self.on_alarm, Alarm))
            group.create_task(self._admission.run())
            group.create_task(self._admission.run_alarms())

    async def on_facts(self, recorded: Recorded) -> None:
        """An execution is started or enters a queue; a timer is armed; children, and places to run, come and go."""
        project, domain, name = Subject.parse(recorded.subject).parts
        key = (project, domain, name)
        cause = Cause.service("execution", recorded)
        # Side by side: a decision may ask for many. Who is to be terminated has been asked for before.
        await side_by_side(
            partial(self._children.requested, key, fact, cause)
            for fact in recorded.facts
            if isinstance(fact, ChildExecutionRequested)
        )
        await side_by_side(
            partial(self._children.aborting, key, fact, cause)
            for fact in recorded.facts
            if isinstance(fact, ChildExecutionAborting)
        )
        await side_by_side(
            partial(self._arm, key, fact, recorded) for fact in recorded.facts if isinstance(fact, TimerSet)
        )
        await self._tree.moved(key, recorded.facts, cause)
        for fact in recorded.facts:
            if isinstance(fact, ExecutionCreated):
                if own_limits(fact.limits):
                    await self._admission.created(key, fact, recorded.sequence, cause)
                else:
                    await self._shell.start(key, cause)
            elif isinstance(fact, ExecutionSucceeded | ExecutionFailed | ExecutionAborted):
                if fact.queued:
                    await self._admission.ended(key, cause)
                await self._report(fact, cause)

    async def _arm(self, key: ExecutionKey, timer: TimerSet, recorded: Recorded) -> None:
        alarm = Alarm(
            execution_id=subjects.identifier_of(key),
            timer_id=timer.timer_id,
            correlation_id=recorded.envelope.correlation_id,
            causation_id=recorded.event_id,
            traceparent=recorded.traceparent,
        )
        due = timer.due.ToDatetime(UTC)
        await self._log.schedule(subjects.alarm(key, timer.timer_id), due, alarm, traceparent=recorded.traceparent)

    async def _report(self, end: End, cause: Cause) -> None:
        try:
            await self._children.ended(end, cause)
        except Refused as refused:
            if refused.reason is not Refusal.NOT_FOUND:
                raise
            _log.warning("end.of_unknown_parent", node=end.parent.node.node_id)

    async def on_observation(self, recorded: Recorded) -> None:
        """What the launcher saw goes to the engine."""
        for fact in recorded.facts:
            if not isinstance(fact, AttemptObserved):
                continue
            key = subjects.key_of(fact.execution_id)
            try:
                await self._shell.dispatch(key, ObserveAttempt(fact), Cause.service("execution", recorded))
            except Refused as refused:
                if refused.reason is not Refusal.NOT_FOUND:
                    raise
                _log.warning("observation.of_unknown_execution", execution="/".join(key), node=fact.node_id)
                await self._forget_late(key, recorded)

    async def _forget_late(self, key: ExecutionKey, recorded: Recorded) -> None:
        """What ended by force may be deleted before its launcher has said the last of it: that is erased as well."""
        subject = subjects.execution(key)
        last = None if subject is None else await self._log.last(subject)
        if last is not None and isinstance(last.facts[-1], ExecutionDeleted):
            await self._log.erase(recorded.subject, before=recorded.sequence + 1)

    async def on_answers(self, recorded: Recorded) -> None:
        """What the catalog answered goes to the engine, all of an envelope at once."""
        answers = tuple(fact for fact in recorded.facts if isinstance(fact, CacheAnswer))
        if not answers:
            return
        key = subjects.key_of(answers[0].node.execution_id)
        try:
            await self._shell.dispatch(key, AnswerCache(answers), Cause.service("execution", recorded))
        except Refused as refused:
            if refused.reason is not Refusal.NOT_FOUND:
                raise
            _log.warning("answer.to_unknown_execution", execution="/".join(key))

    async def on_alarm(self, alarm: Alarm, due: datetime) -> None:
        """A timer is due."""
        key = subjects.key_of(alarm.execution_id)
        try:
            await self._shell.dispatch(key, FireTimer(alarm.timer_id), _cause_of(alarm))
        except Refused as refused:
            if refused.reason is not Refusal.NOT_FOUND:
                raise
            _log.warning("alarm.of_unknown_execution", execution="/".join(key), due=due.isoformat())


def _cause_of(alarm: Alarm) -> Cause:
    actor = Actor(subject="execution", method="service")
    return Cause(actor, alarm.correlation_id, alarm.causation_id, alarm.traceparent)
