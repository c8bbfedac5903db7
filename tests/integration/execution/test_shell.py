"""The shell around the engine on a real log and object store: what it does when others act too, or data is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import INTEGER
from google.protobuf.message import Message

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, LogUnavailable
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.registry.v1.facts_pb2 import LaunchPlanRegistered, TaskRegistered
from services.execution import subjects
from services.execution.engine import (
    ObserveAttempt,
    ProgramError,
    Refused,
    SetSignal,
    StartExecution,
    TerminateExecution,
)
from services.execution.lookup import Lookup
from services.execution.settings import ExecutionSettings, RetrySettings
from services.execution.shell import Shell
from services.execution.subjects import ExecutionKey
from tests.unit.engine.story import Flow, From, literal, literal_map

CAUSE = Cause.service("test")


@dataclass
class World:
    """Log and object store, and shells on them: each is like a replica of the service."""

    log: Log
    blobs: BlobStore
    folder: Path

    def shell(self, settings: ExecutionSettings | None = None) -> Shell:
        settings = settings or ExecutionSettings()
        return Shell(self.log, self.blobs, Lookup(self.log, settings.domains), settings)

    def file(self, uri: str) -> Path:
        return self.folder / uri.removeprefix("s3://")

    async def created(self, flow: Flow) -> facts.ExecutionCreated:
        """The first fact of a new execution; nothing is appended yet."""
        name = f"a{uuid4().hex}"
        root = f"tests/{name}"
        closure = flow.closure()
        # Its content differs from every other test's, so that nothing is at hand because of them.
        closure.primary.template.id.name = name
        created = facts.ExecutionCreated(
            closure=await self.blobs.put_content(root, closure.SerializeToString()),
            inputs=await self.blobs.put_content(root, LiteralMap().SerializeToString()),
            config=facts.ResolvedConfig(metadata_prefix=self.blobs.uri(root), raw_output_prefix=self.blobs.uri("data")),
        )
        created.id.project, created.id.domain, created.id.name = "tests", "development", name
        return created

    async def history(self, key: ExecutionKey) -> list[Message]:
        subject = subjects.execution(key)
        assert subject is not None
        return [fact for recorded in await self.log.load(subject) for fact in recorded.facts]

    async def last(self, key: ExecutionKey) -> Message:
        return (await self.history(key))[-1]


@pytest_asyncio.fixture(loop_scope="session")
async def world(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[World]:
    assert blob_settings.directory is not None
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    yield World(log, blobs, blob_settings.directory)
    await log.close()
    await blobs.close()


async def test_execution_whose_workflow_is_lost_before_it_starts_fails(world: World) -> None:
    created = await world.created(Flow().task("n0"))
    key = subjects.key_of(created.id)
    await world.shell().create(created, LiteralMap(), CAUSE)
    await world.blobs.delete(created.closure.uri)
    await world.shell().start(key, CAUSE)
    ended = await world.last(key)
    assert isinstance(ended, facts.ExecutionFailed)
    assert ended.error.code == "BadSpecificationError"
    assert created.closure.uri in ended.error.message


async def test_execution_of_a_workflow_that_cannot_be_parsed_is_not_created(world: World) -> None:
    created = await world.created(Flow().task("n0"))
    created.closure.CopyFrom(await world.blobs.put_content("tests", b"\x0a\xff" + uuid4().bytes))
    with pytest.raises(ProgramError):
        await world.shell().create(created, LiteralMap(), CAUSE)
    assert await world.history(subjects.key_of(created.id)) == []


async def test_execution_whose_workflow_is_lost_can_be_terminated(world: World) -> None:
    created = await world.created(Flow().task("n0"))
    key = subjects.key_of(created.id)
    shell = world.shell()
    await shell.create(created, LiteralMap(), CAUSE)
    await shell.start(key, CAUSE)
    await world.blobs.delete(created.closure.uri)
    await world.shell().dispatch(key, TerminateExecution("enough", "me"), CAUSE)
    assert isinstance(await world.last(key), facts.AttemptAborting)


async def test_execution_whose_inputs_are_lost_fails(world: World) -> None:
    created = await world.created(Flow().task("n0"))
    key = subjects.key_of(created.id)
    await world.shell().create(created, LiteralMap(), CAUSE)
    await world.blobs.delete(created.inputs.uri)
    await world.shell().start(key, CAUSE)
    ended = await world.last(key)
    assert isinstance(ended, facts.ExecutionFailed)
    assert ended.error.code == "BindingResolutionFailure"


async def test_object_store_that_is_away_is_waited_for(world: World) -> None:
    created = await world.created(Flow().task("n0"))
    created.config.metadata_prefix += "/blocked"
    key = subjects.key_of(created.id)
    shell = world.shell()
    await shell.create(created, LiteralMap(), CAUSE)
    blocked = world.file(created.config.metadata_prefix)
    blocked.write_bytes(b"in the way")
    with pytest.raises(LogUnavailable):
        await shell.start(key, CAUSE)
    blocked.unlink()
    await shell.start(key, CAUSE)
    assert isinstance(await world.last(key), facts.NodeStarted)


async def test_attempt_that_another_replica_scheduled_keeps_its_outputs(world: World) -> None:
    created = await world.created(Flow().task("n0"))
    key = subjects.key_of(created.id)
    behind, ahead = world.shell(), world.shell()
    await behind.create(created, LiteralMap(), CAUSE)
    await ahead.dispatch(key, StartExecution(), CAUSE)
    (scheduled,) = [fact for fact in await world.history(key) if isinstance(fact, facts.AttemptScheduled)]
    await world.blobs.put(f"{scheduled.output_prefix}/outputs.pb", literal_map({"o0": 1}).SerializeToString())
    exited = AttemptObserved(execution_id=created.id, node_id="n0", stage=AttemptObserved.EXITED, version=1)
    await behind.dispatch(key, ObserveAttempt(exited), CAUSE)
    assert isinstance(await world.last(key), facts.ExecutionSucceeded)


async def test_what_the_elements_of_a_map_gave_is_read_back_when_it_is_not_at_hand(world: World) -> None:
    size = 150
    created = await world.created(Flow().map("n0", {"a": list(range(size))}).returns(o0=From("n0")))
    key = subjects.key_of(created.id)
    shell = world.shell()
    await shell.create(created, LiteralMap(), CAUSE)
    await shell.start(key, CAUSE)
    scheduled = [fact for fact in await world.history(key) if isinstance(fact, facts.AttemptScheduled)]
    assert len(scheduled) == size
    for number, fact in enumerate(scheduled):
        await world.blobs.put(f"{fact.output_prefix}/outputs.pb", literal_map({"o0": number}).SerializeToString())
        ended = AttemptObserved(execution_id=created.id, node_id=fact.node_id, stage=AttemptObserved.EXITED, version=1)
        last = number == size - 1
        await (world.shell() if last else shell).dispatch(key, ObserveAttempt(ended), CAUSE)
    succeeded = await world.last(key)
    assert isinstance(succeeded, facts.ExecutionSucceeded)
    outputs = LiteralMap.FromString(await world.blobs.get(succeeded.outputs.uri))
    assert outputs == literal_map({"o0": list(range(size))})


async def test_a_refusal_is_meant_for_what_the_log_has_now(world: World) -> None:
    """The replica that is asked has not heard that a gate asked for the signal, nor that all is over."""
    created = await world.created(Flow().waits("n0", "value"))
    key = subjects.key_of(created.id)
    first, second = world.shell(), world.shell()
    await first.create(created, LiteralMap(), CAUSE)
    await second.start(key, CAUSE)
    await first.dispatch(key, SetSignal("value", literal(1), "me"), CAUSE)
    assert isinstance(await world.last(key), facts.ExecutionSucceeded)
    with pytest.raises(Refused, match="already in a terminal phase"):
        await second.dispatch(key, TerminateExecution("enough", "me"), CAUSE)
    with pytest.raises(Refused, match="signal does not exist"):
        await second.dispatch(key, SetSignal("other", literal(1), "me"), CAUSE)


async def test_replicas_that_hear_the_same_decide_once(world: World) -> None:
    flow = Flow()
    for number in range(6):
        flow.task(f"n{number}", outputs=())
    created = await world.created(flow.task("last", after=[f"n{number}" for number in range(6)], outputs=()))
    key = subjects.key_of(created.id)
    replicas = [world.shell() for _ in range(3)]
    await replicas[0].create(created, LiteralMap(), CAUSE)
    await asyncio.gather(*(replica.start(key, CAUSE) for replica in replicas))

    def exited(node: str) -> ObserveAttempt:
        stage = AttemptObserved.EXITED
        return ObserveAttempt(AttemptObserved(execution_id=created.id, node_id=node, stage=stage, version=1))

    await asyncio.gather(
        *(replica.dispatch(key, exited(f"n{number}"), CAUSE) for number in range(6) for replica in replicas)
    )
    await asyncio.gather(*(replica.dispatch(key, exited("last"), CAUSE) for replica in replicas))
    history = await world.history(key)
    assert isinstance(history[-1], facts.ExecutionSucceeded)
    scheduled = [(fact.node_id, fact.attempt) for fact in history if isinstance(fact, facts.AttemptScheduled)]
    assert sorted(scheduled) == [("last", 0), *((f"n{number}", 0) for number in range(6))]


def asked(*nodes: str) -> Flow:
    flow = Flow("asked")
    for number, node in enumerate(nodes):
        flow.task(node, {"a": 7} if number == 0 else {"a": From(nodes[number - 1])})
    return flow.returns(o0=From(nodes[-1]))


async def dynamic(world: World, shell: Shell) -> tuple[ExecutionKey, str, ObserveAttempt]:
    """An execution whose task has just ended, what lies at its output prefix yet to be written."""
    created = await world.created(Flow().task("n0").returns(o0=From("n0")))
    key = subjects.key_of(created.id)
    await shell.create(created, LiteralMap(), CAUSE)
    await shell.start(key, CAUSE)
    (scheduled,) = [fact for fact in await world.history(key) if isinstance(fact, facts.AttemptScheduled)]
    exited = AttemptObserved(execution_id=created.id, node_id="n0", stage=AttemptObserved.EXITED, version=1)
    return key, scheduled.output_prefix, ObserveAttempt(exited)


async def test_plan_that_was_not_appended_is_made_again_as_it_was(world: World) -> None:
    first = world.shell()
    key, prefix, exited = await dynamic(world, first)
    await world.blobs.put(f"{prefix}/futures.pb", asked("dn0").job_spec().SerializeToString())
    # The plan's last object cannot be written: nothing is appended, as if the service had died here.
    blocked = world.file(f"{prefix}/start-node")
    blocked.write_bytes(b"in the way")
    with pytest.raises(LogUnavailable):
        await first.dispatch(key, exited, CAUSE)
    blocked.unlink()
    left = await world.blobs.get(f"{prefix}/dynamic_compiled.pb")
    await world.shell().dispatch(key, exited, CAUSE)
    (plan,) = [fact for fact in await world.history(key) if isinstance(fact, facts.DynamicPlanned)]
    assert await world.blobs.verified(plan.closure) == left
    # Nobody who comes later needs more than the log and the object store.
    scheduled = (await world.history(key))[-2]
    assert isinstance(scheduled, facts.AttemptScheduled)
    assert (scheduled.node_id, scheduled.closure) == ("n0-0-dn0", plan.closure)
    await world.blobs.put(f"{scheduled.output_prefix}/outputs.pb", literal_map({"o0": 1}).SerializeToString())
    exited.observation.node_id = "n0-0-dn0"
    await world.shell().dispatch(key, exited, CAUSE)
    assert isinstance(await world.last(key), facts.ExecutionSucceeded)


async def test_what_a_task_asks_for_may_be_registered_elsewhere(world: World) -> None:
    shell = world.shell()
    key, prefix, exited = await dynamic(world, shell)
    flow = asked("dn0", "dn1", "dn2")
    name = f"elsewhere-{uuid4().hex}"
    launch_plan = LaunchPlanRegistered()
    launch_plan.id.resource_type = LAUNCH_PLAN
    launch_plan.id.project, launch_plan.id.domain = "tests", "development"
    launch_plan.id.name, launch_plan.id.version = name, "v1"
    launch_plan.expected_inputs.parameters["a"].var.type.simple = INTEGER
    launch_plan.expected_inputs.parameters["a"].required = True
    launch_plan.expected_outputs.variables["o0"].type.simple = INTEGER
    flow.nodes[1].workflow_node.launchplan_ref.CopyFrom(launch_plan.id)
    task = TaskRegistered()
    task.compiled_task.template.CopyFrom(flow.tasks.pop("dn2"))
    task.compiled_task.template.id.name = name
    task.id.CopyFrom(task.compiled_task.template.id)
    flow.nodes[2].task_node.reference_id.CopyFrom(task.id)
    await world.blobs.put(f"{prefix}/futures.pb", flow.job_spec().SerializeToString())
    for fact in (launch_plan, task):
        subject = subjects.version(fact.id)
        assert subject is not None
        await world.log.append(subject, [fact], head=Head.EMPTY, cause=CAUSE)
    await shell.dispatch(key, exited, CAUSE)
    (plan,) = [fact for fact in await world.history(key) if isinstance(fact, facts.DynamicPlanned)]
    closure = CompiledWorkflowClosure.FromString(await world.blobs.verified(plan.closure))
    assert task.compiled_task.template in [compiled.template for compiled in closure.tasks]


@pytest.mark.parametrize(
    ("written", "kind"),
    [(b"\x0a\xff", "SYSTEM"), (b"\x00" * 2048, "USER")],
    ids=["damaged", "too large"],
)
async def test_what_a_task_asks_for_may_be_unreadable(world: World, written: bytes, kind: str) -> None:
    settings = ExecutionSettings(futures_bytes=1024, retries=RetrySettings(max_system_failures=0))
    shell = world.shell(settings)
    key, prefix, exited = await dynamic(world, shell)
    await world.blobs.put(f"{prefix}/futures.pb", written)
    await shell.dispatch(key, exited, CAUSE)
    ended = await world.last(key)
    assert isinstance(ended, facts.ExecutionFailed)
    assert "DynamicWorkflowBuildFailed" in ended.error.code
    assert f"{prefix}/futures.pb" in ended.error.message
    assert ("RetriesExhausted" in ended.error.code) == (kind == "SYSTEM")
