"""`flightlog export`, `import` and `replay`: executions of a real stack as files, and back."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin.execution_pb2 import (
    Execution,
    ExecutionRecoverRequest,
    ExecutionRelaunchRequest,
    WorkflowExecutionGetDataRequest,
    WorkflowExecutionGetDataResponse,
    WorkflowExecutionGetRequest,
)
from flyteidl.admin.node_execution_pb2 import NodeExecutionListRequest
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from flytekit import Annotations
from flytekit.core.options import Options
from flytekit.remote import FlyteRemote

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.access import Access, open_log
from flightlog_cli.commands import replay as command
from flightlog_cli.embedded.child import StackError
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Cause, Head, Log, LogSettings, Subject, verify_chain
from flightlog_protos.execution.v1.facts_pb2 import ExecutionWaiting, SignalSet
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from flightlog_rpc import RpcError
from services.execution.engine import failure
from services.execution.history.files.exporting import Exporting
from services.execution.history.files.format import CAUSE, EXECUTION, Exported, Writer, read
from services.execution.history.files.importing import Importing
from services.execution.settings import ExecutionSettings

POLL = timedelta(milliseconds=100)
LIMIT = 1 << 30
VALUE = 918273645
Key = tuple[str, str, str]


@dataclass
class Story:
    """What ran: one that failed with a child of its, one that was told a number, one that needed a place to run."""

    failed: str
    told: str
    limited: str
    waiting: Path
    """The latter, exported before it was told."""


@pytest.fixture(scope="module")
def story(
    stack: StackProcess,
    remote: FlyteRemote,
    workflow_module: Callable[[str], Any],
    register: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Story:
    failing = remote.execute(register(workflow_module("launching").failing_late), inputs={"x": 7})
    asking = remote.execute(register(workflow_module("explained").asking), inputs={"x": 1})
    key = Annotations({"flightlog.concurrency/key": "files", "flightlog.concurrency/key-max": "1"})
    limited = remote.execute(
        register(workflow_module("launching").breaking), inputs={"x": -1}, options=Options(annotations=key)
    )
    while not remote.list_signals(asking.id.name):
        remote.sync(asking)
    waiting = tmp_path_factory.mktemp("waiting") / "waiting.history.gz"
    asyncio.run(exported_to(waiting, stack, asking.id.name))
    remote.set_signal("sure", asking.id.name, VALUE)
    for execution in (failing, asking, limited):
        remote.wait(execution, timeout=timedelta(seconds=120), poll_interval=POLL)
    return Story(failing.id.name, asking.id.name, limited.id.name, waiting)


@pytest.fixture(scope="module")
def file(stack: StackProcess, story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The execution that failed, with its children."""
    path = tmp_path_factory.mktemp("files") / "failed.history.gz"
    told = stack.cli_json("export", story.failed, "--children", "-o", str(path))
    assert told == {"file": str(path), "bytes": path.stat().st_size}
    return path


@pytest.fixture
def admin(stack: StackProcess) -> Iterator[AdminServiceStub]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield AdminServiceStub(channel)


def content(path: Path) -> Exported:
    return read(path.read_bytes(), sys.maxsize)


def whole(path: Path) -> bytes:
    return path.read_bytes()


async def exported_to(path: Path, stack: StackProcess, name: str, *, children: bool = False, data: bool = True) -> Path:
    await command.export(stack.data, name, path, children=children, without_data=not data, as_json=False)
    return path


async def replayed(what: Path | str, stack: StackProcess | None = None, *, children: bool = False) -> int:
    where = stack.data if stack is not None else Path("/nonexistent")
    return await command.replay(where, str(what), children=children, as_json=False)


async def imported(path: Path, stack: StackProcess, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    await command.import_(stack.data, path, as_json=True)
    return json.loads(capsys.readouterr().out)


def identifier(name: str) -> WorkflowExecutionIdentifier:
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)


async def audited(stack: StackProcess, name: str, action: str, count: int) -> list[Any]:
    """What the audit says of that having been done to an execution, once it says it so many times."""
    async with asyncio.timeout(30):
        while True:
            lines = stack.cli("audit", "--name", name, "--json").stdout.splitlines()
            found = [entry for entry in map(json.loads, lines) if entry["action"] == action]
            if len(found) == count:
                return found
            await asyncio.sleep(0.05)


def elsewhere(*arguments: str) -> Any:
    """`flightlog …` where there is no stack."""
    return StackProcess(Path("/nonexistent/stack")).cli(*arguments)


async def test_the_same_history_makes_the_same_file(
    stack: StackProcess, story: Story, file: Path, tmp_path: Path
) -> None:
    again = await exported_to(tmp_path / "again.gz", stack, story.failed, children=True)
    assert whole(again) == whole(file)
    exported = content(file)
    assert len(exported.manifest.executions) == 3
    assert exported.manifest.executions[0] == ("flytesnacks", "development", story.failed)
    roles = {envelope.role for envelope in exported.envelopes}
    assert roles == {EXECUTION, CAUSE}
    assert any(uri.endswith("/outputs.pb") and found.data for uri, found in exported.objects.items())


async def test_file_is_decided_again_without_a_stack(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = elsewhere("replay", str(file), "--json")
    assert result.returncode == 0, result.stderr
    *lines, counts = [json.loads(line) for line in result.stdout.splitlines()]
    assert counts == {"decisions": len(lines), "different": 0, "undecided": 0}
    assert all(line["same"] for line in lines)
    assert {line["command"].split()[0] for line in lines} >= {"CreateExecution", "ObserveAttempt", "ObserveChild"}
    capsys.readouterr()
    assert await replayed(file) == 0
    assert capsys.readouterr().out == f"{len(lines)} decisions: all the same.\n"


async def test_execution_is_decided_again(
    stack: StackProcess, story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await replayed(f"flytesnacks/development/{story.told}", stack) == 0
    assert capsys.readouterr().out.endswith("decisions: all the same.\n")
    with pytest.raises(StackError, match="There is no execution nobody"):
        await replayed("nobody", stack)


async def test_what_a_queue_decided_is_among_the_causes(stack: StackProcess, story: Story, tmp_path: Path) -> None:
    path = await exported_to(tmp_path / "limited.gz", stack, story.limited)
    (given,) = [one for one in content(path).envelopes if one.subject.startswith("admission.")]
    assert given.role == CAUSE
    assert "PlaceGiven" in given.facts
    assert await replayed(path) == 0


async def test_changed_rule_is_caught_and_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An execution fails with another error than its node: in the parent and in the child, and nowhere else."""
    monkeypatch.setattr(failure, "error_of", lambda _: ExecutionError(code="Unknown"))
    assert await command.replay(Path("/nonexistent"), str(file), children=False, as_json=True) == 1
    *lines, counts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    different = [line for line in lines if not line["same"]]
    assert counts["different"] == len(different) == 2
    for line in different:
        assert line["command"].split()[0] in {"ObserveChild", "ObserveAttempt"}
        (failing,) = [one for one in line["differences"] if one["fact"] == "ExecutionFailing"]
        assert (failing["kind"], failing["rule"]) == ("changed", "failure.fail_execution")
        assert failing["called_by"][:2] == ["decide.decide", "decide._obey"]
        (code,) = [field for field in failing["fields"] if field["path"] == "error.code"]
        assert code["now"] == "Unknown"
        assert code["recorded"] not in ("", "Unknown")


async def test_what_is_not_the_file_that_was_written_is_refused(
    stack: StackProcess, file: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole(file)[:-20])
    # Whole, with the right hash of all: the chain of envelopes tells.
    exported = content(file)
    del exported.envelopes[2]
    without = tmp_path / "without.gz"
    without.write_bytes(written(exported))
    for path, why in ((cut, "the end of the file is missing"), (without, "found position 4 instead")):
        with pytest.raises(StackError, match=why):
            await replayed(path)
        with pytest.raises(StackError, match=rf"INVALID_ARGUMENT: this cannot be imported: .*{why}"):
            await command.import_(stack.data, path, as_json=False)
    with pytest.raises(StackError, match="There is no file"):
        await command.import_(stack.data, tmp_path / "nothing.gz", as_json=False)


def written(exported: Exported) -> bytes:
    writer = Writer()
    pieces = [writer.manifest(exported.manifest), *map(writer.envelope, exported.envelopes)]
    pieces += [*map(writer.object, exported.objects.values()), *map(writer.absent, sorted(exported.absent))]
    return b"".join((*pieces, writer.end()))


async def test_without_data(
    stack: StackProcess, story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = await exported_to(tmp_path / "without.gz", stack, story.told, data=False)
    exported = content(path)
    data = [found for uri, found in exported.objects.items() if uri.endswith(("inputs.pb", "outputs.pb"))]
    assert data
    assert all(found.data is None and len(found.sha256) == 32 for found in data)
    values = [fact for envelope in exported.envelopes if envelope.redacted for fact in unpacked(envelope.data)]
    (said,) = [fact for fact in values if isinstance(fact, SignalSet)]
    assert said.value.hash.startswith("sha256:")
    assert said.value.WhichOneof("value") is None
    capsys.readouterr()
    assert await replayed(path) == 0
    told = capsys.readouterr().out
    assert "could not be made again" in told
    assert "it needs a value that was left out" in told
    with pytest.raises(StackError, match="FAILED_PRECONDITION: this was exported without its data"):
        await command.import_(stack.data, path, as_json=False)


def unpacked(data: bytes) -> list[Any]:
    from flightlog_log import recorded_of

    return list(recorded_of("execution", 1, data).facts)


async def test_what_is_not_over_can_be_replayed_and_not_imported(stack: StackProcess, story: Story) -> None:
    assert await replayed(story.waiting) == 0
    with pytest.raises(StackError, match=r"FAILED_PRECONDITION: .* was not over"):
        await command.import_(stack.data, story.waiting, as_json=False)


async def test_import_puts_back_what_is_gone(
    stack: StackProcess,
    remote: FlyteRemote,
    story: Story,
    file: Path,
    admin: AdminServiceStub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Log, objects and tables know nothing of it any more; then all reads answer as they did, and nothing was run."""
    keys = content(file).manifest.executions
    before = {key: seen(admin, key) for key in keys}
    events = stack.cli("events", story.failed).stdout
    assert (await imported(file, stack, capsys))["envelopes"] == 0
    access = Access.of(stack.data)
    async with open_log(access) as log:
        await forget(log, access, content(file))
        assert stack.cli("rebuild", "execution").returncode == 1, "the tables had what the log has no more"
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            seen(admin, keys[0])

        done = stack.cli_json("import", str(file))
        envelopes = content(file).envelopes
        assert done["executions"] == ["/".join(key) for key in keys]
        assert done["envelopes"] == len(envelopes)
        assert {key: seen(admin, key) for key in keys} == before
        for key in keys:
            verify_chain(await log.load(Subject.of("EXECUTION", *key)))
        last = await log.last_sequence(Subject.of("EXECUTION", *keys[-1]))
        as_of = [("flightlog-as-of", str(last))]
        assert seen(admin, keys[-1], metadata=as_of)[0].closure.phase == before[keys[-1]][0].closure.phase
    assert (await imported(file, stack, capsys))["envelopes"] == 0
    brought = await audited(stack, story.failed, "HistoryImported", 3)
    assert all(entry["allowed"] and entry["kind"] == "execution" for entry in brought)
    assert all(entry["actor"]["client"].startswith("flightlog-cli/") for entry in brought)
    assert stack.cli("events", story.failed).stdout == events
    assert await replayed(story.failed, stack, children=True) == 0
    again = await exported_to(tmp_path / "again.gz", stack, story.failed, children=True)
    assert whole(again) == whole(file)

    relaunched = admin.RelaunchExecution(ExecutionRelaunchRequest(id=identifier(story.failed))).id
    recovered = admin.RecoverExecution(ExecutionRecoverRequest(id=identifier(story.failed))).id
    for made in (relaunched, recovered):
        ended = remote.wait(remote.fetch_execution(name=made.name), timeout=timedelta(seconds=120), poll_interval=POLL)
        assert ended.closure.phase == WorkflowExecution.FAILED
    nodes = seen(admin, ("flytesnacks", "development", recovered.name))[2]
    assert "RECOVERED" in " ".join(nodes)
    # The launcher has gone by all that was imported: what it ran came later. It had nothing to do, and nothing to say.
    async with open_log(access) as log:
        assert await log.handled("EXECUTION", "launcher") > last
        assert await observations(log, keys) == sum(one.subject.startswith("launcher.") for one in envelopes)
        assert not [one for one in await log.subjects("ORDER", ">") if any(key[2] in one for key in keys)]


Seen = tuple[Execution, WorkflowExecutionGetDataResponse, list[str]]


def seen(admin: AdminServiceStub, key: Key, *, metadata: Any = None) -> Seen:
    """What clients see of an execution."""
    about = identifier(key[2])
    nodes = admin.ListNodeExecutions(
        NodeExecutionListRequest(workflow_execution_id=about, limit=100), metadata=metadata
    ).node_executions
    return (
        admin.GetExecution(WorkflowExecutionGetRequest(id=about), metadata=metadata),
        admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=about), metadata=metadata),
        [str(node) for node in nodes],
    )


async def forget(log: Log, access: Access, exported: Exported) -> None:
    for subject in {envelope.subject for envelope in exported.envelopes}:
        await log.erase(subject)
    assert access.blobs.directory is not None
    for key in exported.manifest.executions:
        shutil.rmtree(access.blobs.directory / access.blobs.bucket / "metadata/propeller" / "-".join(key))


async def observations(log: Log, keys: Sequence[Key]) -> int:
    return sum([len(await log.load(Subject.of("LAUNCHER", *key))) for key in keys])


@asynccontextmanager
async def opened(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncGenerator[tuple[Log, BlobStore]]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    try:
        yield log, blobs
    finally:
        await log.close()
        await blobs.close()


async def test_another_log_takes_it_however_often_it_is_cut_off(
    file: Path, log_settings: LogSettings, blob_settings: BlobSettings
) -> None:
    data, exported = whole(file), content(file)
    async with opened(log_settings, blob_settings) as (log, blobs):
        importing = Importing(log, blobs, LIMIT)
        # Somebody's import broke off after two envelopes and one object.
        first, second, *_ = (one for one in exported.envelopes if one.role == EXECUTION)
        head = await log.put_back(first.subject, first.data, head=Head.EMPTY)
        await log.put_back(second.subject, second.data, head=head)
        some = next(one for one in exported.objects.values() if one.data is not None)
        await blobs.put(some.uri, some.data or b"")
        assert (await importing.put(data)).envelopes == len(exported.envelopes) - 2
        assert (await importing.put(data)).envelopes == 0
        exporting = Exporting(log, blobs, ExecutionSettings())
        key = exported.manifest.executions[0]
        pieces = [piece async for piece in exporting.export(key, children=True, without_data=False)]
        assert b"".join(pieces) == data

        # It went on here, after it had been imported.
        end = await log.head(first.subject)
        await log.append(first.subject, [ExecutionWaiting()], head=end, cause=Cause.service("test"))
        assert (await importing.put(data)).envelopes == 0


async def test_another_execution_or_object_of_the_name_is_left_alone(
    story: Story, log_settings: LogSettings, blob_settings: BlobSettings, stack: StackProcess, tmp_path: Path
) -> None:
    path = await exported_to(tmp_path / "told.gz", stack, story.told)
    exported = content(path)
    async with opened(log_settings, blob_settings) as (log, blobs):
        importing = Importing(log, blobs, LIMIT)
        some = next(uri for uri, one in exported.objects.items() if one.data is not None)
        await blobs.put(some, b"something else")
        with pytest.raises(RpcError, match="another object") as refused:
            await importing.put(whole(path))
        assert refused.value.code == grpc.StatusCode.ALREADY_EXISTS
        await blobs.delete(some)

        subject = Subject.of("EXECUTION", *exported.manifest.executions[0])
        await log.append(subject, [ExecutionWaiting()], head=Head.EMPTY, cause=Cause.service("test"))
        with pytest.raises(RpcError, match="another execution") as refused:
            await importing.put(whole(path))
        assert refused.value.code == grpc.StatusCode.ALREADY_EXISTS
        assert await blobs.get_or_none(some) is None, "nothing is written then"


def test_envelope_says_when_it_happened_and_nothing_of_the_import(file: Path) -> None:
    for stored in content(file).envelopes:
        assert Envelope.FromString(stored.data).SerializeToString() == stored.data
