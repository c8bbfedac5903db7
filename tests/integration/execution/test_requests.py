"""What the scheduler asks of the execution service: each request makes one execution and gets its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio
from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionMetadata
from flyteidl.admin.project_pb2 import Project
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from flyteidl.core.interface_pb2 import Parameter
from flyteidl.core.types_pb2 import INTEGER
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, LogUnavailable, Recorded, Subject, Undecodable
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.execution.v1.requests_pb2 import (
    ExecutionRequestAnswered,
    ExecutionRequested,
    TerminationRequested,
)
from flightlog_protos.registry.v1.facts_pb2 import LaunchPlanRegistered, ProjectRegistered
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.queues import Queues
from services.execution.engine import TerminateExecution
from services.execution.lookup import Lookup
from services.execution.requests import Requests
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell
from services.execution.starting import Starter
from services.execution.subjects import ExecutionKey
from tests.unit.engine.story import Flow, From, literal

CAUSE = Cause.service("test")
DOMAIN = "development"


class Died(Exception):
    """The service is gone before it could answer."""


@dataclass
class MuteLog:
    """A log whose user dies when it publishes."""

    log: Log
    muted: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    async def publish(self, *arguments: Any, **named: Any) -> Any:
        if self.muted:
            raise Died
        return await self.log.publish(*arguments, **named)


@dataclass
class Asking:
    """A schedule that asks, and an execution service that may die."""

    log: MuteLog
    blobs: BlobStore
    project: str
    plan: Identifier = field(default_factory=Identifier)
    requests: Requests = field(init=False)
    shell: Shell = field(init=False)

    def __post_init__(self) -> None:
        self.live()

    def live(self) -> None:
        """A new process: nothing is in memory."""
        settings = ExecutionSettings()
        log = cast("Log", self.log)
        lookup = Lookup(log, settings.domains)
        self.shell = Shell(log, self.blobs, lookup, settings)
        admission = Admission(log, self.shell, Queues(log))
        self.requests = Requests(log, self.shell, Starter(self.shell, lookup, admission, self.blobs, settings))

    async def register(self) -> None:
        registered = ProjectRegistered(project=Project(id=self.project))
        subject = subjects.project(self.project)
        assert subject is not None
        await self.log.append(subject, [registered], head=Head.EMPTY, cause=CAUSE)
        flow = Flow().waits("n0", "never").echo("n1", From("n0")).returns(o0=From("n1"))
        closure = flow.closure()
        closure.primary.template.id.name = uuid4().hex
        self.plan = Identifier(
            resource_type=LAUNCH_PLAN, project=self.project, domain=DOMAIN, name=f"plan-{uuid4().hex}", version="v1"
        )
        fact = LaunchPlanRegistered(
            id=self.plan, closure=await self.blobs.put_content("tests", closure.SerializeToString())
        )
        fact.expected_inputs.parameters["x"].CopyFrom(Parameter(required=True))
        fact.expected_inputs.parameters["x"].var.type.simple = INTEGER
        version = subjects.version(self.plan)
        assert version is not None
        await self.log.append(version, [fact], head=Head.EMPTY, cause=CAUSE)

    def request(self, name: str) -> ExecutionCreateRequest:
        request = ExecutionCreateRequest(project=self.project, domain=DOMAIN, name=name)
        request.spec.launch_plan.CopyFrom(self.plan)
        request.spec.metadata.mode = ExecutionMetadata.SCHEDULED
        request.spec.metadata.scheduled_at.CopyFrom(Timestamp(seconds=1_700_000_000))
        request.spec.metadata.principal = "somebody else"
        request.inputs.literals["x"].CopyFrom(literal(4))
        return request

    async def ask(self, *asked: Message, by: Subject | None = None) -> Recorded:
        subject = by or Subject.of("SCHEDULER", "schedule", self.project, DOMAIN, uuid4().hex)
        return await self.log.append(subject, asked, head=Head.EMPTY, cause=CAUSE)

    def key(self, name: str) -> ExecutionKey:
        return self.project, DOMAIN, name

    async def created(self, name: str) -> list[facts.ExecutionCreated]:
        subject = subjects.execution(self.key(name))
        assert subject is not None
        found = [fact for recorded in await self.log.load(subject) for fact in recorded.facts]
        return [fact for fact in found if isinstance(fact, facts.ExecutionCreated)]

    async def answers(self, name: str) -> list[ExecutionRequestAnswered]:
        found = [fact for recorded in await self.log.load(subjects.answer(self.key(name))) for fact in recorded.facts]
        return [fact for fact in found if isinstance(fact, ExecutionRequestAnswered)]

    async def answer(self, name: str) -> ExecutionRequestAnswered:
        (answer,) = await self.answers(name)
        return answer


@pytest_asyncio.fixture(loop_scope="session")
async def asking(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Asking]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    found = Asking(MuteLog(log), blobs, f"asking-{uuid4().hex}")
    await found.register()
    yield found
    await log.close()
    await blobs.close()


async def test_a_request_becomes_an_execution_and_is_answered(asking: Asking) -> None:
    recorded = await asking.ask(ExecutionRequested(request=asking.request("tick-1")))
    await asking.requests.take(recorded)
    (created,) = await asking.created("tick-1")
    assert created.requested_by == recorded.subject
    metadata = created.spec.metadata
    assert (metadata.mode, metadata.scheduled_at.seconds) == (ExecutionMetadata.SCHEDULED, 1_700_000_000)
    assert metadata.principal == ""
    answer = await asking.answer("tick-1")
    assert (answer.kind, answer.requested_by) == (ExecutionRequestAnswered.CREATED, recorded.subject)
    assert (answer.execution_id.project, answer.execution_id.name) == (asking.project, "tick-1")


async def test_a_request_handled_twice_is_answered_once(asking: Asking) -> None:
    recorded = await asking.ask(ExecutionRequested(request=asking.request("tick-1")))
    await asking.requests.take(recorded)
    await asking.requests.take(recorded)
    asking.live()
    await asking.requests.take(recorded)
    assert len(await asking.created("tick-1")) == len(await asking.answers("tick-1")) == 1


async def test_a_service_that_died_before_it_answered_answers_that_it_made_the_execution(asking: Asking) -> None:
    recorded = await asking.ask(ExecutionRequested(request=asking.request("tick-1")))
    asking.log.muted = True
    with pytest.raises(Died):
        await asking.requests.take(recorded)
    assert await asking.answers("tick-1") == []
    asking.log.muted = False
    asking.live()
    await asking.requests.take(recorded)
    assert len(await asking.created("tick-1")) == 1
    assert (await asking.answer("tick-1")).kind == ExecutionRequestAnswered.CREATED


async def test_one_that_somebody_else_made_existed(asking: Asking) -> None:
    first = await asking.ask(ExecutionRequested(request=asking.request("tick-1")))
    await asking.requests.take(first)
    await asking.shell.start(asking.key("tick-1"), CAUSE)
    second = await asking.ask(ExecutionRequested(request=asking.request("tick-1")))
    await asking.requests.take(second)
    assert len(await asking.created("tick-1")) == 1
    theirs, ours = await asking.answers("tick-1")
    assert (theirs.kind, theirs.requested_by) == (ExecutionRequestAnswered.CREATED, first.subject)
    assert (ours.kind, ours.requested_by) == (ExecutionRequestAnswered.EXISTED, second.subject)
    assert ours.phase == WorkflowExecution.RUNNING


async def test_what_cannot_be_created_is_refused_in_the_words_of_create_execution(asking: Asking) -> None:
    unknown, misfit, elsewhere = asking.request("unknown"), asking.request("misfit"), asking.request("elsewhere")
    unknown.spec.launch_plan.version = "v2"
    misfit.inputs.literals["y"].CopyFrom(literal(4))
    elsewhere.project = f"nowhere-{uuid4().hex}"
    recorded = await asking.ask(
        *(ExecutionRequested(request=one) for one in (unknown, misfit, elsewhere, asking.request("right")))
    )
    await asking.requests.take(recorded)
    refused = await asking.answer("unknown")
    assert (refused.kind, refused.code) == (ExecutionRequestAnswered.REFUSED, "NOT_FOUND")
    assert "missing entity of type LAUNCH_PLAN" in refused.message
    refused = await asking.answer("misfit")
    assert (refused.code, refused.message) == ("INVALID_ARGUMENT", "invalid input y")
    (answered,) = await asking.log.load(subjects.answer((elsewhere.project, DOMAIN, "elsewhere")))
    (refused,) = answered.facts
    assert isinstance(refused, ExecutionRequestAnswered)
    assert refused.code == "INVALID_ARGUMENT"
    assert (await asking.answer("right")).kind == ExecutionRequestAnswered.CREATED


async def test_what_was_made_is_not_refused_later(asking: Asking) -> None:
    """Between the create and the answer the service died, and the project was archived."""
    recorded = await asking.ask(ExecutionRequested(request=asking.request("tick-1")))
    asking.log.muted = True
    with pytest.raises(Died):
        await asking.requests.take(recorded)
    subject = subjects.project(asking.project)
    assert subject is not None
    archived = ProjectRegistered(project=Project(id=asking.project, state=Project.ARCHIVED))
    await asking.log.append(subject, [archived], head=await asking.log.head(subject), cause=CAUSE)
    asking.log.muted = False
    asking.live()
    await asking.requests.take(recorded)
    assert (await asking.answer("tick-1")).kind == ExecutionRequestAnswered.CREATED
    later = await asking.ask(ExecutionRequested(request=asking.request("tick-2")))
    await asking.requests.take(later)
    refused = await asking.answer("tick-2")
    assert (refused.kind, refused.code) == (ExecutionRequestAnswered.REFUSED, "INVALID_ARGUMENT")
    assert "is not active" in refused.message


async def test_an_object_store_that_is_away_is_no_refusal(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> Any:
        raise ConnectionError("refused")

    recorded = await asking.ask(ExecutionRequested(request=asking.request("tick-1")))
    with monkeypatch.context() as patch:
        patch.setattr(asking.blobs, "put_content", away)
        with pytest.raises(LogUnavailable):
            await asking.requests.take(recorded)
    assert await asking.answers("tick-1") == []
    await asking.requests.take(recorded)
    assert (await asking.answer("tick-1")).kind == ExecutionRequestAnswered.CREATED


async def test_a_request_without_a_name_is_not_carried_out(asking: Asking) -> None:
    recorded = await asking.ask(ExecutionRequested(request=asking.request("")))
    with pytest.raises(Undecodable):
        await asking.requests.take(recorded)


async def test_an_execution_is_terminated_on_request_and_says_who_wanted_it(asking: Asking) -> None:
    schedule = Subject.of("SCHEDULER", "schedule", asking.project, DOMAIN, uuid4().hex)
    await asking.requests.take(await asking.ask(ExecutionRequested(request=asking.request("tick-1")), by=schedule))
    await asking.shell.start(asking.key("tick-1"), CAUSE)
    ending = TerminationRequested(execution_id=subjects.identifier_of(asking.key("tick-1")), cause="replaced")
    nobody = TerminationRequested(execution_id=subjects.identifier_of(asking.key("nobody")), cause="replaced")
    recorded = await asking.ask(ending, nobody)
    await asking.requests.take(recorded)
    await asking.requests.take(recorded)
    subject = subjects.execution(asking.key("tick-1"))
    assert subject is not None
    history = [fact for record in await asking.log.load(subject) for fact in record.facts]
    (asked,) = [fact for fact in history if isinstance(fact, facts.AbortRequested)]
    assert (asked.cause, asked.principal) == ("replaced", "scheduler")
    (aborted,) = [fact for fact in history if isinstance(fact, facts.ExecutionAborted)]
    assert aborted.requested_by == schedule.text
    # Terminating what has ended is no error.
    await asking.requests.take(await asking.ask(ending))


async def test_what_was_refused_for_want_of_room_stays_refused_when_the_request_comes_again(asking: Asking) -> None:
    async def ask(name: str) -> Recorded:
        request = asking.request(name)
        request.spec.annotations.values["flightlog.concurrency/max"] = "1"
        request.spec.annotations.values["flightlog.concurrency/behavior"] = "skip"
        recorded = await asking.ask(ExecutionRequested(request=request))
        await asking.requests.take(recorded)
        return recorded

    await ask("first")
    refused = await ask("second")
    assert (await asking.answer("second")).kind == ExecutionRequestAnswered.REFUSED
    await asking.shell.dispatch(asking.key("first"), TerminateExecution("enough", "me"), CAUSE)
    asking.live()
    await asking.requests.take(refused)
    assert not await asking.created("second")


async def test_many_requests_of_one_envelope_run_side_by_side(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is answered before all have begun: one after another, they would wait for ever."""
    names = [f"tick-{number}" for number in range(20)]
    begun: set[str] = set()
    all_begun = asyncio.Event()
    create = Starter.create

    async def waiting(self: Starter, request: ExecutionCreateRequest, *rest: Any, **named: Any) -> Any:
        begun.add(request.name)
        if len(begun) == len(names):
            all_begun.set()
        await all_begun.wait()
        return await create(self, request, *rest, **named)

    monkeypatch.setattr(Starter, "create", waiting)
    recorded = await asking.ask(*(ExecutionRequested(request=asking.request(name)) for name in names))
    async with asyncio.timeout(60):
        await asking.requests.take(recorded)
    for name in names:
        assert (await asking.answer(name)).kind == ExecutionRequestAnswered.CREATED
