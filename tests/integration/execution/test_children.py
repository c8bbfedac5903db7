"""Child executions on a real log and object store: a service that dies at any step loses and doubles nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest_asyncio
from flyteidl.admin.execution_pb2 import ExecutionMetadata
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from flyteidl.core.interface_pb2 import Parameter
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import INTEGER
from google.protobuf.message import Message

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Conflict, Head, Log, LogSettings
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.registry.v1.facts_pb2 import LaunchPlanRegistered, ProjectRegistered
from flightlog_read import Database, DatabaseSettings, Page, Projector, SqlWhere
from flightlog_service import running
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.queues import Queues
from services.execution.children import Children
from services.execution.engine import ObserveAttempt, TerminateExecution
from services.execution.lookup import Lookup
from services.execution.projection.projection import ExecutionProjection
from services.execution.projection.queries import Reads
from services.execution.reactions import Reactions
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell
from services.execution.starting import Starter
from services.execution.subjects import ExecutionKey
from tests.unit.engine.story import INPUT, Flow, From, literal_map, plain_map, when

CAUSE = Cause.service("test")
PROJECT, DOMAIN = "families", "development"


class Died(Exception):
    """The service is gone, and with it all that it had in memory."""


@dataclass
class DyingLog:
    """A log whose user dies at one of its appends: just before it, or just after it was stored."""

    log: Log
    dies_at: int = -1
    after: bool = False
    appends: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    async def append(self, *arguments: Any, **named: Any) -> Any:
        number, self.appends = self.appends, self.appends + 1
        if number == self.dies_at and not self.after:
            raise Died
        recorded = await self.log.append(*arguments, **named)
        if number == self.dies_at:
            raise Died
        return recorded


@dataclass
class Family:
    """A parent execution and its children, moved by the reactions of a service that may die."""

    blobs: BlobStore
    log: DyingLog
    reactions: Reactions = field(init=False)
    shell: Shell = field(init=False)
    deaths: int = 0

    def __post_init__(self) -> None:
        self.live()

    def live(self) -> None:
        """A new process: nothing is in memory."""
        settings = ExecutionSettings()
        log = cast("Log", self.log)
        lookup = Lookup(log, settings.domains)
        self.shell = Shell(log, self.blobs, lookup, settings)
        admission = Admission(log, self.shell, Queues(log))
        starter = Starter(self.shell, lookup, admission, self.blobs, settings)
        self.reactions = Reactions(log, self.shell, Children(self.shell, starter, self.blobs), admission)

    async def launch_plan(self, flow: Flow) -> Identifier:
        identifier = Identifier(
            resource_type=LAUNCH_PLAN, project=PROJECT, domain=DOMAIN, name=f"plan-{uuid4().hex}", version="v1"
        )
        fact = LaunchPlanRegistered(id=identifier, closure=await self.closure(flow))
        fact.spec.workflow_id.name = identifier.name
        fact.expected_inputs.parameters["x"].CopyFrom(Parameter(required=True))
        fact.expected_inputs.parameters["x"].var.type.simple = INTEGER
        fact.expected_outputs.variables["o0"].type.simple = INTEGER
        subject = subjects.version(identifier)
        assert subject is not None
        await self.log.log.append(subject, [fact], head=Head.EMPTY, cause=CAUSE)
        return identifier

    async def closure(self, flow: Flow) -> Any:
        closure = flow.closure()
        closure.primary.template.id.name = uuid4().hex
        return await self.blobs.put_content("tests", closure.SerializeToString())

    async def parent(
        self, flow: Flow, recovers: ExecutionKey | None = None, *, parallelism: int = 0, root: str = ""
    ) -> ExecutionKey:
        """An execution of a flow, created and nothing more; it may recover one of the same flow.

        Where `parallelism` is given, it bounds the tree of executions below `root`, which is this one unless named.
        """
        name = f"a{uuid4().hex[:19]}"
        inputs = literal_map({"x": 4})
        created = facts.ExecutionCreated(
            closure=await self.closure(flow),
            inputs=await self.blobs.put_content(f"tests/{name}", inputs.SerializeToString()),
            config=facts.ResolvedConfig(metadata_prefix=self.blobs.uri(f"tests/{name}"), raw_output_prefix="s3://b/d"),
        )
        created.id.project, created.id.domain, created.id.name = PROJECT, DOMAIN, name
        created.spec.metadata.principal = "somebody"
        if parallelism:
            created.config.max_parallelism = parallelism
            created.config.parallelism_root.CopyFrom(created.id)
            created.config.parallelism_root.name = root or name
        if recovers is not None:
            plan = await self.shell.recovery_plan(recovers)
            assert plan is not None
            created.recovery.CopyFrom(await self.blobs.put_content("tests", plan.SerializeToString()))
        await Shell(self.log.log, self.blobs, Lookup(self.log.log, (DOMAIN,)), ExecutionSettings()).create(
            created, inputs, CAUSE
        )
        return subjects.key_of(created.id)

    async def history(self, key: ExecutionKey) -> list[Message]:
        subject = subjects.execution(key)
        assert subject is not None
        return [fact for recorded in await self.log.log.load(subject) for fact in recorded.facts]

    async def children(self, key: ExecutionKey) -> list[ExecutionKey]:
        asked = [fact for fact in await self.history(key) if isinstance(fact, facts.ChildExecutionRequested)]
        return [subjects.key_of(fact.execution_id) for fact in asked]

    async def react(self, key: ExecutionKey) -> None:
        """Handles every message of the family until none is left; a message whose handling died comes again.

        Tasks succeed as soon as they are ordered.
        """
        handled: dict[str, int] = {}
        moved = True
        while moved:
            moved = False
            for member in (key, *await self.children(key)):
                subject = subjects.execution(member)
                assert subject is not None
                records = await self.log.log.load(subject)
                for record in records[handled.get(subject.text, 0) :]:
                    moved = True
                    try:
                        await self.reactions.on_facts(record)
                        await self._run_tasks(member, record.facts)
                    except Died:
                        self.deaths += 1
                        self.live()
                        break
                    handled[subject.text] = handled.get(subject.text, 0) + 1

    async def _run_tasks(self, key: ExecutionKey, ordered: Iterable[Message]) -> None:
        for fact in ordered:
            if isinstance(fact, facts.AttemptScheduled) and not fact.in_engine:
                seen = AttemptObserved(node_id=fact.node_id, attempt=fact.attempt, stage=AttemptObserved.EXITED)
                seen.execution_id.CopyFrom(subjects.identifier_of(key))
                await self.shell.dispatch(key, ObserveAttempt(seen), CAUSE)


@pytest_asyncio.fixture(loop_scope="session")
async def family(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Family]:
    assert isinstance(blob_settings.directory, Path)
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    subject = subjects.project(PROJECT)
    assert subject is not None
    registered = ProjectRegistered()
    registered.project.id = PROJECT
    try:
        await log.append(subject, [registered], head=Head.EMPTY, cause=CAUSE)
    except Conflict:
        # Another test of this session did.
        assert await log.last_sequence(subject)
    yield Family(blobs, DyingLog(log))
    await log.close()
    await blobs.close()


def count(history: list[Message], kind: type[Message]) -> int:
    return sum(isinstance(fact, kind) for fact in history)


def launching(plan: Identifier) -> Flow:
    flow = Flow().launches("n0", {"x": INPUT}).echo("n1", From("n0")).returns(o0=From("n1"))
    flow.nodes[0].workflow_node.launchplan_ref.CopyFrom(plan)
    return flow


async def lived_through(family: Family, story: Callable[[], Any]) -> int:
    """Tells a story over and over, dying at every append it makes, before and after; returns the number of deaths."""
    await story()
    appends = family.log.appends
    for number in range(appends):
        for after in (False, True):
            family.log.appends, family.log.dies_at, family.log.after = 0, number, after
            family.live()
            await story()
    return family.deaths


async def test_a_family_ends_well_wherever_the_service_dies(family: Family) -> None:
    plan = await family.launch_plan(Flow("inner").echo("n0").returns(o0=From("n0")))

    async def story() -> None:
        key = await family.parent(launching(plan))
        await family.react(key)
        history = await family.history(key)
        ended = history[-1]
        assert isinstance(ended, facts.ExecutionSucceeded)
        outputs = LiteralMap.FromString(await family.blobs.get(ended.outputs.uri))
        assert plain_map(outputs) == {"o0": 4}
        assert count(history, facts.ChildExecutionRequested) == count(history, facts.ChildExecutionEnded) == 1
        (child,) = await family.children(key)
        born = (await family.history(child))[0]
        assert isinstance(born, facts.ExecutionCreated)
        assert (born.parent.node.node_id, born.parent.node.execution_id.name) == ("n0", key[2])
        assert born.spec.metadata.principal == "somebody"

    # Start, create, start of the child, its end, the parent's.
    assert await lived_through(family, story) >= 8


async def test_a_family_is_terminated_wherever_the_service_dies(family: Family) -> None:
    plan = await family.launch_plan(Flow("inner").waits("n0", "never").returns(o0=From("n0")))

    async def story() -> None:
        key = await family.parent(launching(plan))
        await family.react(key)
        command = TerminateExecution("enough", "somebody")
        await Shell(family.log.log, family.blobs, Lookup(family.log.log, (DOMAIN,)), ExecutionSettings()).dispatch(
            key, command, CAUSE
        )
        await family.react(key)
        (child,) = await family.children(key)
        for member in (key, child):
            history = await family.history(member)
            assert isinstance(history[-1], facts.ExecutionAborted)
            assert count(history, facts.AbortRequested) == 1
        cause = next(fact for fact in await family.history(child) if isinstance(fact, facts.AbortRequested)).cause
        assert cause == f"cascading abort as parent execution id [{key[2]}] aborted, reason [Workflow aborted.]"

    assert await lived_through(family, story) >= 8


async def test_a_failed_child_is_recovered_wherever_the_service_dies(family: Family) -> None:
    arm = Flow("arm").echo("a0")
    inner = Flow("inner").echo("n0").branch("n1", (when(From("n0"), "GT", 5), arm), otherwise="too small")
    plan = await family.launch_plan(inner.returns(o0=From("n0")))
    flow = launching(plan)
    first = await family.parent(flow)
    await family.react(first)
    assert isinstance((await family.history(first))[-1], facts.ExecutionFailed)
    (old,) = await family.children(first)
    family.log.appends = 0

    async def story() -> None:
        key = await family.parent(flow, recovers=first)
        await family.react(key)
        ended = (await family.history(key))[-1]
        assert isinstance(ended, facts.ExecutionFailed)
        assert ended.error.message == "too small"
        (child,) = await family.children(key)
        history = await family.history(child)
        born = history[0]
        assert isinstance(born, facts.ExecutionCreated)
        assert born.spec.metadata.mode == ExecutionMetadata.RECOVERED
        assert subjects.key_of(born.spec.metadata.reference_execution) == old
        (recovered,) = [fact for fact in history if isinstance(fact, facts.NodeRecovered)]
        assert (recovered.node_id, recovered.source.execution_id.name) == ("n0", old[2])

    assert await lived_through(family, story) >= 8


async def test_a_parent_that_is_terminated_before_its_child_is_there_ends_without_it(family: Family) -> None:
    plan = await family.launch_plan(Flow("inner").echo("n0").returns(o0=From("n0")))
    key = await family.parent(launching(plan))
    await family.shell.start(key, CAUSE)
    await family.shell.dispatch(key, TerminateExecution("enough", "somebody"), CAUSE)
    await family.react(key)
    (child,) = await family.children(key)
    assert await family.history(child) == []
    assert isinstance((await family.history(key))[-1], facts.ExecutionAborted)


async def test_a_child_that_came_too_late_is_terminated(family: Family) -> None:
    """Two replicas: one creates the child while the other takes in that there is none to terminate."""
    plan = await family.launch_plan(Flow("inner").waits("n0", "never").returns(o0=From("n0")))
    key = await family.parent(launching(plan))
    await family.shell.start(key, CAUSE)
    other = Family(family.blobs, DyingLog(family.log.log))
    (child,) = await family.children(key)

    async def in_between(*arguments: Any, **named: Any) -> Any:
        # The child is about to be created.
        family.log.__dict__.pop("append")
        await other.shell.dispatch(key, TerminateExecution("enough", "somebody"), CAUSE)
        await other.react(key)
        return await family.log.append(*arguments, **named)

    family.log.__dict__["append"] = in_between
    asked = next(fact for fact in await family.history(key) if isinstance(fact, facts.ChildExecutionRequested))
    children = Children(
        family.shell,
        Starter(
            family.shell,
            Lookup(family.log.log, (DOMAIN,)),
            Admission(family.log.log, family.shell, Queues(family.log.log)),
            family.blobs,
            ExecutionSettings(),
        ),
        family.blobs,
    )
    await children.requested(key, asked, CAUSE)
    assert isinstance((await family.history(key))[-1], facts.ExecutionAborted)
    assert count(await family.history(child), facts.AbortRequested) == 1


async def test_a_child_that_cannot_be_created_fails_its_node(family: Family) -> None:
    plan = Identifier(resource_type=LAUNCH_PLAN, project=PROJECT, domain=DOMAIN, name="nowhere", version="v1")
    key = await family.parent(launching(plan))
    await family.react(key)
    failed = next(fact for fact in await family.history(key) if isinstance(fact, facts.NodeFailed))
    assert failed.error.code == "RuntimeExecutionError"
    assert "missing entity of type LAUNCH_PLAN" in failed.error.message
    (child,) = await family.children(key)
    assert await family.history(child) == []


async def test_inputs_that_do_not_fit_fail_the_node(family: Family) -> None:
    plan = await family.launch_plan(Flow("inner").echo("n0").returns(o0=From("n0")))
    flow = Flow().launches("n0", {"x": "text"})
    flow.nodes[0].workflow_node.launchplan_ref.CopyFrom(plan)
    key = await family.parent(flow)
    await family.react(key)
    failed = next(fact for fact in await family.history(key) if isinstance(fact, facts.NodeFailed))
    assert failed.error.code == "RuntimeExecutionError"
    assert failed.error.message.startswith("invalid x input wrong type")


async def test_a_name_that_another_execution_has_is_left_alone(family: Family) -> None:
    plan = await family.launch_plan(Flow("inner").waits("n0", "never").returns(o0=From("n0")))
    key = await family.parent(launching(plan))
    await family.shell.start(key, CAUSE)
    (child,) = await family.children(key)
    taken = facts.ExecutionCreated(
        id=subjects.identifier_of(child),
        closure=await family.closure(Flow().waits("n0", "s")),
        inputs=await family.blobs.put_content("tests", b""),
        config=facts.ResolvedConfig(metadata_prefix=family.blobs.uri(f"tests/{child[2]}")),
    )
    subject = subjects.execution(child)
    assert subject is not None
    await family.log.log.append(subject, [taken], head=Head.EMPTY, cause=CAUSE)
    await family.react(key)
    failed = next(fact for fact in await family.history(key) if isinstance(fact, facts.NodeFailed))
    assert "exists already" in failed.error.message
    assert count(await family.history(child), facts.AbortRequested) == 0


async def test_no_node_names_a_child_that_cannot_be_read_yet(
    family: Family, database_settings: DatabaseSettings
) -> None:
    """Clients follow the name as soon as they see it; between asking for a child and making it, time may pass."""
    log = family.log.log
    plan = await family.launch_plan(Flow("inner").echo("n0").returns(o0=From("n0")))
    key = await family.parent(launching(plan))
    await family.shell.start(key, CAUSE)
    (child,) = await family.children(key)
    asked_for = await log.stream_sequence(subjects.EXECUTION)
    async with AsyncExitStack() as stack:
        database = await Database.connect(database_settings)
        stack.push_async_callback(database.close)
        projector = Projector(database, log, ExecutionProjection())
        reads = Reads(log, database, projector)

        async def named(reads: Reads) -> list[bool]:
            listed = await reads.nodes(key, "", SqlWhere(), "ne.id", Page(None, 0))
            found = [await reads.node(key, "n0"), *(node for node in listed if node.id.node_id == "n0")]
            closures = [node.closure for node in found if node is not None]
            assert len(closures) == 2
            shown = [closure for closure in closures if closure.HasField("workflow_node_metadata")]
            assert all(subjects.key_of(one.workflow_node_metadata.executionId) == child for one in shown)
            return [closure in shown for closure in closures]

        await stack.enter_async_context(running(projector.run()))
        await projector.wait_until_serving()
        assert await reads.execution(child) is None
        assert await named(reads) == [False, False]
        await family.react(key)
        assert await reads.execution(child) is not None
        assert await named(reads) == [True, True]
        assert await named(reads.at(asked_for)) == [False, False]


# ---------------------------------------------------------------------------------------------------- places to run


async def test_a_place_is_never_lost_nor_lent_twice_wherever_the_service_dies(family: Family) -> None:
    plan = await family.launch_plan(Flow("inner").task("n0", {"a": INPUT}, outputs=()))
    flow = Flow().task("n0", {"a": INPUT}, outputs=()).launches("n1", {"x": INPUT})
    flow.nodes[1].workflow_node.launchplan_ref.CopyFrom(plan)

    async def story() -> None:
        key = await family.parent(flow, parallelism=1)
        await family.react(key)
        history = await family.history(key)
        assert isinstance(history[-1], facts.ExecutionSucceeded | facts.SlotFreed)
        assert count(history, facts.ExecutionSucceeded) == 1
        slots = (facts.SlotQueued, facts.SlotGranted, facts.SlotFreed)
        assert [count(history, kind) for kind in slots] == [1, 1, 1]
        # The place is the parent's own task's until that has ended.
        kinds = [type(fact) for fact in history]
        assert kinds.index(facts.AttemptSucceeded) < kinds.index(facts.SlotGranted)
        (child,) = await family.children(key)
        below = await family.history(child)
        assert isinstance(below[-1], facts.ExecutionSucceeded)
        assert [count(below, kind) for kind in (facts.SlotAsked, facts.SlotTaken, facts.SlotReturned)] == [1, 1, 1]
        born = below[0]
        assert isinstance(born, facts.ExecutionCreated)
        assert (born.config.max_parallelism, born.config.parallelism_root.name) == (1, key[2])

    # Start; the child's; its question, and its place in the line; the end of the parent's task; the place and its end.
    assert await lived_through(family, story) >= 16


async def test_whoever_has_its_places_at_an_execution_that_is_not_there_runs_without(family: Family) -> None:
    key = await family.parent(Flow().task("n0", {"a": INPUT}, outputs=()), parallelism=1, root="nowhere")
    await family.react(key)
    history = await family.history(key)
    assert count(history, facts.SlotAsked) == count(history, facts.SlotTaken) == 1
    assert count(history, facts.ExecutionSucceeded) == 1
