"""What happens to schedules and backfills because something happened: durable consumers that turn facts into commands.

Each message is handled at least once and, per subject, in order. Handling one twice finds nothing to do.

A schedule that has something due at a time has an alarm then. It is armed by whoever handles the schedule's last
envelope, and again by whoever handles an alarm that had nothing to do: both come again until they are through. So no
crash leaves a schedule without its alarm, and nothing needs to be armed when the service starts.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import Identifier

from flightlog_log import Cause, Log, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionAborted, ExecutionFailed, ExecutionSucceeded
from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequestAnswered
from flightlog_protos.log.v1.envelope_pb2 import Actor
from flightlog_protos.registry.v1.facts_pb2 import LaunchPlanActivated, LaunchPlanDeactivated
from flightlog_protos.scheduler.v1.alarms_pb2 import ScheduleAlarm
from flightlog_protos.scheduler.v1.schedules_pb2 import SchedulePolicy, ScheduleStands
from flightlog_types.schedule_policies import BadPolicy, schedule_policy
from services.scheduler import subjects
from services.scheduler.schedules.commands import (
    Activate,
    Deactivate,
    RunEnded,
    RunExisted,
    RunRefused,
    Wake,
)
from services.scheduler.schedules.launch_plans import LaunchPlans, decided
from services.scheduler.schedules.position import ScheduleKey
from services.scheduler.schedules.shell import SERVICE, Shell

DURABLE: Final = "schedules"
"""Name of these consumers on every stream."""

_ACTIVATIONS: Final = frozenset(fact.DESCRIPTOR.name for fact in (LaunchPlanActivated, LaunchPlanDeactivated))
_ANSWERS: Final = frozenset({ExecutionRequestAnswered.DESCRIPTOR.name})
_ENDS: Final = frozenset(fact.DESCRIPTOR.name for fact in (ExecutionSucceeded, ExecutionFailed, ExecutionAborted))
_STANDS: Final = frozenset({ScheduleStands.DESCRIPTOR.name})
_FINAL: Final = frozenset(
    {
        WorkflowExecution.SUCCEEDED,
        WorkflowExecution.FAILED,
        WorkflowExecution.ABORTED,
        WorkflowExecution.TIMED_OUT,
    }
)
_REMEMBERED: Final = 65_536
# Most executions are nobody's whom a schedule knows: what their stream says is taken in bunches.
_GATHER_SECONDS: Final = 0.05
# An alarm that comes early: the log's clock is ahead of ours.
_EARLY: Final = timedelta(seconds=1)

# First pause, and all of them together.
_POLL_SECONDS: Final = (0.002, 2.0)
_LONGEST_POLL_SECONDS: Final = 0.05

_log = structlog.get_logger(__name__)


class Reactions:
    """The consumers of schedules and backfills.

    Args:
        policy: of schedules whose launch plans say nothing about it.
        max_in_flight: messages of each stream that are worked on side by side.
    """

    def __init__(
        self, log: Log, shell: Shell, launch_plans: LaunchPlans, policy: SchedulePolicy, max_in_flight: int = 512
    ) -> None:
        self._log = log
        self._shell = shell
        self._launch_plans = launch_plans
        self._policy = policy
        self._max_in_flight = max_in_flight
        # Up to where in the stream REGISTRY it is known of a name that everything is taken in.
        self._followed: dict[ScheduleKey, int] = {}

    async def run(self) -> None:
        """Reacts until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream, handler, facts, gather_seconds in (
                (subjects.REGISTRY, self.on_activation, _ACTIVATIONS, 0),
                (subjects.SCHEDULER, self.on_stands, _STANDS, 0),
                (subjects.ADMISSION, self.on_answer, _ANSWERS, 0),
                (subjects.EXECUTION, self.on_end, _ENDS, _GATHER_SECONDS),
            ):
                group.create_task(
                    self._log.consume(
                        stream,
                        DURABLE,
                        handler,
                        facts=facts,
                        max_in_flight=self._max_in_flight,
                        gather_seconds=gather_seconds,
                    )
                )
            group.create_task(
                self._log.consume_alarms(
                    DURABLE, subjects.ALARM_KIND, self.on_alarm, ScheduleAlarm, max_in_flight=self._max_in_flight
                )
            )

    async def on_activation(self, recorded: Recorded) -> None:
        """A version of a launch plan became the active one, or none is."""
        key = subjects.schedule_of_activation(recorded.subject)
        if key is not None:
            await self.follow(key)

    async def follow(self, key: ScheduleKey) -> None:
        """Takes in what the registry decided about a name and its schedule does not know yet, in order.

        Whoever calls this, and however late or often, the registry's order decides which version wins. Before anything
        fires this is called: a version that was deactivated while no scheduler ran must not tick because its alarm is
        handled before its deactivation.

        Raises:
            LogUnavailable: some of it may not be taken in.
        """
        last = await self._launch_plans.last_activation(key)
        known = self._followed.get(key, 0)
        if last <= known:
            return
        position = await self._shell.position(key)
        decisions = await self._launch_plans.activations(key, max(known, position.registry_sequence if position else 0))
        for record in decisions:
            fact = decided(record)
            if fact is None:
                continue
            spec = await self._launch_plans.spec(fact.id) if isinstance(fact, LaunchPlanActivated) else None
            command = self._command(fact.id, spec, record, superseded=record is not decisions[-1])
            await self._shell.tell(key, command, Cause.service(SERVICE, record))
        self._followed[key] = decisions[-1].sequence if decisions else last
        if len(self._followed) > _REMEMBERED:
            del self._followed[next(iter(self._followed))]

    async def caught_up(self) -> bool:
        """Waits until all that the registry has decided by now is taken in; False when that takes too long.

        Raises:
            LogUnavailable: nobody knows.
        """
        end = await self._log.stream_sequence(subjects.REGISTRY)
        delay, patience = _POLL_SECONDS
        while await self._log.handled(subjects.REGISTRY, DURABLE) < end:
            if patience <= 0:
                _log.warning("activations.behind", sequence=end)
                return False
            await asyncio.sleep(delay)
            patience -= delay
            delay = min(delay * 2, _LONGEST_POLL_SECONDS)
        return True

    def _command(
        self, launch_plan: Identifier, spec: LaunchPlanSpec | None, record: Recorded, *, superseded: bool
    ) -> Activate | Deactivate:
        at, sequence = record.occurred_at, record.sequence
        schedule = None if spec is None else spec.entity_metadata.schedule
        if spec is None or schedule is None or schedule.WhichOneof("ScheduleExpression") is None:
            return Deactivate(launch_plan, at, sequence)
        try:
            policy = schedule_policy(spec.annotations.values, self._policy)
        except BadPolicy as error:
            # The registry refuses such a version; one that was registered before it did says so for good.
            return Activate(
                launch_plan, schedule, self._policy, at, sequence, refused=str(error), superseded=superseded
            )
        return Activate(launch_plan, schedule, policy, at, sequence, superseded=superseded)

    async def on_stands(self, recorded: Recorded) -> None:
        """A schedule has gone on: its alarm is armed."""
        key = subjects.key_of(recorded.subject)
        if isinstance(key, ScheduleKey):
            await self._shell.arm(key, Cause.service(SERVICE, recorded))

    async def on_alarm(self, alarm: ScheduleAlarm, due: datetime) -> None:
        """Something of a schedule may be due."""
        key = ScheduleKey(alarm.project, alarm.domain, alarm.name)
        actor = Actor(subject=SERVICE, method="service")
        cause = Cause(actor, alarm.correlation_id, alarm.causation_id, alarm.traceparent)
        await self.follow(key)
        if await self._shell.tell(key, Wake(), cause) is not None:
            return  # and its envelope arms the next alarm
        early = due - self._shell.clock()
        if early > timedelta():
            _log.info("alarm.early", schedule="/".join(key), seconds=early.total_seconds())
            await asyncio.sleep(min(early, _EARLY).total_seconds())
        await self._shell.arm(key, cause)

    async def on_answer(self, recorded: Recorded) -> None:
        """The execution service says what became of a request."""
        for fact in recorded.facts:
            if isinstance(fact, ExecutionRequestAnswered):
                command = _answered(fact)
                if command is not None:
                    await self._tell(fact.requested_by, command, recorded)

    async def on_end(self, recorded: Recorded) -> None:
        """An execution is over that somebody asked for."""
        for fact in recorded.facts:
            match fact:
                case ExecutionSucceeded():
                    phase = WorkflowExecution.SUCCEEDED
                case ExecutionFailed():
                    phase = WorkflowExecution.FAILED
                case ExecutionAborted():
                    phase = WorkflowExecution.ABORTED
                case _:
                    continue
            if fact.requested_by:
                *_, name = Subject.parse(recorded.subject).parts
                await self._tell(fact.requested_by, RunEnded(name, phase), recorded)

    async def _tell(self, requested_by: str, command: RunEnded | RunExisted | RunRefused, recorded: Recorded) -> None:
        key = subjects.key_of(requested_by)
        cause = Cause.service(SERVICE, recorded)
        if isinstance(key, ScheduleKey):
            await self.follow(key)
            await self._shell.tell(key, command, cause)
        elif key is not None:
            await self._shell.tell_backfill(key, command, cause)


def _answered(answer: ExecutionRequestAnswered) -> RunEnded | RunExisted | RunRefused | None:
    name = answer.execution_id.name
    match answer.kind:
        case ExecutionRequestAnswered.CREATED:
            # Its end is told by itself; here it was over before the answer could be given.
            return RunEnded(name, answer.phase) if answer.phase in _FINAL else None
        case ExecutionRequestAnswered.EXISTED:
            return RunExisted(name, answer.phase)
        case ExecutionRequestAnswered.REFUSED:
            return RunRefused(name, answer.code, answer.message)
        case _:
            return None
