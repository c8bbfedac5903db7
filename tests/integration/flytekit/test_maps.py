"""Maps through unmodified flytekit: what comes out, and what FlyteRemote and the calls show of the elements."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution
from flyteidl.service import admin_pb2_grpc

from tests.integration.executions import ended

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def start(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Run:
    """Register and execute `maps.<name>`."""
    module = workflow_module("maps")
    return lambda name, inputs=None: remote.execute(register(getattr(module, name)), inputs=inputs or {})


@pytest.fixture(scope="module")
def run(remote: Any, start: Run) -> Run:
    """The same; waits for the end and syncs all nodes."""

    def execute(name: str, inputs: dict[str, Any] | None = None) -> Any:
        execution = start(name, inputs)
        return ended(remote, execution, seconds=180)

    return execute


@pytest.fixture(scope="module")
def admin(stack: Any) -> Iterator[Any]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


def task_of(admin: Any, execution: Any, node_id: str = "n0") -> Any:
    """The one task execution of a node; read by a list and by itself.

    A running task changes between two calls, so the two are compared only when the list says the same before and after.
    """
    node = execution.node_executions[node_id].id.to_flyte_idl()
    request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=node, limit=10)
    while True:
        (task,) = admin.ListTaskExecutions(request).task_executions
        alone = admin.GetTaskExecution(task_execution_pb2.TaskExecutionGetRequest(id=task.id))
        if [task] == list(admin.ListTaskExecutions(request).task_executions):
            assert alone == task
            return task


def resources(task: Any) -> list[tuple[int, int, str]]:
    found = task.closure.metadata.external_resources
    return [(one.index, one.retry_attempt, TaskExecution.Phase.Name(one.phase)) for one in found]


def error(admin: Any, execution: Any, node_id: str = "n0") -> ExecutionError:
    """Whole: lists cut messages short."""
    node = execution.node_executions[node_id].id.to_flyte_idl()
    return admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=node)).closure.error


def test_elements_are_resources_of_one_task_execution(run: Run, admin: Any) -> None:
    done = run("doubling", {"xs": [1, 2, 3]})
    assert done.outputs["o0"] == 12
    node = done.node_executions["n0"]
    assert (node.metadata.is_array, node.metadata.is_parent_node) == (True, False)
    assert (node.inputs["x"], node.outputs["o0"]) == ([1, 2, 3], [2, 4, 6])
    (synced,) = node.task_executions
    assert (synced.inputs["x"], synced.outputs["o0"]) == ([1, 2, 3], [2, 4, 6])
    task = task_of(admin, done)
    assert resources(task) == [(index, 0, "SUCCEEDED") for index in range(3)]
    for index, resource in enumerate(task.closure.metadata.external_resources):
        assert resource.external_id == f"{done.id.name}-n0-0-n{index}-0"
        assert all(log.name.endswith(f"-{index}") for log in resource.logs)
    data = admin.GetTaskExecutionData(task_execution_pb2.TaskExecutionGetDataRequest(id=task.id))
    assert len(data.full_outputs.literals["o0"].collection.literals) == 3


def test_several_lists_and_bound_values(run: Run) -> None:
    assert run("pairs", {"xs": [1, 2, 3], "ys": [10, 20, 30]}).outputs["o0"] == [11, 22, 33]
    assert run("weighed", {"label": "kg ", "xs": [1, 2]}).outputs["o0"] == ["kg 7", "kg 14"]


def test_lists_of_different_lengths(run: Run, admin: Any) -> None:
    failed = run("pairs", {"xs": [1, 2], "ys": [1]})
    assert (failed.error.code, failed.error.kind) == ("InvalidArrayLength", ExecutionError.USER)
    assert failed.node_executions["n0"].task_executions == []


def test_an_empty_list(run: Run, admin: Any) -> None:
    done = run("pairs", {"xs": [], "ys": []})
    assert done.outputs["o0"] == []
    task = task_of(admin, done)
    assert (task.closure.phase, resources(task)) == (TaskExecution.SUCCEEDED, [])


def test_concurrency_is_never_exceeded(run: Run) -> None:
    spans = run("one_by_one", {"xs": [1, 2, 3]}).outputs["o0"]
    assert all(end <= begun for (_, end), (begun, _) in itertools.pairwise(spans))


def test_failures_that_are_borne_give_none(run: Run, admin: Any) -> None:
    done = run("half", {"xs": [2, 3, 4, 5]})
    assert done.outputs["o0"] == [2, None, 4, None]
    assert resources(task_of(admin, done)) == [
        (0, 0, "SUCCEEDED"),
        (1, 0, "FAILED"),
        (2, 0, "SUCCEEDED"),
        (3, 0, "FAILED"),
    ]
    assert run("at_least_two", {"xs": [1, 2, 4]}).outputs["o0"] == [None, 2, 4]


def test_too_many_failures_end_the_map(run: Run, admin: Any) -> None:
    failed = run("half", {"xs": [1, 3, 5]})
    assert not failed.is_successful
    reported = error(admin, failed)
    assert reported.kind == ExecutionError.USER
    assert "is odd" in reported.message
    task = task_of(admin, failed)
    assert (task.closure.phase, task.closure.error) == (TaskExecution.FAILED, reported)
    assert {phase for _, _, phase in resources(task)} <= {"FAILED", "ABORTED"}


def test_one_failure_is_too_many_by_default(run: Run, admin: Any) -> None:
    failed = run("all_even", {"xs": [2, 3]})
    assert error(admin, failed).message.startswith("[1]: ")


def test_each_element_has_its_own_attempts(run: Run, admin: Any) -> None:
    done = run("trying_again", {"xs": [1, 2]})
    assert done.outputs["o0"] == [1, 2]
    task = task_of(admin, done)
    assert task.id.retry_attempt == 0
    assert resources(task) == [(0, 0, "FAILED"), (0, 1, "SUCCEEDED"), (1, 0, "FAILED"), (1, 1, "SUCCEEDED")]


def test_termination_stops_the_elements(remote: Any, start: Run, admin: Any) -> None:
    execution = start("waiting", {"xs": [1, 2, 3]})
    deadline = time.monotonic() + 60
    while True:
        remote.sync(execution, sync_nodes=True)
        node = execution.node_executions.get("n0")
        seen = resources(task_of(admin, execution)) if node is not None and node.task_executions else []
        if [phase for _, _, phase in seen] == ["RUNNING", "RUNNING", "UNDEFINED"]:
            break
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    request = execution_pb2.ExecutionTerminateRequest(id=execution.id.to_flyte_idl(), cause="enough")
    admin.TerminateExecution(request)
    done = ended(remote, execution, seconds=60)
    task = task_of(admin, done)
    assert task.closure.phase == TaskExecution.ABORTED
    assert resources(task) == [(0, 0, "ABORTED"), (1, 0, "ABORTED"), (2, 0, "UNDEFINED")]


def test_maps_inside_other_workflows(run: Run) -> None:
    assert run("nested", {"xs": [1, 2]}).outputs["o0"] == 12
    assert run("at_run_time", {"n": 3}).outputs["o0"] == 6


def test_a_map_without_outputs(run: Run) -> None:
    assert run("silent", {"xs": [1, 2]}).is_successful


def test_maps_over_launch_plans(run: Run, admin: Any) -> None:
    done = run("over_plans", {"xss": [[1, 2], [3], []]})
    assert done.outputs["o0"] == [6, 6, 0]
    task = task_of(admin, done)
    assert resources(task) == [(index, 0, "SUCCEEDED") for index in range(3)]
    for resource in task.closure.metadata.external_resources:
        child = resource.workflow_node_metadata.execution_id
        assert child.name == resource.external_id
        execution = admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=child))
        assert execution.spec.metadata.parent_node_execution.node_id == "n0"
    (synced,) = done.node_executions["n0"].task_executions
    assert synced.outputs["o0"] == [6, 6, 0]
    assert run("over_plans", {"xss": []}).outputs["o0"] == []
    failed = run("over_failing_plans", {"xs": [2, 3]})
    assert error(admin, failed).message.startswith("[1]: ")


def test_maps_of_the_old_kind(run: Run, admin: Any) -> None:
    done = run("old", {"xs": [1, 2, 3]})
    assert done.outputs["o0"] == [12, 14, 16]
    node = done.node_executions["n0"]
    assert not node.metadata.is_array
    assert node.outputs["o0"] == [2, 4, 6]
    task = task_of(admin, done)
    assert (task.closure.task_type, resources(task)) == ("container_array", [(i, 0, "SUCCEEDED") for i in range(3)])
    assert run("old_half", {"xs": [2, 3]}).outputs["o0"] == [2, None]
