"""What becomes of attempts when connectors, launchers or orders go wrong; the tests play the connector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from flyteidl.admin import agent_pb2
from flyteidl.core import compiler_pb2, execution_pb2, literals_pb2, tasks_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Log, LogSettings, Subject
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.connectors.discovery import Connectors
from services.k8s_launcher.connectors.requests import Requests
from services.k8s_launcher.connectors.runtime import ConnectorRuntime
from services.k8s_launcher.connectors.settings import ConnectorSettings
from services.k8s_launcher.history import History
from services.k8s_launcher.orders import Order, Orders
from services.k8s_launcher.runtime import FINAL, Origin, Scheduled
from services.k8s_launcher.shell import Observer
from services.k8s_launcher.task_templates import TaskTemplates
from tests.integration.connectors.playing import META, PlayedConnector, free_port, played

DOMAIN, TYPE = "development", "flight_job"
ORIGIN = Origin("event", "correlation")


async def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Place:
    """A project of its own on a shared log, and launchers that know one connector."""

    def __init__(self, log: Log, blobs: BlobStore) -> None:
        self.log = log
        self.blobs = blobs
        self.project = f"p{uuid4().hex[:8]}"
        self.port = free_port()

    @asynccontextmanager
    async def launcher(self, **settings: Any) -> AsyncIterator[ConnectorRuntime]:
        """A launcher beside the block, which ends with it. Another one is its successor."""
        chosen = ConnectorSettings.model_validate(
            {
                "default": {"endpoint": f"127.0.0.1:{self.port}"},
                "supported_task_types": [TYPE],
                "first_poll_seconds": 0.02,
                "poll_interval_seconds": 0.1,
                **settings,
            }
        )
        requests = Requests(TaskTemplates(self.blobs), namespace_template="{project}-{domain}")
        async with Connectors(chosen) as connectors:
            runtime = ConnectorRuntime(
                chosen,
                connectors,
                requests,
                self.blobs,
                Orders(self.log),
                History(self.log),
                Observer(self.log).report,
            )
            await runtime.adopt()
            working = asyncio.ensure_future(runtime.run())
            try:
                yield runtime
            finally:
                working.cancel()
                await asyncio.wait((working,))

    async def attempt(self, template: tasks_pb2.TaskTemplate | None = None) -> Scheduled:
        """An order, with what it refers to in the object store."""
        template = template or tasks_pb2.TaskTemplate(type=TYPE)
        execution = f"e{uuid4().hex[:12]}"
        closure = compiler_pb2.CompiledWorkflowClosure(tasks=[compiler_pb2.CompiledTask(template=template)])
        prefix = self.blobs.uri("metadata", execution, "n0", "data")
        fact = AttemptScheduled(
            node_id="n0",
            task_id=template.id,
            task_type=template.type,
            generated_name=f"{execution}-n0-0",
            closure=await self.blobs.put_content(self.blobs.uri("closures"), closure.SerializeToString()),
            output_prefix=f"{prefix}/0",
        )
        fact.execution_id.project, fact.execution_id.domain, fact.execution_id.name = self.project, DOMAIN, execution
        return Scheduled(fact, ORIGIN)

    async def observed(self, attempt: Scheduled) -> list[AttemptObserved]:
        subject = Subject.of("LAUNCHER", self.project, DOMAIN, attempt.key.execution)
        return [item for record in await self.log.load(subject) for item in record.facts]  # pyright: ignore

    async def end(self, attempt: Scheduled, seconds: float = 30) -> AttemptObserved:
        """The last observation of an attempt."""
        async with asyncio.timeout(seconds):
            while not (observed := await self.observed(attempt)) or observed[-1].stage not in FINAL:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            return observed[-1]

    async def kept(self) -> list[bytes | None]:
        """What connectors answered to the attempts that are not over."""
        return [order.resource_meta async for order in Orders(self.log).kept() if order.key.project == self.project]


@pytest_asyncio.fixture(loop_scope="session")
async def place(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Place]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="connector-tests")
    yield Place(log, blobs)
    await log.close()
    await blobs.close()


@pytest_asyncio.fixture(loop_scope="session")
async def connector(place: Place) -> AsyncIterator[PlayedConnector]:
    async with played(place.port) as found:
        yield found


async def test_a_delete_that_fails_is_tried_again(place: Place, connector: PlayedConnector) -> None:
    connector.refusals["DeleteTask"] = 2
    attempt = await place.attempt()
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        await until(lambda: connector.looks)
        await runtime.abort(attempt.key, "not wanted", ORIGIN)
        ended = await place.end(attempt)
        assert (ended.stage, ended.reason) == (AttemptObserved.KILLED, "not wanted")
        assert [request.resource_meta for request in connector.deleted] == [META] * 3
        await until(lambda: not runtime.is_looked_after(attempt.key))
    assert await place.kept() == []


async def test_a_delete_that_never_succeeds_is_said_in_the_end(place: Place, connector: PlayedConnector) -> None:
    connector.refusals["DeleteTask"] = 100
    attempt = await place.attempt()
    async with place.launcher(max_consecutive_failures=1) as runtime:
        await runtime.launch(attempt)
        await until(lambda: connector.looks)
        await runtime.abort(attempt.key, "not wanted", ORIGIN)
        ended = await place.end(attempt)
    assert ended.stage == AttemptObserved.KILLED
    assert "did not end it" in ended.reason
    assert "not now" in ended.reason
    assert len(connector.deleted) == 2


async def test_an_abort_while_it_is_begun_waits_for_the_answer_and_deletes(
    place: Place, connector: PlayedConnector
) -> None:
    connector.answers.clear()
    attempt = await place.attempt()
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        await until(lambda: connector.created)
        aborting = asyncio.ensure_future(runtime.abort(attempt.key, "not wanted", ORIGIN))
        connector.answers.set()
        await aborting
        assert (await place.end(attempt)).stage == AttemptObserved.KILLED
    assert len(connector.created) == len(connector.deleted) == 1


async def test_a_launcher_that_is_stopped_while_a_task_is_begun_keeps_the_answer(
    place: Place, connector: PlayedConnector
) -> None:
    connector.answers.clear()
    attempt = await place.attempt()
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        await until(lambda: connector.created)
        asyncio.get_running_loop().call_soon(connector.answers.set)
    assert await place.kept() == [META]
    connector.resource.phase = execution_pb2.TaskExecution.SUCCEEDED
    async with place.launcher():
        ended = await place.end(attempt)
    assert (ended.stage, ended.exit.code) == (AttemptObserved.EXITED, 0)
    assert len(connector.created) == 1


async def test_an_order_that_was_kept_and_of_which_no_answer_is_known_is_carried_out_by_the_next_launcher(
    place: Place, connector: PlayedConnector
) -> None:
    attempt = await place.attempt()
    await Orders(place.log).keep(Order(attempt.key, attempt, connector="default"))
    connector.resource.phase = execution_pb2.TaskExecution.SUCCEEDED
    async with place.launcher():
        assert (await place.end(attempt)).stage == AttemptObserved.EXITED
    assert len(connector.created) == 1


async def test_a_history_that_cannot_be_read_is_the_concern_of_its_execution_alone(
    place: Place, connector: PlayedConnector
) -> None:
    spoilt, other = await place.attempt(), await place.attempt()
    for attempt in (spoilt, other):
        await Orders(place.log).keep(Order(attempt.key, attempt, connector="default"))
    subject = Subject.of("LAUNCHER", place.project, DOMAIN, spoilt.key.execution)
    client = place.log._connection.client  # pyright: ignore[reportPrivateUsage]
    await client.jetstream().publish(str(subject), b"garbage")
    connector.resource.phase = execution_pb2.TaskExecution.SUCCEEDED
    async with place.launcher() as runtime:
        assert (await place.end(other)).stage == AttemptObserved.EXITED
        await until(lambda: not runtime.is_looked_after(spoilt.key))
    # What nobody knows of is not begun, perhaps a second time.
    assert len(connector.created) == 1


async def test_what_ended_while_no_launcher_was_there_is_not_begun_again(
    place: Place, connector: PlayedConnector
) -> None:
    attempt = await place.attempt()
    connector.resource.phase = execution_pb2.TaskExecution.SUCCEEDED
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        await place.end(attempt)
        await until(lambda: not runtime.is_looked_after(attempt.key))
        # The same order, which was seen running: nobody knows of it.
        await runtime.launch(attempt, ran=True)
        await until(lambda: not runtime.is_looked_after(attempt.key))
    assert (await place.observed(attempt))[-1].stage == AttemptObserved.LOST
    assert len(connector.created) == 1


async def test_a_connector_that_cannot_be_reached_is_waited_for_as_long_as_is_set(place: Place) -> None:
    attempt = await place.attempt()
    async with place.launcher(patience_seconds=0.1) as runtime:
        await runtime.launch(attempt)
        ended = await place.end(attempt)
    assert [item.stage for item in await place.observed(attempt)] == [
        AttemptObserved.WAITING_FOR_RESOURCES,
        AttemptObserved.NOT_LAUNCHED,
    ]
    assert (ended.error.code, ended.error.kind) == ("ConnectorUnavailable", execution_pb2.ExecutionError.SYSTEM)
    assert ended.recoverable


async def test_failures_in_a_row_are_counted_anew_after_an_answer(place: Place, connector: PlayedConnector) -> None:
    attempt = await place.attempt()
    async with place.launcher(max_consecutive_failures=2) as runtime:
        await runtime.launch(attempt)
        for _ in range(2):
            connector.refusals["GetTask"] = 2
            await until(lambda: not connector.refusals["GetTask"])
            seen = connector.looks
            await until(lambda seen=seen: connector.looks > seen + 1)
        connector.refusals["GetTask"] = 3
        ended = await place.end(attempt)
    assert (ended.error.code, ended.recoverable) == ("AutoRefreshCacheFailed", False)
    assert "not now" in ended.error.message


async def test_answers_that_say_nothing_known_count_as_failures(place: Place, connector: PlayedConnector) -> None:
    connector.resource = agent_pb2.Resource(phase=77)  # pyright: ignore[reportArgumentType]
    attempt = await place.attempt()
    async with place.launcher(max_consecutive_failures=1) as runtime:
        await runtime.launch(attempt)
        ended = await place.end(attempt)
    assert (ended.error.code, connector.looks) == ("AutoRefreshCacheFailed", 2)


@pytest.fixture
def sync_connector(connector: PlayedConnector) -> PlayedConnector:
    connector.agents = [
        agent_pb2.Agent(is_sync=True, supported_task_categories=[agent_pb2.TaskCategory(name="flight_answer")])
    ]
    return connector


async def test_t109_a_sync_connector_gets_one_stream(place: Place, sync_connector: PlayedConnector) -> None:
    attempt = await place.attempt(tasks_pb2.TaskTemplate(type="flight_answer"))
    outputs = literals_pb2.LiteralMap()
    outputs.literals["o0"].scalar.primitive.integer = 3
    sync_connector.resource = agent_pb2.Resource(phase=execution_pb2.TaskExecution.SUCCEEDED, outputs=outputs)
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        assert (await place.end(attempt)).stage == AttemptObserved.EXITED
    header, inputs = sync_connector.executed
    assert (header.WhichOneof("part"), inputs.WhichOneof("part")) == ("header", "inputs")
    assert header.header.output_prefix == attempt.fact.output_prefix
    written = await place.blobs.get(f"{attempt.fact.output_prefix}/outputs.pb")
    assert literals_pb2.LiteralMap.FromString(written) == outputs
    assert sync_connector.looks == 0


async def test_a_sync_task_that_is_aborted_is_not_waited_for(place: Place, sync_connector: PlayedConnector) -> None:
    sync_connector.answers.clear()
    attempt = await place.attempt(tasks_pb2.TaskTemplate(type="flight_answer"))
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        await until(lambda: sync_connector.executed)
        await runtime.abort(attempt.key, "not wanted", ORIGIN)
        assert (await place.end(attempt)).stage == AttemptObserved.KILLED


async def test_a_sync_connector_that_gives_no_result(place: Place, sync_connector: PlayedConnector) -> None:
    attempt = await place.attempt(tasks_pb2.TaskTemplate(type="flight_answer"))
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        ended = await place.end(attempt)
    assert (ended.error.code, ended.recoverable) == ("TaskFailedWithError", True)
    assert "RUNNING, and no result" in ended.error.message


async def test_commands_of_pods_are_filled_in_on_the_process_runtime(place: Place, connector: PlayedConnector) -> None:
    template = tasks_pb2.TaskTemplate(type=TYPE)
    main = {"name": "main", "command": ["run"], "args": ["--to", "{{.outputPrefix}}"], "env": [{"name": "A"}]}
    ParseDict({"containers": [main], "initContainers": [{"name": "first"}]}, template.k8s_pod.pod_spec)
    attempt = await place.attempt(template)
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        await until(lambda: connector.created)
        (request,) = connector.created
        sent = MessageToDict(request.template.k8s_pod.pod_spec)
        assert sent["containers"] == [{**main, "args": ["--to", attempt.fact.output_prefix]}]
        assert sent["initContainers"] == [{"name": "first"}]
        await runtime.abort(attempt.key, "", ORIGIN)
        await place.end(attempt)


async def test_an_input_without_a_text_fails_for_good(place: Place, connector: PlayedConnector) -> None:
    template = tasks_pb2.TaskTemplate(type=TYPE)
    template.container.args.append("{{.inputs.missing}}")
    attempt = await place.attempt(template)
    inputs = literals_pb2.LiteralMap(literals={"x": literals_pb2.Literal()}).SerializeToString()
    attempt.fact.inputs.CopyFrom(await place.blobs.put(place.blobs.uri("inputs", uuid4().hex), inputs))
    async with place.launcher() as runtime:
        await runtime.launch(attempt)
        ended = await place.end(attempt)
    assert (ended.stage, ended.error.code) == (AttemptObserved.NOT_LAUNCHED, "FailedToBuildResource")
    assert connector.created == []
