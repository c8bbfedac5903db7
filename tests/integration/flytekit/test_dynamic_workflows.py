"""Dynamic tasks through unmodified flytekit: what FlyteRemote shows of nodes that were asked for at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from flyteidl.admin import node_execution_pb2, task_execution_pb2
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service import admin_pb2_grpc

POLL = timedelta(milliseconds=100)
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Run:
    """Register `dynamics.<name>`, execute it, wait for its end and sync all its nodes."""
    module = workflow_module("dynamics")

    def execute(name: str, inputs: dict[str, Any] | None = None) -> Any:
        execution = remote.execute(register(getattr(module, name)), inputs=inputs or {})
        return remote.wait(execution, timeout=timedelta(seconds=120), poll_interval=POLL, sync_nodes=True)

    return execute


@pytest.fixture(scope="module")
def admin(stack: Any) -> Iterator[Any]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


def attempts(admin: Any, node: Any) -> list[Any]:
    """Of the node's own task; flytekit shows those of a dynamic node's children instead."""
    request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=node.id.to_flyte_idl(), limit=100)
    return list(admin.ListTaskExecutions(request).task_executions)


def error(admin: Any, node: Any) -> Any:
    """Whole: lists cut messages short."""
    return admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=node.id.to_flyte_idl())).closure.error


def test_nodes_made_at_run_time_are_synced_as_children(run: Run, admin: Any) -> None:
    done = run("counting", {"n": 3})
    assert done.is_successful
    assert done.outputs["o0"] == 6
    node = done.node_executions["n0"]
    assert (node.metadata.is_dynamic, node.metadata.is_parent_node) == (True, True)
    children = node.subworkflow_node_executions
    assert set(children) == {"n0-0-start-node", "n0-0-dn0", "n0-0-dn1", "n0-0-dn2", "n0-0-end-node"}
    for index in range(3):
        child = children[f"n0-0-dn{index}"]
        assert (child.metadata.spec_node_id, child.metadata.retry_group) == (f"dn{index}", "0")
        assert (child.inputs["x"], child.outputs["o0"]) == (index, index + 1)
        assert len(child.task_executions) == 1
    (attempt,) = attempts(admin, node)
    assert attempt.closure.phase == TaskExecution.SUCCEEDED
    assert node.outputs["o0"] == [1, 2, 3]
    # Both calls tell the same workflow.
    identifier = node.id.to_flyte_idl()
    data = admin.GetNodeExecutionData(node_execution_pb2.NodeExecutionGetDataRequest(id=identifier))
    told = admin.GetDynamicNodeWorkflow(node_execution_pb2.GetDynamicNodeWorkflowRequest(id=identifier))
    assert data.dynamic_workflow.compiled_workflow == told.compiled_workflow
    assert data.dynamic_workflow.id == told.compiled_workflow.primary.template.id
    assert data.dynamic_workflow.id.name == "dynamic_n0"
    shown = admin.GetNodeExecution(node_execution_pb2.NodeExecutionGetRequest(id=identifier)).closure
    assert data.dynamic_workflow.dynamic_job_spec_uri == shown.dynamic_job_spec_uri != ""


def test_a_dynamic_task_that_makes_no_nodes_is_an_ordinary_one(run: Run, admin: Any) -> None:
    done = run("counting", {"n": 0})
    assert done.is_successful
    assert done.outputs["o0"] == 0
    node = done.node_executions["n0"]
    assert not node.metadata.is_dynamic
    assert not node.subworkflow_node_executions
    with pytest.raises(grpc.RpcError) as refused:
        admin.GetDynamicNodeWorkflow(node_execution_pb2.GetDynamicNodeWorkflowRequest(id=node.id.to_flyte_idl()))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_failure_of_a_child_is_the_failure_of_the_dynamic_node(run: Run, admin: Any) -> None:
    done = run("failing")
    assert not done.is_successful
    node = done.node_executions["n0"]
    # Retries are for the task itself, not for what it asked for.
    assert len(attempts(admin, node)) == 1
    child = node.subworkflow_node_executions["n0-0-dn0"]
    assert "cannot have 7" in error(admin, child).message
    assert error(admin, node) == error(admin, child)
    assert error(admin, node).message in done.error.message


def test_dynamic_tasks_and_sub_workflows_in_dynamic_tasks_in_sub_workflows(run: Run) -> None:
    done = run("nesting", {"x": 1})
    assert done.is_successful
    assert done.outputs["o0"] == 4
    node_ids: list[str] = []

    def collect(nodes: dict[str, Any]) -> None:
        for node_id, node in nodes.items():
            node_ids.append(node_id)
            collect(node.subworkflow_node_executions or {})

    collect(done.node_executions)
    # start and end of five workflows; around's and outer's one and two nodes, twice's two, inner's one
    assert len(node_ids) == len(set(node_ids)) == 5 * 2 + 1 + 1 + 2 + 2 + 1
    assert all(len(node_id) <= 20 for node_id in node_ids)


def test_maps_and_conditionals_in_dynamic_tasks(run: Run) -> None:
    done = run("deciding", {"n": 3})
    assert done.is_successful
    assert done.outputs["o0"] == 7
    children = done.node_executions["n0"].subworkflow_node_executions
    kinds = {node_id: (node.metadata.is_array, node.metadata.is_parent_node) for node_id, node in children.items()}
    assert kinds["n0-0-dn0"] == (True, False)
    assert kinds["n0-0-dn2"] == (False, True)


def test_what_a_dynamic_task_came_to_is_remembered(run: Run, admin: Any) -> None:
    first = run("remembering", {"n": 2})
    assert first.outputs["o0"] == 3
    assert first.node_executions["n0"].metadata.is_dynamic
    second = run("remembering", {"n": 2})
    assert second.outputs["o0"] == 3
    hit = second.node_executions["n0"]
    assert hit.closure.task_node_metadata.cache_status == CatalogCacheStatus.CACHE_HIT
    assert not hit.metadata.is_dynamic
    assert not hit.subworkflow_node_executions
    assert attempts(admin, hit) == []
