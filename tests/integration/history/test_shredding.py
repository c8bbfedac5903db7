"""The keys of a project's personal data are destroyed, on a running stack whose keys are wrapped with a master key."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, project_pb2
from flyteidl.core import identifier_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service import admin_pb2_grpc
from google.protobuf import text_format
from google.protobuf.message import Message

from flightlog_bench.workflows import PROJECT as BENCH
from flightlog_bench.workflows import chain, integer
from flightlog_cli.access import Access, open_log
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Log, Recorded, Subject, verify_chain
from flightlog_protos.registry.v1.facts_pb2 import KeyDestroyed
from tests.integration.history.searching import Places

DOMAIN = "development"
MASTER_KEY = "5c" * 32
POLL_SECONDS = 0.1
_M = TypeVar("_M", bound=Message)


@pytest.fixture(scope="module")
def shredded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """Where a destroyed key is gone everywhere within half a second."""
    names = {
        "FLIGHTLOG_LOG__PERSONAL_DATA__MASTER_KEY": MASTER_KEY,
        "FLIGHTLOG_LOG__PERSONAL_DATA__KEY_SECONDS": "0.5",
    }
    os.environ.update(names)  # the commands and the log of the tests need the master key too
    try:
        with StackProcess(
            tmp_path_factory.mktemp("shredded"), environment={"FLIGHTLOG_PROCESS__PRELOAD": "[]"}
        ) as running:
            yield running
    finally:
        for name in names:
            del os.environ[name]


@dataclass
class Project:
    """A project of one test, whose requests come from a client with a name."""

    name: str
    stack: StackProcess
    admin: Any
    log: Log
    person: str
    """Who calls, and whom e-mails go to."""

    def moved(self, message: _M) -> _M:
        """A message about the benchmarks' project as one about this."""
        text = text_format.MessageToString(message).replace(f'"{BENCH}"', f'"{self.name}"')
        return text_format.Parse(text, type(message)())

    async def register(self) -> identifier_pb2.Identifier:
        """A workflow, and a launch plan that mails the person."""
        await self.admin.RegisterProject(
            project_pb2.ProjectRegisterRequest(project=project_pb2.Project(id=self.name, name=self.name))
        )
        registration = chain(2)
        await self.admin.CreateTask(self.moved(registration.task))
        await self.admin.CreateWorkflow(self.moved(registration.workflow))
        plan = self.moved(registration.launch_plan)
        plan.spec.entity_metadata.notifications.append(self.mail)
        await self.admin.CreateLaunchPlan(plan)
        return plan.id

    @property
    def mail(self) -> common_pb2.Notification:
        mail = common_pb2.EmailNotification(recipients_email=[f"{self.person}@corp.example"])
        return common_pb2.Notification(phases=[WorkflowExecution.SUCCEEDED], email=mail)

    async def run(self, plan: identifier_pb2.Identifier) -> identifier_pb2.WorkflowExecutionIdentifier:
        """An execution that has succeeded."""
        spec = execution_pb2.ExecutionSpec(launch_plan=plan, metadata=execution_pb2.ExecutionMetadata())
        request = execution_pb2.ExecutionCreateRequest(project=self.name, domain=DOMAIN, spec=spec)
        request.inputs.literals["x"].CopyFrom(integer(1))
        created = (await self.admin.CreateExecution(request)).id

        async def succeeded() -> bool:
            return (await self.execution(created)).closure.phase == WorkflowExecution.SUCCEEDED

        await until(succeeded)
        return created

    async def execution(self, identifier: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution:
        return await self.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier))

    async def plan(self, identifier: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan:
        return await self.admin.GetLaunchPlan(common_pb2.ObjectGetRequest(id=identifier))

    async def histories(self) -> dict[str, list[Recorded]]:
        """Every aggregate of the project that has positions, by its subject."""
        found: dict[str, list[Recorded]] = {}
        for stream in ("REGISTRY", "EXECUTION", "SCHEDULER"):
            for subject in await self.log.subjects(stream, ">"):
                if self.name in Subject.parse(subject).parts:
                    found[subject] = await self.log.load(subject)
        return found

    async def shred(self) -> str:
        done = await asyncio.to_thread(self.stack.cli, "shred", self.name, "--reason", "the person asked for it")
        assert done.returncode == 0, done.stderr
        return done.stdout


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a fact."""
    async with asyncio.timeout(120):
        while not await holds():  # noqa: ASYNC110  # a fact of other processes
            await asyncio.sleep(POLL_SECONDS)


@pytest_asyncio.fixture(loop_scope="session")
async def project(shredded_stack: StackProcess) -> AsyncIterator[Project]:
    person = f"p{uuid4().hex}"
    options = [("grpc.primary_user_agent", person)]
    async with (
        grpc.aio.insecure_channel(shredded_stack.grpc, options=options) as channel,
        open_log(Access.of(shredded_stack.data)) as log,
    ):
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        yield Project(f"s{uuid4().hex[:16]}", shredded_stack, stub, log, person)


def rest_of(histories: dict[str, list[Recorded]]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """What of envelopes is no personal data, by subject and position."""
    return {
        (subject, record.envelope.position): (
            record.head,
            record.event_id,
            record.envelope.correlation_id,
            record.envelope.actor.method,
            [type(fact).__name__ for fact in record.facts],
        )
        for subject, records in histories.items()
        for record in records
    }


async def test_personal_data_is_gone_from_everywhere_and_all_else_is_there(project: Project) -> None:
    places = Places(project.stack.data)
    plan = await project.register()
    execution = await project.run(plan)

    async def mailed() -> bool:
        deliveries = await project.log.subjects("SCHEDULER", f"scheduler.*.delivery.*.{project.name}.>")
        return bool(deliveries) and {"execution.executions", "registry.launch_plans"} <= set(
            await places.tables(project.person)
        )

    await until(mailed)
    before, shown = await project.histories(), await project.execution(execution)
    found = await places.of(project.person)
    assert found["nats"] == found["objects"] == [], "it is nowhere as it is but in the tables"
    assert {"execution.executions", "registry.launch_plans"} <= set(found["postgres"])
    created = before[str(Subject.of("EXECUTION", project.name, DOMAIN, execution.name))][0]
    assert project.person in created.envelope.actor.client
    assert not any(record.erased for records in before.values() for record in records)
    assert shown.spec.notifications.notifications or project.person in str(created.facts)

    assert "1 key of" in await project.shred()

    async def gone() -> bool:
        return not await places.tables(project.person)

    await until(gone)
    await until_erased(project, created)
    found = await places.of(project.person)
    assert not any(found.values()), found
    after = await project.histories()
    for subject, records in after.items():
        verify_chain(records)
        assert project.person not in str([(record.envelope, record.facts) for record in records]), subject
        for record in records:
            if record.erased and record.envelope.actor.method != "service":
                assert record.envelope.actor.subject == record.envelope.actor.client == ""
                assert record.envelope.actor.address == ""
    known = rest_of(after)
    assert {place: known[place] for place in rest_of(before)} == rest_of(before)
    again = await project.execution(execution)
    for one in (shown, again):
        one.spec.ClearField("notifications")
        one.spec.metadata.ClearField("principal")
        one.closure.ClearField("notifications")
    assert again == shown
    assert not (await project.plan(plan)).spec.entity_metadata.notifications

    # Who destroyed the keys is known, by a key that was made since.
    (destroyed,) = [
        record
        for record in after[str(Subject.of("REGISTRY", "project", project.name))]
        if any(isinstance(fact, KeyDestroyed) for fact in record.facts)
    ]
    assert destroyed.envelope.actor.client.startswith("flightlog-cli/")
    assert not destroyed.erased


async def until_erased(project: Project, record: Recorded) -> None:
    async def erased() -> bool:
        again = await project.log.first(record.subject)
        return again is not None and again.erased

    await until(erased)


async def test_a_project_goes_on_with_another_key(project: Project) -> None:
    plan = await project.register()
    first = await project.run(plan)
    await project.shred()
    second = await project.run(plan)
    subjects = [str(Subject.of("EXECUTION", project.name, DOMAIN, one.name)) for one in (first, second)]
    before = await project.log.first(subjects[0])
    assert before is not None
    await until_erased(project, before)

    async def readable() -> bool:
        """What is created from now on; the second may have been sealed by one who knew the key still."""
        created = await project.log.first(
            str(Subject.of("EXECUTION", project.name, DOMAIN, (await project.run(plan)).name))
        )
        return created is not None and project.person in created.envelope.actor.client

    await until(readable)
    shown = await asyncio.to_thread(project.stack.cli, "events", f"{project.name}/{DOMAIN}/{second.name}", "--json")
    assert json.loads(shown.stdout.splitlines()[0])["facts"][0]["fact"] == "ExecutionCreated"
    assert "of" in await project.shred()

    # Neither that nor a deletion is anything that is wrong with the log.
    deleted = await asyncio.to_thread(project.stack.cli, "delete", f"{project.name}/{DOMAIN}/{second.name}")
    assert deleted.returncode == 0, deleted.stderr

    async def erased() -> bool:
        return len(await project.log.load(subjects[1])) == 1

    await until(erased)
    verified = await asyncio.to_thread(project.stack.cli, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def test_keys_of_a_project_that_is_not_there_are_not_found(project: Project) -> None:
    done = await asyncio.to_thread(project.stack.cli, "shred", "nobody-has-it", "--reason", "a test")
    assert done.returncode != 0
    assert "NOT_FOUND" in done.stderr
