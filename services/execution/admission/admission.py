"""What follows from the queues, and what they follow: executions come, are started, make room and leave.

Each step is a fact of an execution or of a queue, and the reaction to it is handled at least once: whatever dies in
between, the fact comes again. Doing it twice finds nothing to do.

- An execution that is to be refused where there is no room takes its place before it is created. `PlaceTaken` arms an
  alarm: a place that no execution has claimed by then is given back. Both are decided by the queue, so an execution
  that comes late either claims its place first, or finds that it has lost it and stands in line.
- `ExecutionCreated` enters the queue; `PlaceGiven` starts the execution, and nothing else does.
- `PlaceReclaimed` terminates an execution; its end gives its places back, and whoever finds room then is given some.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
from google.protobuf.message import Message

from flightlog_log import Cause, Log, Recorded, Subject
from flightlog_protos.execution.v1.admission_pb2 import PlaceAlarm, PlaceGiven, PlaceReclaimed, PlaceTaken
from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit, ExecutionCreated
from flightlog_protos.log.v1.envelope_pb2 import Actor
from flightlog_rpc import already_exists
from services.execution import metrics, subjects
from services.execution.admission.queue import Decision, Enter, Leave, Queue, Take
from services.execution.admission.queues import Queues
from services.execution.admission.words import of_limit
from services.execution.creation.limits import own_limits
from services.execution.engine import (
    AwaitPlace,
    Execution,
    ExecutionPhase,
    Refusal,
    Refused,
    StartExecution,
    TerminateExecution,
)
from services.execution.shell import Shell
from services.execution.side_by_side import side_by_side
from services.execution.subjects import ExecutionKey

DURABLE: Final = "execution"
ALARMS: Final = "execution-places"
RECLAIMED_BY: Final = "concurrency limit"
"""The principal of the abort of an execution that another one replaces."""
UNCLAIMED_AFTER: Final = timedelta(seconds=60)
"""How long a place is kept for an execution that does not exist: much longer than creating one takes."""
_ACTED_ON = frozenset(fact.DESCRIPTOR.name for fact in (PlaceTaken, PlaceGiven, PlaceReclaimed))

_log = structlog.get_logger(__name__)


class Admission:
    """Leads executions through the queues of their projects and domains. Raises as `Shell.dispatch`."""

    def __init__(self, log: Log, shell: Shell, queues: Queues, *, unclaimed_after: timedelta = UNCLAIMED_AFTER) -> None:
        self._log = log
        self._shell = shell
        self._queues = queues
        self._unclaimed_after = unclaimed_after

    async def take(self, key: ExecutionKey, limits: Sequence[ConcurrencyLimit], cause: Cause) -> None:
        """Takes a place for an execution that is about to be created and is one to be refused without.

        It is given back, by `give_back`, when that cannot be created.

        Raises:
            RpcError: ALREADY_EXISTS when there is no room, in Flyte's words.
            LogUnavailable: it is not known whether there is. Trying again, with the same name, is safe.
        """
        own = own_limits(limits)
        project, domain, name = key
        decision = await self._queues.give((project, domain), Take(name, own, records=False), cause)
        if decision.full is not None:
            # Its caller may have seen the end of one that the queue has yet to hear of.
            await self._let_go(project, domain, decision, cause)
            decision = await self._queues.give((project, domain), Take(name, own), cause)
        metrics.admissions_total.labels(decision.standing).inc()
        if decision.full is not None:
            full = decision.full
            raise already_exists(f"concurrency limit ({full.max}) reached for {of_limit(full)}; skipping execution")

    async def _let_go(self, project: str, domain: str, refused: Decision, cause: Cause) -> None:
        """Whoever has ended leaves the limit that has no room."""

        async def look(key: ExecutionKey) -> None:
            execution = await self._shell.state(key)
            if execution is not None and execution.phase.terminal:
                await self.ended(key, cause)

        full = refused.full.name if refused.full is not None else ""
        await side_by_side(
            partial(look, (project, domain, member.execution))
            for member in refused.queue.members.values()
            if any(limit.name == full for limit in member.limits)
        )

    async def give_back(self, key: ExecutionKey, cause: Cause) -> None:
        """Gives back the place of an execution that could not be created, unless there is one that will claim it."""
        project, domain, name = key
        execution = await self._shell.state(key)
        if execution is None or not _claims(execution):
            await self._queues.give((project, domain), Leave(name, unclaimed=True), cause)

    async def created(self, key: ExecutionKey, created: ExecutionCreated, arrived: int, cause: Cause) -> None:
        """An execution with limits exists: it enters the queue, unless it is over already.

        Args:
            arrived: sequence of its first envelope.
        """
        project, domain, name = key
        if not await self._is_yet_to_start(key, cause):
            return
        own = own_limits(created.limits)
        decision = await self._queues.give((project, domain), Enter(name, own, arrived), cause)
        if decision.facts:
            metrics.admissions_total.labels(decision.standing).inc()
        # It may have ended before it was in the queue: then nobody else takes it out.
        if await self._is_yet_to_start(key, cause) and decision.standing == "waiting":
            await self._shell.dispatch(key, AwaitPlace(), cause)

    async def ended(self, key: ExecutionKey, cause: Cause) -> None:
        """An execution with limits is over: others may have its places."""
        project, domain, name = key
        await self._queues.give((project, domain), Leave(name), cause)

    async def look(self, project: str, domain: str) -> Queue:
        """The queue of a project and domain as it is now."""
        return await self._queues.look((project, domain))

    async def places(self) -> list[tuple[str, str]]:
        """The projects and domains in which anybody ever was in a queue."""
        found = [Subject.parse(text).parts for text in await self._log.subjects(subjects.ADMISSION, subjects.QUEUES)]
        return [(project, domain) for _, project, domain in sorted(found)]

    async def _is_yet_to_start(self, key: ExecutionKey, cause: Cause) -> bool:
        execution = await self._shell.state(key)
        if execution is not None and execution.phase.terminal:
            await self.ended(key, cause)
        return execution is not None and execution.phase == ExecutionPhase.CREATED

    async def run(self) -> None:
        """Reacts to the queues until cancelled. Each queue's facts come one after another."""
        await self._log.consume(subjects.ADMISSION, DURABLE, self.on_facts, facts=_ACTED_ON)

    async def run_alarms(self) -> None:
        """Gives back what nobody claimed, until cancelled."""
        await self._log.consume_alarms(ALARMS, subjects.PLACE_ALARM_KIND, self.on_alarm, PlaceAlarm)

    async def on_facts(self, recorded: Recorded) -> None:
        """Does what a queue decided."""
        _, project, domain = Subject.parse(recorded.subject).parts
        # One execution that cannot be started or terminated keeps no other from that.
        await side_by_side(partial(self._act, (project, domain), fact, recorded) for fact in recorded.facts)

    async def _act(self, place: tuple[str, str], fact: Message, recorded: Recorded) -> None:
        cause = Cause.service("execution", recorded)
        match fact:
            case PlaceTaken():
                await self._arm((*place, fact.execution), fact, recorded)
            case PlaceGiven():
                await self._dispatch((*place, fact.execution), StartExecution(), cause)
            case PlaceReclaimed():
                why = f"replaced by execution {fact.by}: {of_limit(fact.limit)} has room for {fact.limit.max}"
                await self._dispatch((*place, fact.execution), TerminateExecution(why, RECLAIMED_BY), cause)
            case _:
                return

    async def _dispatch(self, key: ExecutionKey, command: StartExecution | TerminateExecution, cause: Cause) -> None:
        try:
            await self._shell.dispatch(key, command, cause)
        except Refused as refused:
            if refused.reason not in (Refusal.NOT_FOUND, Refusal.ALREADY_TERMINAL):
                raise
            _log.info("admission.needless", execution="/".join(key), reason=refused.reason.name)

    async def _arm(self, key: ExecutionKey, fact: PlaceTaken, recorded: Recorded) -> None:
        alarm = PlaceAlarm(
            execution_id=subjects.identifier_of(key),
            correlation_id=recorded.envelope.correlation_id,
            causation_id=recorded.event_id,
            traceparent=recorded.traceparent,
        )
        due = fact.occurred_at.ToDatetime(UTC) + self._unclaimed_after
        await self._log.schedule(subjects.place_alarm(key), due, alarm, traceparent=recorded.traceparent)

    async def on_alarm(self, alarm: PlaceAlarm, due: datetime) -> None:
        """By now there should be an execution for the place that was taken."""
        actor = Actor(subject="execution", method="service")
        cause = Cause(actor, alarm.correlation_id, alarm.causation_id, alarm.traceparent)
        await self.give_back(subjects.key_of(alarm.execution_id), cause)


def _claims(execution: Execution) -> bool:
    """Whether an execution has yet to enter the queue, or has just done so."""
    return execution.phase == ExecutionPhase.CREATED and bool(own_limits(execution.created.limits))
