"""Concurrency limits on a real log: never more run than a limit allows, whatever dies and however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import CONCURRENCY_LIMIT_BEHAVIOR_SKIP
from flyteidl.admin.project_pb2 import Project
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from flyteidl.core.interface_pb2 import Parameter
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import INTEGER
from google.protobuf.message import Message

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Recorded
from flightlog_protos.execution.v1 import admission_pb2
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit
from flightlog_protos.execution.v1.queue_service_pb2 import ListQueuesRequest
from flightlog_protos.registry.v1.facts_pb2 import LaunchPlanRegistered, ProjectRegistered
from flightlog_rpc import CallContext, RpcError
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.queue import Enter, Leave, Queue
from services.execution.admission.queues import Queues
from services.execution.admission.words import waiting_for
from services.execution.api.queues import QueueCalls
from services.execution.children import Children
from services.execution.engine import SetSignal, TerminateExecution
from services.execution.engine.evolve import BrokenHistory
from services.execution.lookup import Lookup
from services.execution.reactions import Reactions
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell
from services.execution.starting import Starter
from services.execution.subjects import ExecutionKey
from tests.integration.execution.test_children import Died, DyingLog
from tests.unit.engine.story import INPUT, Flow, From, literal

CAUSE = Cause.service("test")
DOMAIN = "development"
PREFIX = "flightlog.concurrency/"
ENDS = (facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted)


@dataclass
class Process:
    """An execution service in memory."""

    shell: Shell
    admission: Admission
    starter: Starter
    reactions: Reactions


@dataclass
class Limited:
    """A project of its own, and the processes that serve it; they may die."""

    log: DyingLog
    blobs: BlobStore
    limits: dict[str, int] = field(default_factory=dict[str, int])
    project: str = field(default_factory=lambda: f"limited-{uuid4().hex}")
    process: Process = field(init=False)
    deaths: int = 0
    handled: dict[str, int] = field(default_factory=dict[str, int])
    names: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.live()

    def live(self) -> None:
        """A new process: nothing is in memory."""
        self.process = self.another()

    def another(self) -> Process:
        settings = ExecutionSettings(limits=self.limits)
        log = cast("Log", self.log)
        lookup = Lookup(log, settings.domains)
        shell = Shell(log, self.blobs, lookup, settings)
        admission = Admission(log, shell, Queues(log), unclaimed_after=timedelta())
        starter = Starter(shell, lookup, admission, self.blobs, settings)
        return Process(
            shell, admission, starter, Reactions(log, shell, Children(shell, starter, self.blobs), admission)
        )

    async def fresh(self) -> None:
        """Another project, so that no story sees what an earlier one left."""
        self.project = f"limited-{uuid4().hex}"
        self.handled, self.names = {}, []
        subject = subjects.project(self.project)
        assert subject is not None
        registered = ProjectRegistered(project=Project(id=self.project))
        await self.log.log.append(subject, [registered], head=Head.EMPTY, cause=CAUSE)

    async def plan(self, flow: Flow | None = None, *, skip: int = 0, **said: str) -> Identifier:
        """A launch plan whose executions wait for the signal `go`, unless another flow is given."""
        identifier = Identifier(
            resource_type=LAUNCH_PLAN, project=self.project, domain=DOMAIN, name=f"plan-{uuid4().hex}", version="v1"
        )
        closure = (flow or Flow().waits("n0", "go").echo("n1", From("n0")).returns(o0=From("n1"))).closure()
        closure.primary.template.id.name = uuid4().hex
        fact = LaunchPlanRegistered(
            id=identifier, closure=await self.blobs.put_content("tests", closure.SerializeToString())
        )
        fact.spec.workflow_id.name = identifier.name
        fact.expected_inputs.parameters["x"].CopyFrom(Parameter(required=True))
        fact.expected_inputs.parameters["x"].var.type.simple = INTEGER
        fact.expected_outputs.variables["o0"].type.simple = INTEGER
        if skip:
            fact.spec.concurrency_policy.max = skip
            fact.spec.concurrency_policy.behavior = CONCURRENCY_LIMIT_BEHAVIOR_SKIP
        fact.spec.annotations.values.update({PREFIX + name.replace("_", "-"): text for name, text in said.items()})
        subject = subjects.version(identifier)
        assert subject is not None
        await self.log.log.append(subject, [fact], head=Head.EMPTY, cause=CAUSE)
        return identifier

    async def create(self, plan: Identifier, name: str, process: Process | None = None, **said: str) -> None:
        request = ExecutionCreateRequest(project=self.project, domain=DOMAIN, name=name)
        request.spec.launch_plan.CopyFrom(plan)
        request.spec.annotations.values.update({PREFIX + key.replace("_", "-"): text for key, text in said.items()})
        request.inputs.literals["x"].CopyFrom(literal(4))
        if name not in self.names:
            self.names.append(name)
        await (process or self.process).starter.create(request, _me, CAUSE)

    async def answer(self, plan: Identifier, name: str) -> RpcError | None:
        """What a client is told that asks again until it gets an answer."""
        while True:
            try:
                await self.create(plan, name)
            except Died:
                self.deaths += 1
                self.live()
            except RpcError as error:
                return error
            else:
                return None

    async def surely_create(self, plan: Identifier, name: str) -> None:
        error = await self.answer(plan, name)
        assert error is None or error.message.startswith("value with matching already exists")

    def key(self, name: str) -> ExecutionKey:
        return self.project, DOMAIN, name

    async def records(self, name: str) -> list[Recorded]:
        subject = subjects.execution(self.key(name))
        assert subject is not None
        return await self.log.log.load(subject)

    async def history(self, name: str) -> list[Message]:
        return [fact for record in await self.records(name) for fact in record.facts]

    async def queued(self) -> list[Message]:
        records = await self.log.log.load(subjects.queue((self.project, DOMAIN)))
        return [fact for record in records for fact in record.facts]

    async def until(self, kind: type[Message]) -> None:
        """Waits for a fact of the queue."""
        subject = subjects.queue((self.project, DOMAIN))
        async for batch in self.log.log.follow(subjects.ADMISSION, after=0, subjects=str(subject)):
            if any(isinstance(fact, kind) for record in batch if isinstance(record, Recorded) for fact in record.facts):
                return

    async def members(self) -> list[str]:
        """All executions, children too."""
        found = list(self.names)
        for name in found:
            asked = [fact for fact in await self.history(name) if isinstance(fact, facts.ChildExecutionRequested)]
            found += [fact.execution_id.name for fact in asked]
        return found

    async def react(self) -> None:
        """Handles every message until none is left; one whose handling died comes again."""
        moved = True
        while moved:
            moved = False
            for name in await self.members():
                moved |= await self._handle(name, await self.records(name))
            records = await self.log.log.load(subjects.queue((self.project, DOMAIN)))
            moved |= await self._handle("", records, of_queue=True)

    async def _handle(self, name: str, records: list[Recorded], *, of_queue: bool = False) -> bool:
        new = records[self.handled.get(name, 0) :]
        for record in new:
            handler = self.process.admission.on_facts if of_queue else self.process.reactions.on_facts
            try:
                await handler(record)
            except Died:
                self.deaths += 1
                self.live()
                return True
            self.handled[name] = self.handled.get(name, 0) + 1
        return bool(new)

    async def running(self) -> list[str]:
        found: list[str] = []
        for name in await self.members():
            history = await self.history(name)
            started = any(isinstance(fact, facts.ExecutionStarted) for fact in history)
            if started and not any(isinstance(fact, ENDS) for fact in history):
                found.append(name)
        return found

    async def go(self, name: str) -> None:
        """Lets an execution end."""
        while True:
            try:
                await self.process.shell.dispatch(self.key(name), SetSignal("go", literal(1), "me"), CAUSE)
            except Died:
                self.deaths += 1
                self.live()
            else:
                return

    async def most_at_once(self, limit: str) -> int:
        """As the log has it: how many with this limit ran at the same time, children within a place aside."""
        moments: list[tuple[int, int]] = []
        for name in await self.members():
            records = await self.records(name)
            created = records[0].facts[0] if records else None
            if not isinstance(created, facts.ExecutionCreated):
                continue
            if not any(own.name == limit and not own.held_by for own in created.limits):
                continue
            ran = False
            for record in records:
                for fact in record.facts:
                    if isinstance(fact, facts.ExecutionStarted):
                        ran = True
                        moments.append((record.sequence, 1))
                    elif isinstance(fact, ENDS) and ran:
                        moments.append((record.sequence, -1))
        now = most = 0
        # An envelope may hold start and end.
        for _, change in sorted(moments, key=lambda moment: (moment[0], -moment[1])):
            now += change
            most = max(most, now)
        return most


async def _me(_: ExecutionSpec) -> str:
    return "me"


@pytest_asyncio.fixture(loop_scope="session")
async def limited(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Limited]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    found = Limited(DyingLog(log), blobs)
    await found.fresh()
    yield found
    await log.close()
    await blobs.close()


async def lived_through(limited: Limited, story: Callable[[], Any]) -> int:
    """Tells a story over and over, dying at every append it makes, before and after; returns the number of deaths."""
    limited.log.appends = 0
    await story()
    for number in range(limited.log.appends):
        for after in (False, True):
            limited.log.appends, limited.log.dies_at, limited.log.after = 0, number, after
            limited.live()
            await story()
    return limited.deaths


async def test_who_waits_is_started_in_turn_wherever_the_service_dies(limited: Limited) -> None:
    async def story() -> None:
        await limited.fresh()
        plan = await limited.plan(max="1")
        for name in ("a", "b", "c"):
            await limited.surely_create(plan, name)
            await limited.react()
        for name in ("a", "b", "c"):
            assert await limited.running() == [name]
            await limited.go(name)
            await limited.react()
        assert await limited.running() == []
        assert await limited.most_at_once(f"launch_plan/{plan.name}") == 1
        assert (await limited.process.admission.look(limited.project, DOMAIN)) == Queue()
        (waited,) = [fact for fact in await limited.history("b") if isinstance(fact, facts.ExecutionWaiting)]
        assert list(waited.limits) == [f"launch_plan/{plan.name}"]
        assert not any(isinstance(fact, facts.ExecutionWaiting) for fact in await limited.history("a"))

    assert await lived_through(limited, story) > 20


async def test_a_refused_execution_leaves_nothing_wherever_the_service_dies(limited: Limited) -> None:
    async def story() -> None:
        await limited.fresh()
        plan = await limited.plan(skip=1)
        await limited.surely_create(plan, "a")
        refusal = await limited.answer(plan, "b")
        assert refusal is not None
        assert refusal.code == grpc.StatusCode.ALREADY_EXISTS
        assert refusal.message == f"concurrency limit (1) reached for launch plan {plan.name}; skipping execution"
        assert await limited.history("b") == []
        await limited.react()
        assert await limited.running() == ["a"]
        await limited.go("a")
        # Nobody has told the queue yet.
        await limited.surely_create(plan, "c")
        await limited.react()
        assert await limited.running() == ["c"]
        assert await limited.most_at_once(f"launch_plan/{plan.name}") == 1

    assert await lived_through(limited, story) > 10


async def test_a_place_that_was_taken_for_nothing_is_given_back(limited: Limited) -> None:
    plan = await limited.plan(skip=1)
    limited.log.dies_at, limited.log.after, limited.log.appends = 0, True, 0
    with pytest.raises(Died):
        await limited.create(plan, "a")
    limited.live()
    assert await limited.history("a") == []
    with pytest.raises(RpcError, match="skipping execution"):
        await limited.create(plan, "b")
    # The place's own fact arms the alarm, and that comes through the log.
    alarms = asyncio.create_task(limited.process.admission.run_alarms())
    try:
        await limited.react()
        async with asyncio.timeout(60):
            await limited.until(admission_pb2.PlaceReleased)
    finally:
        alarms.cancel()
        await asyncio.gather(alarms, return_exceptions=True)
    (released,) = [fact for fact in await limited.queued() if isinstance(fact, admission_pb2.PlaceReleased)]
    assert (released.execution, released.unclaimed) == ("a", True)
    await limited.create(plan, "b")
    # The first one comes all the same, as if its process had only been asleep: it has lost its place.
    (late,) = (fact for fact in await limited.history("b") if isinstance(fact, facts.ExecutionCreated))
    late.id.name = "a"
    await limited.another().shell.create(late, LiteralMap(), CAUSE)
    await limited.react()
    assert await limited.running() == ["b"]
    await limited.go("b")
    await limited.react()
    assert await limited.running() == ["a"]


async def test_a_create_that_fails_gives_its_place_back_at_once(limited: Limited) -> None:
    plan = await limited.plan(Flow().task("n0").returns(o0=From("n0")), skip=1)
    launchable = await limited.process.starter._lookup.launchable(plan)  # pyright: ignore[reportPrivateUsage]
    await limited.blobs.delete(launchable.closure.uri)
    for _ in range(2):
        with pytest.raises(RpcError, match="cannot be run"):
            await limited.create(plan, "a")
    assert (await limited.process.admission.look(limited.project, DOMAIN)) == Queue()


async def test_processes_that_ask_side_by_side_let_exactly_as_many_pass_as_there_are_places(limited: Limited) -> None:
    plan = await limited.plan(skip=3)
    processes = [limited.another() for _ in range(3)]
    asked = [limited.create(plan, f"e{number}", processes[number % 3]) for number in range(20)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, RpcError)]
    assert len(refused) == 17
    assert outcomes.count(None) == 3
    await limited.react()
    assert len(await limited.running()) == 3


async def test_what_waits_can_be_terminated_and_leaves_the_line(limited: Limited) -> None:
    plan = await limited.plan(max="1")
    for name in ("a", "b", "c"):
        await limited.create(plan, name)
        await limited.react()
    queue = await limited.process.admission.look(limited.project, DOMAIN)
    assert waiting_for(queue, "c") == f"place 2 of launch plan {plan.name} (at most 1)"
    await limited.process.shell.dispatch(limited.key("b"), TerminateExecution("enough", "me"), CAUSE)
    await limited.react()
    assert isinstance((await limited.history("b"))[-1], facts.ExecutionAborted)
    queue = await limited.process.admission.look(limited.project, DOMAIN)
    assert waiting_for(queue, "c") == f"place 1 of launch plan {plan.name} (at most 1)"
    await limited.go("a")
    await limited.react()
    assert await limited.running() == ["c"]
    # Messages that come again, long after, change nothing.
    limited.handled = {}
    limited.live()
    await limited.react()
    assert await limited.running() == ["c"]


async def test_the_newest_replaces_who_has_run_longest(limited: Limited) -> None:
    plan = await limited.plan(max="2", behavior="replace")
    for name in ("a", "b", "c"):
        await limited.create(plan, name)
        await limited.react()
    assert await limited.running() == ["b", "c"]
    (asked,) = [fact for fact in await limited.history("a") if isinstance(fact, facts.AbortRequested)]
    assert asked.cause == f"replaced by execution c: launch plan {plan.name} has room for 2"
    assert asked.principal == "concurrency limit"
    assert await limited.most_at_once(f"launch_plan/{plan.name}") == 2


async def test_a_key_is_shared_by_launch_plans(limited: Limited) -> None:
    first = await limited.plan(key="gpu", key_max="1")
    second = await limited.plan()
    await limited.create(first, "a")
    await limited.create(second, "b", key="gpu", key_max="1")
    await limited.create(second, "free")
    await limited.react()
    assert await limited.running() == ["a", "free"]
    await limited.go("a")
    await limited.react()
    assert await limited.running() == ["b", "free"]
    assert await limited.most_at_once("key/gpu") == 1


async def test_a_parent_and_its_children_run_within_one_place(limited: Limited) -> None:
    """Each of the limits has room for one: a child that needed a place of its own would wait for ever."""
    limited.limits = {f"{limited.project}/*": 1}
    limited.live()
    inner = await limited.plan(Flow("inner").waits("n0", "go").returns(o0=From("n0")), key="gpu", key_max="1")
    outer = Flow().launches("n0", {"x": INPUT}).returns(o0=From("n0"))
    outer.nodes[0].workflow_node.launchplan_ref.CopyFrom(inner)
    plan = await limited.plan(outer, key="gpu", key_max="1")
    await limited.create(plan, "parent")
    await limited.create(plan, "next")
    await limited.react()
    parent, child = await limited.running()
    assert parent == "parent"
    created = (await limited.history(child))[0]
    assert isinstance(created, facts.ExecutionCreated)
    assert {limit.name: limit.held_by for limit in created.limits} == {"key/gpu": "parent", "domain": "parent"}
    await limited.go(child)
    await limited.react()
    assert isinstance((await limited.history("parent"))[-1], facts.ExecutionSucceeded)
    running = await limited.running()
    assert running[0] == "next"
    assert len(running) == 2


async def test_queues_are_listed_for_one_place_or_for_all(limited: Limited) -> None:
    calls = QueueCalls(limited.process.admission, limited.process.shell)
    call = CallContext.of([], "ipv4:127.0.0.1:1")
    plan = await limited.plan(max="1")
    for name in ("a", "b"):
        await limited.create(plan, name)
        await limited.react()
    (found,) = (await calls.list(ListQueuesRequest(project=limited.project, domain=DOMAIN), call)).queues
    assert [place.execution_id.name for place in (*found.running, *found.waiting)] == ["a", "b"]
    everywhere = (await calls.list(ListQueuesRequest(), call)).queues
    assert found in everywhere
    # Other tests of this session have left some.
    assert everywhere == sorted(everywhere, key=lambda queue: (queue.project, queue.domain, queue.limit.name))
    nowhere = ListQueuesRequest(project=limited.project, domain=DOMAIN, execution="c")
    assert not (await calls.list(nowhere, call)).queues
    for odd in ("x" * 100_000, "\0", "ä" * 1000):
        assert not (await calls.list(ListQueuesRequest(project=odd, domain=DOMAIN), call)).queues
        assert not (await calls.list(ListQueuesRequest(project=DOMAIN, domain=odd), call)).queues
    for incomplete in (ListQueuesRequest(project="p"), ListQueuesRequest(domain="d")):
        with pytest.raises(RpcError, match=r"missing (project|domain)") as caught:
            await calls.list(incomplete, call)
        assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT


async def test_one_that_cannot_be_started_keeps_no_other_from_its_place(limited: Limited) -> None:
    plan, other = await limited.plan(max="1"), await limited.plan()
    await limited.create(plan, "both", key="gpu", key_max="1")
    await limited.react()
    await limited.create(plan, "broken")
    await limited.create(other, "sound", key="gpu", key_max="1")
    await limited.react()
    head = (await limited.records("broken"))[-1].head
    subject = subjects.execution(limited.key("broken"))
    assert subject is not None
    await limited.log.log.append(subject, [facts.NodeSucceeded(node_id="nowhere")], head=head, cause=CAUSE)
    await limited.process.admission.ended(limited.key("both"), CAUSE)
    given = (await limited.log.log.load(subjects.queue((limited.project, DOMAIN))))[-1]
    assert sum(isinstance(fact, admission_pb2.PlaceGiven) for fact in given.facts) == 2
    limited.live()
    with pytest.raises(BrokenHistory):
        await limited.process.admission.on_facts(given)
    assert any(isinstance(fact, facts.ExecutionStarted) for fact in await limited.history("sound"))


async def test_children_wait_for_the_limit_of_their_launch_plan(limited: Limited) -> None:
    inner = await limited.plan(max="1")
    outer = Flow()
    for number in range(3):
        outer.launches(f"n{number}", {"x": INPUT})
        outer.nodes[number].workflow_node.launchplan_ref.CopyFrom(inner)
    plan = await limited.plan(outer.returns(o0=From("n0")))
    await limited.create(plan, "parent")
    for _ in range(3):
        await limited.react()
        _, child = await limited.running()
        await limited.go(child)
    await limited.react()
    assert await limited.running() == []
    assert isinstance((await limited.history("parent"))[-1], facts.ExecutionSucceeded)
    assert await limited.most_at_once(f"launch_plan/{inner.name}") == 1


async def test_a_queue_is_read_from_where_it_was_last_written_down(limited: Limited) -> None:
    """A process that comes new, and two that take turns, know what one knows that did everything."""
    place = (limited.project, DOMAIN)
    log = limited.log.log
    processes = [Queues(log), Queues(log)]
    limit = ConcurrencyLimit(name="key/gpu", max=2, behavior=ConcurrencyLimit.WAIT)
    for number in range(120):
        process = processes[number % 2]
        await process.give(place, Enter(f"e{number}", [limit], number), CAUSE)
        if number >= 40:
            await processes[number // 2 % 2].give(place, Leave(f"e{number - 40}"), CAUSE)
    new = await Queues(log).look(place)
    assert new == await processes[0].look(place) == await processes[1].look(place)
    assert sorted(new.members) == sorted(f"e{number}" for number in range(80, 120))
    records = await log.load(subjects.queue(place))
    snapshots = [record for record in records if isinstance(record.facts[-1], admission_pb2.QueueStands)]
    assert 3 < len(snapshots) < 10
