"""FlyteRemote as a library: register, execute, wait, sync; the fields it shows of nodes and tasks."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from flyteidl.admin import task_execution_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service import admin_pb2_grpc

from tests.integration.executions import ended

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Run:
    """Register `basics.<name>` and execute it; waits and syncs all nodes unless told otherwise."""
    module = workflow_module("basics")

    def execute(name: str, inputs: dict[str, Any] | None = None, wait: bool = True, **options: Any) -> Any:
        entity = register(getattr(module, name))
        execution = remote.execute(entity, inputs=inputs or {}, **options)
        return finish(remote, execution) if wait else execution

    return execute


def finish(remote: Any, execution: Any) -> Any:
    return ended(remote, execution)


def test_chain_with_sub_workflow_shows_all_nodes_with_inputs_and_outputs(run: Run) -> None:
    done = run("chain", {"x": 5})
    assert done.is_successful
    assert done.outputs["o0"] == 17
    nodes = done.node_executions
    assert set(nodes) == {"start-node", "end-node", "n0", "n1", "n2", "n3"}
    sub = nodes["n1"]
    assert sub.metadata.is_parent_node
    assert {"n1-0-n0", "n1-0-n1", "n1-0-start-node", "n1-0-end-node"} == set(sub.subworkflow_node_executions)
    assert nodes["n3"].inputs["a"] == 7
    assert nodes["n3"].inputs["b"] == 10
    assert nodes["n3"].outputs["o0"] == 17
    (attempt,) = nodes["n3"].task_executions
    assert attempt.closure.phase == 3
    assert attempt.closure.logs
    assert attempt.outputs["o0"] == 17
    assert nodes["n3"].closure.started_at <= nodes["n3"].closure.started_at + nodes["n3"].closure.duration


def test_usage_and_logs_are_on_the_task_execution(run: Run, stack: Any) -> None:
    done = run("ordered")
    (attempt,) = done.node_executions["n0"].task_executions
    usage = raw_closure(stack, attempt).custom_info
    assert usage["peak_memory_bytes"] > 1e6
    assert usage["wall_seconds"] > 0
    log = next(log for log in attempt.closure.logs if log.name == "stdout")
    assert "first" in log_text(log.uri)


def raw_closure(stack: Any, attempt: Any) -> Any:
    """The closure as sent: flytekit's own model of it leaves out `custom_info`."""
    with grpc.insecure_channel(stack.grpc) as channel:
        request = task_execution_pb2.TaskExecutionGetRequest(id=attempt.id.to_flyte_idl())
        return admin_pb2_grpc.AdminServiceStub(channel).GetTaskExecution(request).closure


def log_text(uri: str) -> str:
    assert uri.startswith("file://")
    return Path(uri.removeprefix("file://")).read_text()


def test_order_without_data_is_kept(run: Run) -> None:
    nodes = run("ordered").node_executions
    first = nodes["n0"].closure
    assert nodes["n1"].closure.created_at >= first.started_at + first.duration


def test_failing_task_carries_its_traceback_to_the_client(run: Run) -> None:
    done = run("failing", {"reason": "for the test"})
    assert not done.is_successful
    assert done.error.code == "USER:RuntimeError"
    assert "ValueError: this task never works: for the test" in done.error.message
    assert "Traceback" in done.error.message
    assert set(done.node_executions) == {"start-node", "n0"}


def test_recoverable_failures_are_retried_within_the_budget(run: Run) -> None:
    done = run("retried")
    assert done.outputs["o0"] == 2
    attempts = sorted(done.node_executions["n0"].task_executions, key=lambda attempt: attempt.id.retry_attempt)
    assert [attempt.id.retry_attempt for attempt in attempts] == [0, 1, 2]
    assert [attempt.closure.phase for attempt in attempts] == [5, 5, 3]
    assert attempts[0].closure.error.code == "USER:Recoverable"


def test_crashing_process_uses_the_system_budget(run: Run) -> None:
    done = run("dying")
    attempts = done.node_executions["n0"].task_executions
    assert len(attempts) == 4
    assert done.error.code == "RetriesExhausted|Interrupted"


def test_timeout_fails_the_node_as_flyte_does(run: Run) -> None:
    done = run("late")
    assert done.error.code == "RetriesExhausted|TimeoutExpired"
    assert done.error.message == "[1/1] currentAttempt done. Last Error: USER::task execution timeout [2s] expired"
    (attempt,) = done.node_executions["n0"].task_executions
    assert attempt.closure.phase == 4


def test_terminate_kills_the_process(run: Run, remote: Any) -> None:
    execution = run("slow", wait=False)
    attempt = wait_for_running_attempt(remote, execution)
    log = next(log for log in attempt.closure.logs if log.name == "stdout")
    pid = wait_until(lambda: re.search(r"pid (\d+)", log_text(log.uri)))
    process = psutil.Process(int(pid.group(1)))
    remote.terminate(execution, cause="enough of it")
    done = finish(remote, execution)
    assert done.closure.phase == WorkflowExecution.ABORTED
    assert done.closure.abort_metadata.cause == "enough of it"
    process.wait(timeout=20)
    node = done.node_executions["n0"]
    assert node.closure.error.code == "NodeAborted"


def wait_for_running_attempt(remote: Any, execution: Any) -> Any:
    def running() -> Any:
        synced = remote.sync_execution(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
        node = synced.node_executions.get("n0")
        attempts = node.task_executions if node else []
        return attempts[0] if attempts and attempts[0].closure.phase == 2 else None

    return wait_until(running)


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The condition's first true answer; polls a client API that cannot notify."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail("the awaited state was never reached")


def test_tasks_learn_who_they_are_and_see_no_secrets_of_the_backend(run: Run) -> None:
    done = run("identity", envs={"GREETING": "hello"})
    seen = done.outputs.get("o0", dict[str, str])
    assert seen["execution"] == done.id.name
    assert (seen["project"], seen["domain"]) == ("flytesnacks", "development")
    assert seen["task"] == "basics.whoami"
    assert seen["greeting"] == "hello"
    assert seen["leak"] == ""


def test_without_a_gpu_the_task_waits_and_says_why(run: Run, remote: Any, stack: Any) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    execution = run("gpu", wait=False)

    def reason() -> Any:
        synced = remote.sync_execution(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
        node = synced.node_executions.get("n0")
        attempts = node.task_executions if node else []
        return attempts and re.search(r"(?i)gpu", raw_closure(stack, attempts[0]).reason) and attempts[0]

    attempt = wait_until(reason)
    assert attempt.closure.phase == 7  # WAITING_FOR_RESOURCES
    remote.terminate(execution, cause="no GPU here")
    assert finish(remote, execution).closure.phase == WorkflowExecution.ABORTED


def test_twenty_parallel_runs_all_succeed(run: Run, remote: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        executions = list(pool.map(lambda number: run("twice", {"x": number}, wait=False), range(20)))
        done = list(pool.map(lambda execution: finish(remote, execution), executions))
    assert [run.outputs["o0"] for run in done] == [number + 2 for number in range(20)]


def test_same_name_twice_gives_the_existing_execution(run: Run, remote: Any) -> None:
    name = f"only-once-{os.getpid()}"
    first = run("twice", {"x": 1}, wait=False, execution_name=name)
    second = run("twice", {"x": 2}, wait=False, execution_name=name)
    assert first.id == second.id
    assert finish(remote, second).inputs["x"] == 1


def test_recent_executions_and_listing_by_filter(run: Run, remote: Any) -> None:
    done = run("twice", {"x": 3})
    assert done.id.name in {execution.id.name for execution in remote.recent_executions(limit=20)}
