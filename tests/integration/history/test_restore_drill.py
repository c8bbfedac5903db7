"""The drill: everything is killed, the log and the tables are gone, and the archive alone brings all of it back."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2

from flightlog_archive import Archive, ArchivedEvents
from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Log, LogSettings, Subject
from tests.integration.crash.conftest import Client as Waiting
from tests.integration.history.archives import until
from tests.integration.history.drilling import DOMAIN, PROJECT, Reads, Workflows

Phase = core_execution_pb2.WorkflowExecution
ARCHIVE = "FLIGHTLOG_HISTORY__ARCHIVE__"
wait_until = Waiting.wait_until


@pytest.fixture
def archiving_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack whose archive is never far behind, and whose log forgets what is over at once. No task is Python."""
    environment = {
        "FLIGHTLOG_PROCESS__PRELOAD": "[]",
        f"{ARCHIVE}CLOSE_SECONDS": "0.2",
        f"{ARCHIVE}LOOK_SECONDS": "0.2",
        f"{ARCHIVE}TRIMMING__AFTER_DAYS": "0",
        f"{ARCHIVE}TRIMMING__PAUSE_SECONDS": "0.2",
    }
    with StackProcess(tmp_path_factory.mktemp("drill"), environment=environment) as stack:
        yield stack


def create(reads: Reads, name: str, plan: str, **inputs: int) -> str:
    identifier = identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN, project=PROJECT, domain=DOMAIN, name=plan, version="1"
    )
    literals = {key: {"scalar": {"primitive": {"integer": value}}} for key, value in inputs.items()}
    reads.admin.CreateExecution(
        execution_pb2.ExecutionCreateRequest(
            project=PROJECT,
            domain=DOMAIN,
            name=name,
            spec={"launch_plan": identifier, "metadata": {}},
            inputs={"literals": literals},
        )
    )
    return name


def phase(reads: Reads, name: str) -> int:
    request = execution_pb2.WorkflowExecutionGetRequest(id={"project": PROJECT, "domain": DOMAIN, "name": name})
    return reads.patiently(lambda: reads.admin.GetExecution(request)).closure.phase


def ended(reads: Reads, name: str, wanted: int) -> None:
    over = {Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED}
    wait_until(lambda: phase(reads, name) in over, 120, f"{name} has ended")
    assert phase(reads, name) == wanted


def register(stack: StackProcess, workflows: Workflows, monkeypatch: pytest.MonkeyPatch) -> None:
    from flytekit.configuration import Config, ImageConfig, PlatformConfig, SerializationSettings
    from flytekit.remote import FlyteRemote

    for name, value in stack.client_environment.items():
        monkeypatch.setenv(name, value)
    platform = PlatformConfig(endpoint=stack.grpc, insecure=True)
    remote = FlyteRemote(Config(platform=platform), default_project=PROJECT, default_domain=DOMAIN)
    settings = SerializationSettings(
        project=PROJECT, domain=DOMAIN, version="1", image_config=ImageConfig.auto(img_name="localhost/shell:1")
    )
    for one in (workflows.finished, workflows.failing, workflows.running):
        remote.register_workflow(one, settings, version="1", default_launch_plan=True)
    remote.register_launch_plan(workflows.scheduled, version="1", serialization_settings=settings)


def test_an_empty_stack_is_restored_from_the_archive_alone(
    archiving_stack: StackProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = archiving_stack
    traces = tmp_path / "traces"
    traces.mkdir()
    register(stack, Workflows(traces), monkeypatch)
    reads = Reads(stack.grpc)
    scheduled = identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN, project=PROJECT, domain=DOMAIN, name="drill.scheduled", version="1"
    )
    reads.admin.UpdateLaunchPlan(
        launch_plan_pb2.LaunchPlanUpdateRequest(id=scheduled, state=launch_plan_pb2.LaunchPlanState.ACTIVE)
    )
    finished = [create(reads, f"finished-{number}", "drill.finished", x=number) for number in range(3)]
    failed = create(reads, "failed", "drill.failing")
    running = [create(reads, f"running-{number}", "drill.running", x=100 + number) for number in range(2)]
    for one in finished:
        ended(reads, one, Phase.SUCCEEDED)
    ended(reads, failed, Phase.FAILED)
    started = traces / "started"
    wait_until(lambda: len(started.read_text().splitlines()) == 9, 120, "what can run has started")
    wait_until(reads.archived, 60, "all of it is archived")
    assert_without_data_frames(stack)

    names = [*finished, failed, *running]
    before = reads.everything(names)
    # This one may be lost: only what is published counts.
    create(reads, "late", "drill.failing")
    stack.kill_all()
    reads.close()
    late = asyncio.run(archived(stack, "late"))
    published = json.loads((stack.data / "objects/flightlog/flightlog/archive/EXECUTION/manifest.json").read_text())
    for part in ("nats", "postgres"):
        shutil.rmtree(stack.data / part)

    restored = stack.cli_json("restore")
    assert {one["stream"]: one["sequence"] for one in restored}["EXECUTION"] == published["sequence"]
    again = stack.cli("restore")
    assert again.returncode == 1
    assert "not empty" in again.stderr

    stack.start()
    reads = Reads(stack.grpc)
    try:
        after = reads.patiently(lambda: reads.everything(names))
        for question, answer in before.items():
            assert after[question] == answer, question
        wait_until(reads.archived, 60, "the archive goes on")
        assert is_there(reads, "late") == late

        (traces / "go").touch()
        for one in running:
            ended(reads, one, Phase.SUCCEEDED)
        again = create(reads, "again", "drill.finished", x=1)
        ended(reads, again, Phase.SUCCEEDED)
        attempts = [line for line in started.read_text().splitlines() if "-late/" not in line]
        assert len(attempts) == len(set(attempts)) == 3 + 4 + 2 + 2, "nothing ran twice, and what was cached still is"
        assert_trimmed_executions_are_read_as_before(stack, reads, finished[0], failed)
        for one in stack.cli_json("rebuild"):
            assert one["equal"], one
        told = {one["stream"]: one for one in stack.cli_json("archive")}
        assert int(told["EXECUTION"]["sequence"]) > published["sequence"]
    finally:
        reads.close()


def assert_trimmed_executions_are_read_as_before(stack: StackProcess, reads: Reads, finished: str, failed: str) -> None:
    asyncio.run(until_trimmed(stack, finished))
    events = [json.loads(line) for line in stack.cli("events", finished, "--json").stdout.splitlines()]
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    assert "ExecutionCreated" in json.dumps(events[0])
    assert "ExecutionSucceeded" in json.dumps(events[-1])
    begun = execution_pb2.WorkflowExecutionGetRequest(id={"project": PROJECT, "domain": DOMAIN, "name": finished})
    (sequence,) = asyncio.run(sequences(stack, finished))[:1]
    past = reads.admin.GetExecution(begun, metadata=(("flightlog-as-of", str(sequence)),))
    assert past.closure.phase == Phase.UNDEFINED
    asyncio.run(until_trimmed(stack, failed))
    recovered = execution_pb2.ExecutionRecoverRequest(
        id={"project": PROJECT, "domain": DOMAIN, "name": failed}, name="recovered"
    )
    reads.admin.RecoverExecution(recovered)
    ended(reads, "recovered", Phase.FAILED)


def assert_without_data_frames(stack: StackProcess) -> None:
    """The process that has written segments with pyarrow has not imported pandas, which is installed here."""
    if psutil.LINUX:
        loaded = {part for one in psutil.Process(stack.pids["history"]).memory_maps() for part in Path(one.path).parts}
        assert "pyarrow" in loaded
        assert "pandas" not in loaded


@asynccontextmanager
async def log_of(stack: StackProcess) -> AsyncIterator[Log]:
    credentials = stack.endpoints["credentials"]
    settings = {
        "nats_url": stack.endpoints["nats"],
        "user": credentials["nats_user"],
        "password": credentials["nats_password"],
    }
    blobs = objects_of(stack)
    log = await Log.connect(LogSettings.model_validate(settings), blobs, name="drill", cold=ArchivedEvents(blobs))
    try:
        yield log
    finally:
        await log.close()


async def until_trimmed(stack: StackProcess, name: str) -> None:
    """Returns when the server itself has nothing of an execution but its end."""
    subject = str(Subject.of("EXECUTION", PROJECT, DOMAIN, name))
    async with log_of(stack) as log:

        async def trimmed() -> bool:
            info = await log._connection.api("STREAM.INFO.EXECUTION", {"subjects_filter": subject})
            return info["state"]["subjects"][subject] == 1

        await until(trimmed, f"the end of {name} alone is left on the server", 60)


async def sequences(stack: StackProcess, name: str) -> list[int]:
    async with log_of(stack) as log:
        return [one.sequence for one in await log.load(Subject.of("EXECUTION", PROJECT, DOMAIN, name))]


def is_there(reads: Reads, name: str) -> bool:
    request = execution_pb2.WorkflowExecutionGetRequest(id={"project": PROJECT, "domain": DOMAIN, "name": name})
    try:
        return reads.admin.GetExecution(request).id.name == name
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:  # pyright: ignore[reportAttributeAccessIssue]
            raise
        return False


def objects_of(stack: StackProcess) -> BlobStore:
    settings = {"bucket": "flightlog", "endpoint": "http://127.0.0.1:1", "access_key": "a", "secret_key": "s"}
    folder = stack.data / "objects"
    return BlobStore.open(BlobSettings.model_validate({"driver": "directory", "directory": folder, **settings}))


async def archived(stack: StackProcess, name: str) -> bool:
    """Whether an execution is in the archive."""
    subject = Subject.of("EXECUTION", PROJECT, DOMAIN, name)
    return bool(await Archive(objects_of(stack)).subject(str(subject), "EXECUTION"))
