"""Schedules on a real log and object store with a clock of their own: hours pass when a test says so.

The alarm clock is the test's too: it remembers what is armed, as the log's does, and rings when the time has come. All
else is real: both services' code, the appends, the executions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from flyteidl.admin.execution_pb2 import ExecutionMetadata
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.project_pb2 import Project
from flyteidl.admin.schedule_pb2 import CronSchedule, Schedule
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.interface_pb2 import Parameter
from flyteidl.core.types_pb2 import DATETIME
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobStore
from flightlog_log import Cause, Conflict, Head, Log, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as executions
from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested
from flightlog_protos.registry.v1.facts_pb2 import (
    LaunchPlanActivated,
    LaunchPlanDeactivated,
    LaunchPlanRegistered,
    ProjectRegistered,
)
from flightlog_protos.scheduler.v1.alarms_pb2 import ScheduleAlarm
from services.execution import subjects as execution_subjects
from services.execution.admission.admission import Admission
from services.execution.admission.queues import Queues
from services.execution.engine import SetSignal
from services.execution.lookup import Lookup
from services.execution.requests import Requests
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell as ExecutionShell
from services.execution.starting import Starter
from services.scheduler import subjects
from services.scheduler.schedules.commands import CancelBackfill, Command, CreateBackfill, Limits
from services.scheduler.schedules.launch_plans import LaunchPlans
from services.scheduler.schedules.position import Position, ScheduleKey
from services.scheduler.schedules.reactions import Reactions
from services.scheduler.schedules.settings import ScheduleSettings
from services.scheduler.schedules.shell import Shell
from services.scheduler.subjects import BackfillKey
from tests.unit.engine.story import Flow, literal

CAUSE = Cause.service("test")
PROJECT, DOMAIN = "schedules", "development"
CONSUMERS = ("schedules", "execution")


class Died(Exception):
    """The process is gone, and with it all that it had in memory."""


@dataclass
class SimulatedLog:
    """A real log with an alarm clock of the test's, whose user dies at one of its effects: just before, or after it."""

    log: Log
    alarms: dict[str, tuple[datetime, Message]] = field(default_factory=dict[str, tuple[datetime, Message]])
    dies_at: int = -1
    after: bool = False
    effects: int = 0
    loaded: list[str] = field(default_factory=list[str])
    """Subjects whose histories were read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    async def load(self, subject: Subject | str, **named: Any) -> list[Recorded]:
        self.loaded.append(str(subject))
        return await self.log.load(subject, **named)

    async def append(self, *arguments: Any, **named: Any) -> Any:
        return await self._effect(lambda: self.log.append(*arguments, **named))

    async def publish(self, *arguments: Any, **named: Any) -> Any:
        return await self._effect(lambda: self.log.publish(*arguments, **named))

    async def schedule(self, key: Subject, due: datetime, message: Message, **_: Any) -> None:
        async def arm() -> None:
            self.alarms[str(key)] = due, message

        await self._effect(arm)

    async def _effect(self, effect: Callable[[], Awaitable[Any]]) -> Any:
        number, self.effects = self.effects, self.effects + 1
        if number == self.dies_at and not self.after:
            raise Died
        result = await effect()
        if number == self.dies_at:
            raise Died
        return result


class Scheduler:
    """A scheduler process and an execution service's: nothing in them outlives them."""

    def __init__(self, world: World) -> None:
        log = cast("Log", world.log)
        self.shell = Shell(log, world.limits, lambda: world.now)
        self.reactions = Reactions(log, self.shell, LaunchPlans(log), world.settings.policy)
        settings = ExecutionSettings()
        lookup = Lookup(log, settings.domains)
        self.executions = ExecutionShell(log, world.blobs, lookup, settings)
        admission = Admission(log, self.executions, Queues(log))
        starter = Starter(self.executions, lookup, admission, world.blobs, settings)
        self.requests = Requests(log, self.executions, starter)


@dataclass
class World:
    """A schedule, or several, and those who keep them."""

    log: SimulatedLog
    blobs: BlobStore
    now: datetime = datetime(2024, 3, 1, tzinfo=UTC)
    settings: ScheduleSettings = field(default_factory=lambda: ScheduleSettings.model_validate({}))
    limits: Limits = field(default_factory=Limits)
    replicas: int = 1
    deaths: int = 0
    # Executions go on until they are signalled, instead of ending at once.
    lasting: bool = False
    schedulers: list[Scheduler] = field(init=False)
    followed: set[Subject] = field(default_factory=set[Subject])
    # Nothing more will happen to these.
    over: set[Subject] = field(default_factory=set[Subject])
    _handled: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def __post_init__(self) -> None:
        self.live()

    def live(self) -> None:
        """New processes."""
        self.schedulers = [Scheduler(self) for _ in range(self.replicas)]

    @property
    def scheduler(self) -> Scheduler:
        return self.schedulers[0]

    # --- what the registry does ------------------------------------------------------------------------------------

    async def register_project(self) -> None:
        subject = execution_subjects.project(PROJECT)
        assert subject is not None
        try:
            registered = ProjectRegistered(project=Project(id=PROJECT))
            await self.log.log.append(subject, [registered], head=Head.EMPTY, cause=CAUSE)
        except Conflict:
            # Another test of this session did.
            assert await self.log.last_sequence(subject)

    def name(self) -> ScheduleKey:
        """A launch plan that nobody has registered yet."""
        return ScheduleKey(PROJECT, DOMAIN, f"plan-{uuid4().hex}")

    async def register(
        self, key: ScheduleKey, version: str, schedule: Schedule | str | None, **annotations: str
    ) -> Identifier:
        """A version of a launch plan, with a cron expression or any other schedule; annotations go by short names."""
        plan = key.version(version)
        flow = Flow().waits("n0", "go") if self.lasting else Flow().echo("n0", 1)
        closure = flow.closure()
        closure.primary.template.id.name = uuid4().hex
        if isinstance(schedule, str):
            schedule = Schedule(cron_schedule=CronSchedule(schedule=schedule))
        spec = LaunchPlanSpec()
        fact = LaunchPlanRegistered(id=plan, closure=await self.blobs.put_content("tests", closure.SerializeToString()))
        if schedule is not None:
            spec.entity_metadata.schedule.CopyFrom(schedule)
            if schedule.kickoff_time_input_arg:
                parameter = Parameter(required=True)
                parameter.var.type.simple = DATETIME
                fact.expected_inputs.parameters[schedule.kickoff_time_input_arg].CopyFrom(parameter)
        for name, value in annotations.items():
            spec.annotations.values[f"flightlog.schedule/{name.replace('_', '-')}"] = value
        fact.spec.CopyFrom(spec)
        subject = subjects.version(plan)
        assert subject is not None
        await self.log.log.append(subject, [fact], head=Head.EMPTY, cause=CAUSE, occurred_at=self.now)
        return plan

    async def activate(self, plan: Identifier, before: Identifier | None = None) -> Recorded:
        """As the registry does, which deactivates the version before in the same decision."""
        facts: list[Message] = []
        if before is not None:
            facts.append(LaunchPlanDeactivated(id=before, occurred_at=self._stamp()))
        return await self._decided(plan, [*facts, LaunchPlanActivated(id=plan, occurred_at=self._stamp())])

    async def deactivate(self, plan: Identifier) -> Recorded:
        return await self._decided(plan, [LaunchPlanDeactivated(id=plan, occurred_at=self._stamp())])

    async def _decided(self, plan: Identifier, facts: list[Message]) -> Recorded:
        subject = subjects.activation(ScheduleKey(plan.project, plan.domain, plan.name))
        assert subject is not None
        self.followed.add(subject)
        head = await self.log.log.head(subject)
        return await self.log.log.append(subject, facts, head=head, cause=CAUSE, occurred_at=self.now)

    def _stamp(self) -> Timestamp:
        stamp = Timestamp()
        stamp.FromDatetime(self.now)
        return stamp

    # --- what happens by itself ------------------------------------------------------------------------------------

    async def react(self) -> None:
        """Handles every message of those followed until none is left; one whose handling died comes again."""
        moved = True
        while moved:
            moved = False
            for subject in list(self.followed):
                handled = min(self._handled.get((consumer, str(subject)), 0) for consumer in CONSUMERS)
                for record in await self.log.log.load(subject, after=Head(handled, 0, b"")):
                    moved |= await self._hand_out(record)
        self.followed -= self.over

    async def until(self, moment: datetime) -> None:
        """Lets time pass; alarms ring when they are due."""
        await self.react()
        while True:
            ringing = min(self.log.alarms.items(), key=lambda alarm: alarm[1][0], default=None)
            if ringing is None or ringing[1][0] > moment:
                break
            text, (due, alarm) = ringing
            self.now = max(self.now, due)
            assert isinstance(alarm, ScheduleAlarm)
            await self._ring(text, alarm, due)
            await self.react()
        self.now = max(self.now, moment)

    async def _ring(self, text: str, alarm: ScheduleAlarm, due: datetime) -> None:
        self.log.alarms.pop(text)
        while True:
            try:
                await asyncio.gather(*(one.reactions.on_alarm(alarm, due) for one in self.schedulers))
                return
            except Died:
                # It was not acknowledged, and comes again.
                self._die()

    async def lives_through(self, story: Callable[[], Awaitable[None]]) -> int:
        """Tells a story over and over, dying at each of its effects, before and after; returns the number of deaths.

        Each time begins anew: nothing is armed and nothing is followed.
        """
        begun = self.now

        async def told() -> None:
            self.now = begun
            self.log.alarms.clear()
            self.followed.clear()
            self.log.effects = 0
            self.live()
            await story()

        await told()
        for number in range(self.log.effects):
            for after in (False, True):
                self.log.dies_at, self.log.after = number, after
                await told()
        return self.deaths

    def _die(self) -> None:
        self.deaths += 1
        self.live()

    async def _hand_out(self, record: Recorded) -> bool:
        """Gives a message to every consumer that has not had it; whether one had not."""
        moved = False
        for consumer in CONSUMERS:
            key = consumer, record.subject
            if self._handled.get(key, 0) >= record.sequence:
                continue
            moved = True
            try:
                await asyncio.gather(*(self._handle(consumer, one, record) for one in self.schedulers))
            except Died:
                self._die()
                continue
            self._handled[key] = record.sequence
        return moved

    async def _handle(self, consumer: str, scheduler: Scheduler, record: Recorded) -> None:
        stream, *_ = record.subject.split(".", 1)
        for fact in record.facts:
            if isinstance(fact, ExecutionRequested):
                key = fact.request.project, fact.request.domain, fact.request.name
                execution = execution_subjects.execution(key)
                assert execution is not None
                self.followed |= {execution, execution_subjects.answer(key)}
        match consumer, stream:
            case "schedules", "registry":
                await scheduler.reactions.on_activation(record)
                subject = subjects.schedule_of_activation(record.subject)
                assert subject is not None
                schedule = subjects.schedule(subject)
                assert schedule is not None
                self.followed.add(schedule)
            case "schedules", "scheduler":
                await scheduler.reactions.on_stands(record)
            case "schedules", "admission":
                await scheduler.reactions.on_answer(record)
            case "schedules", "execution":
                await scheduler.reactions.on_end(record)
                key = cast("execution_subjects.ExecutionKey", Subject.parse(record.subject).parts)
                if any(isinstance(fact, executions.ExecutionSucceeded) for fact in record.facts):
                    self.over |= {Subject.parse(record.subject), execution_subjects.answer(key)}
            case "execution", "scheduler":
                await scheduler.requests.take(record)
            case "execution", "execution":
                project, domain, name = Subject.parse(record.subject).parts
                if any(isinstance(fact, executions.ExecutionCreated) for fact in record.facts):
                    await scheduler.executions.start((project, domain, name), CAUSE)
            case _:
                return

    # --- what people do, and what they see -------------------------------------------------------------------------

    async def tell(self, key: ScheduleKey, command: Command) -> None:
        await self.scheduler.shell.tell(key, command, CAUSE)
        await self.react()

    async def backfill(self, command: CreateBackfill) -> BackfillKey:
        """Creates one, asking again when the service dies in between, as clients do."""
        key = BackfillKey(PROJECT, DOMAIN, command.id)
        subject = subjects.backfill(key)
        assert subject is not None
        self.followed.add(subject)
        await self._asked_again(lambda: self.scheduler.shell.tell_backfill(key, command, CAUSE))
        return key

    async def cancel(self, key: BackfillKey, command: CancelBackfill) -> None:
        await self._asked_again(lambda: self.scheduler.shell.tell_backfill(key, command, CAUSE))
        await self.react()

    async def _asked_again(self, call: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await call()
            except Died:
                self._die()
            else:
                return

    async def finish(self, name: str) -> None:
        """Lets a lasting execution end, and all hear of it."""
        await self.end(name)
        await self.react()

    async def end(self, name: str) -> None:
        key = PROJECT, DOMAIN, name
        await self.scheduler.executions.dispatch(key, SetSignal("go", literal(1), "somebody"), CAUSE)

    async def position(self, key: ScheduleKey) -> Position:
        found = await self.scheduler.shell.position(key)
        assert found is not None
        return found

    async def history(self, key: ScheduleKey | BackfillKey) -> list[Message]:
        subject = subjects.schedule(key) if isinstance(key, ScheduleKey) else subjects.backfill(key)
        assert subject is not None
        return [fact for record in await self.log.log.load(subject) for fact in record.facts]

    async def runs(self, key: ScheduleKey | BackfillKey) -> dict[str, executions.ExecutionCreated]:
        """All executions that were asked for, by name, with what each was created as: once."""
        found: dict[str, executions.ExecutionCreated] = {}
        for asked in await self.history(key):
            if not isinstance(asked, ExecutionRequested):
                continue
            name = asked.request.name
            subject = execution_subjects.execution((PROJECT, DOMAIN, name))
            assert subject is not None
            history = [fact for record in await self.log.log.load(subject) for fact in record.facts]
            (created,) = [fact for fact in history if isinstance(fact, executions.ExecutionCreated)]
            assert name not in found, "asked for twice"
            found[name] = created
        return found

    async def ticks(self, key: ScheduleKey | BackfillKey) -> list[datetime]:
        """The moments that executions were made for, in the order in which they were asked for."""
        created = (await self.runs(key)).values()
        assert all(one.spec.metadata.mode == ExecutionMetadata.SCHEDULED for one in created)
        return [one.spec.metadata.scheduled_at.ToDatetime(UTC) for one in created]
