"""The launcher as a process of a whole stack: killed, and deprived of its records."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import execution_pb2, task_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from flyteidl.service import admin_pb2_grpc

from flightlog_cli.stack_process import StackProcess

PROJECT, DOMAIN = "flytesnacks", "development"
Phase = core_execution_pb2.WorkflowExecution
ENDED = (Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """For shell commands alone, each of a name of its own; when a test is over, it runs, and no task is left in it."""
    with StackProcess(
        tmp_path_factory.mktemp("stack-of-launcher"), environment={"FLIGHTLOG_PROCESS__PRELOAD": "[]"}
    ) as process:
        yield process


def _until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:  # pyright: ignore
                raise
        time.sleep(0.02)
    pytest.fail(f"never: {what}")


class Client:
    """Runs shell commands as executions of single tasks."""

    def __init__(self, endpoint: str) -> None:
        self.stub = admin_pb2_grpc.AdminServiceStub(grpc.insecure_channel(endpoint))

    def start(self, name: str, command: str) -> None:
        task = identifier_pb2.Identifier(
            resource_type=identifier_pb2.TASK, project=PROJECT, domain=DOMAIN, name=name, version="v1"
        )
        template = tasks_pb2.TaskTemplate(
            id=task,
            type="raw-container",
            metadata={
                "runtime": {"type": tasks_pb2.RuntimeMetadata.FLYTE_SDK, "version": "1.16.0", "flavor": "python"}
            },
            interface={"inputs": {}, "outputs": {}},
            container=tasks_pb2.Container(image="localhost/shell:1", command=["sh", "-c", command]),
        )
        self.stub.CreateTask(task_pb2.TaskCreateRequest(id=task, spec=task_pb2.TaskSpec(template=template)))
        spec = execution_pb2.ExecutionSpec(launch_plan=task, metadata=execution_pb2.ExecutionMetadata())
        self.stub.CreateExecution(
            execution_pb2.ExecutionCreateRequest(project=PROJECT, domain=DOMAIN, name=name, spec=spec, inputs={})
        )

    def end(self, name: str) -> int:
        execution = identifier_pb2.WorkflowExecutionIdentifier(project=PROJECT, domain=DOMAIN, name=name)

        def ended() -> int:
            request = execution_pb2.WorkflowExecutionGetRequest(id=execution)
            phase = self.stub.GetExecution(request).closure.phase
            return phase if phase in ENDED else 0

        return _until(ended, f"{name} ended")


def _pids(file: Path, count: int = 1) -> list[int]:
    """Process ids in a file, once there are `count`."""
    return _until(
        lambda: file.exists() and len(found := [int(word) for word in file.read_text().split()]) >= count and found,
        f"{count} processes in {file}",
    )


def test_task_goes_on_when_the_launcher_is_killed_and_its_end_is_taken_once(
    stack: StackProcess, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    client = Client(stack.grpc)
    client.start("survivor", f"echo $$ >> {started}; while [ ! -e {go} ]; do sleep 0.02; done")
    (pid,) = _pids(started)
    stack.wait_for_part("k8s_launcher", after=stack.kill("k8s_launcher"))
    os.kill(pid, 0)  # raises when it is gone
    go.touch()
    assert client.end("survivor") == Phase.SUCCEEDED
    assert _pids(started) == [pid]
    history = stack.cli("events", "survivor", "--json").stdout
    assert history.count('"AttemptSucceeded"') == 1
    assert history.count('"AttemptScheduled"') == 1


def test_launcher_that_lost_its_records_retries_what_ran_and_repeats_nothing_else(
    stack: StackProcess, tmp_path: Path
) -> None:
    mark, started, go = tmp_path / "mark", tmp_path / "started", tmp_path / "go"
    client = Client(stack.grpc)
    client.start("finished", f"echo once >> {mark}")
    assert client.end("finished") == Phase.SUCCEEDED
    client.start("running", f"echo $$ >> {started}; while [ ! -e {go} ]; do sleep 0.02; done")
    (pid,) = _pids(started)
    stack.stop()
    # As after the loss of a machine with its disk: neither the process nor any record of it is left.
    os.killpg(pid, signal.SIGKILL)
    tasks = stack.data / "tasks"
    while tasks.exists():
        # The shepherd of what was killed may be writing down its end meanwhile.
        shutil.rmtree(tasks, ignore_errors=True)
    stack.start()
    first, second = _pids(started, 2)
    assert first == pid != second
    go.touch()
    assert client.end("running") == Phase.SUCCEEDED
    assert mark.read_text() == "once\n"
