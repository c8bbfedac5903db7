"""Recover and relaunch through unmodified flytekit, raw calls and the command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.service import admin_pb2_grpc

POLL = timedelta(milliseconds=100)
MODE = execution_pb2.ExecutionMetadata


@pytest.fixture(scope="module")
def admin(stack: Any) -> Iterator[Any]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What is missing at first."""
    return tmp_path / "mended"


@pytest.fixture
def failed(
    remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any], admin: Any, mark: Path
) -> Callable[[str], str]:
    """Runs `mending.<name>` until it has failed, mends it, and gives back the execution's name."""

    def run(name: str) -> str:
        workflow = register(getattr(workflow_module("mending"), name))
        execution = remote.execute(workflow, inputs={"x": 1, "mark": str(mark)})
        assert ended(admin, execution.id.name).closure.phase == WorkflowExecution.FAILED
        mark.touch()
        return execution.id.name

    return run


def identifier(name: str) -> WorkflowExecutionIdentifier:
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)


def get(admin: Any, name: str) -> Any:
    return admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier(name)))


def ended(admin: Any, name: str) -> Any:
    deadline = time.monotonic() + 120
    while (execution := get(admin, name)).closure.phase not in (
        WorkflowExecution.SUCCEEDED,
        WorkflowExecution.FAILED,
        WorkflowExecution.ABORTED,
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return execution


def recovered(admin: Any, source: str, name: str = "") -> str:
    """The name of an execution that has recovered another one, and has succeeded."""
    made = admin.RecoverExecution(execution_pb2.ExecutionRecoverRequest(id=identifier(source), name=name)).id.name
    execution = ended(admin, made)
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED, execution.closure.error.message
    assert execution.spec.metadata.mode == MODE.RECOVERED
    assert execution.spec.metadata.reference_execution == identifier(source)
    return made


def nodes(admin: Any, name: str, parent: str = "") -> dict[str, Any]:
    request = node_execution_pb2.NodeExecutionListRequest(
        workflow_execution_id=identifier(name), limit=100, unique_parent_id=parent
    )
    found = admin.ListNodeExecutions(request).node_executions
    return {node.metadata.spec_node_id: node for node in found}


def phases(admin: Any, name: str, parent: str = "") -> dict[str, str]:
    """Of the nodes that do work."""
    return {
        node_id: NodeExecution.Phase.Name(node.closure.phase)
        for node_id, node in nodes(admin, name, parent).items()
        if not node_id.endswith("-node")
    }


def outputs(admin: Any, name: str) -> dict[str, int]:
    data = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=identifier(name)))
    return {key: value.scalar.primitive.integer for key, value in data.full_outputs.literals.items()}


def tasks(admin: Any, node: Any) -> int:
    request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=node.id, limit=10)
    return len(admin.ListTaskExecutions(request).task_executions)


def test_what_succeeded_within_a_failed_sub_workflow_is_reused(
    failed: Callable[[str], str], admin: Any, remote: Any
) -> None:
    again = recovered(admin, failed("within"), name="mended-within")
    assert again == "mended-within"
    assert outputs(admin, again) == {"o0": 103, "o1": 2}
    assert phases(admin, again) == {"n0": "RECOVERED", "n1": "SUCCEEDED"}
    assert phases(admin, again, "n1") == {"n0": "RECOVERED", "n1": "SUCCEEDED"}
    node = nodes(admin, again)["n0"]
    assert tasks(admin, node) == 0
    data = admin.GetNodeExecutionData(node_execution_pb2.NodeExecutionGetDataRequest(id=node.id))
    assert data.full_outputs.literals["o0"].scalar.primitive.integer == 2
    assert again in node.closure.output_uri
    synced = remote.sync(remote.fetch_execution(name=again), sync_nodes=True)
    assert synced.is_successful
    assert synced.outputs["o0"] == 103


def test_nodes_of_all_kinds_are_reused_and_shown_as_they_were(
    failed: Callable[[str], str], admin: Any, remote: Any
) -> None:
    source = failed("reused")
    again = recovered(admin, source)
    before, after = nodes(admin, source), nodes(admin, again)
    shown = {node_id: NodeExecution.Phase.Name(node.closure.phase) for node_id, node in after.items()}
    succeeded = {"start-node": "SUCCEEDED", "end-node": "SUCCEEDED"}
    assert shown == {**dict.fromkeys(("n0", "n1", "n2", "n3"), "RECOVERED"), "n4": "SUCCEEDED", **succeeded}
    child = after["n0"].closure.workflow_node_metadata.executionId
    assert child == before["n0"].closure.workflow_node_metadata.executionId
    assert (after["n1"].metadata.is_dynamic, after["n1"].metadata.is_parent_node) == (True, True)
    wanted = node_execution_pb2.GetDynamicNodeWorkflowRequest
    assert admin.GetDynamicNodeWorkflow(wanted(id=after["n1"].id)) == admin.GetDynamicNodeWorkflow(
        wanted(id=before["n1"].id)
    )
    assert [tasks(admin, after[node_id]) for node_id in ("n1", "n2", "n3", "n4")] == [0, 0, 0, 1]
    assert remote.sync(remote.fetch_execution(name=again), sync_nodes=True).is_successful


def test_a_failed_child_execution_is_recovered(failed: Callable[[str], str], admin: Any) -> None:
    source = failed("launched")
    again = recovered(admin, source)
    assert outputs(admin, again) == {"o0": 103}
    old, new = (nodes(admin, name)["n0"].closure.workflow_node_metadata.executionId.name for name in (source, again))
    child = get(admin, new)
    assert old != new
    assert child.spec.metadata.mode == MODE.RECOVERED
    assert child.spec.metadata.reference_execution.name == old
    assert child.spec.metadata.parent_node_execution.execution_id.name == again
    assert phases(admin, new) == {"n0": "RECOVERED", "n1": "SUCCEEDED"}


def test_a_recovered_execution_can_be_recovered(failed: Callable[[str], str], admin: Any, mark: Path) -> None:
    source = failed("within")
    mark.unlink()
    second = admin.RecoverExecution(execution_pb2.ExecutionRecoverRequest(id=identifier(source))).id.name
    assert ended(admin, second).closure.phase == WorkflowExecution.FAILED
    mark.touch()
    third = recovered(admin, second)
    assert phases(admin, third, "n1") == {"n0": "RECOVERED", "n1": "SUCCEEDED"}
    # One that has succeeded is taken over as a whole.
    assert set(phases(admin, recovered(admin, third)).values()) == {"RECOVERED"}


def test_an_unknown_execution_cannot_be_recovered(admin: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        admin.RecoverExecution(execution_pb2.ExecutionRecoverRequest(id=identifier("nowhere")))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_client_may_recover_by_creating(failed: Callable[[str], str], admin: Any, mark: Path) -> None:
    """What Flyte's engine does is asked for by mode and reference, not by the call."""
    source = failed("within")
    spec = get(admin, source).spec
    spec.metadata.mode = MODE.RECOVERED
    spec.metadata.reference_execution.CopyFrom(identifier(source))
    inputs = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=identifier(source))).full_inputs
    request = execution_pb2.ExecutionCreateRequest(
        project="flytesnacks", domain="development", spec=spec, inputs=inputs
    )
    again = admin.CreateExecution(request).id.name
    assert ended(admin, again).closure.phase == WorkflowExecution.SUCCEEDED
    assert phases(admin, again)["n0"] == "RECOVERED"


def test_a_relaunch_with_other_inputs_keeps_what_the_client_says(failed: Callable[[str], str], admin: Any) -> None:
    """The console relaunches by CreateExecution, with its own inputs."""
    source = failed("within")
    spec = get(admin, source).spec
    spec.metadata.mode = MODE.RELAUNCH
    spec.metadata.reference_execution.CopyFrom(identifier(source))
    inputs = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=identifier(source))).full_inputs
    inputs.literals["x"].scalar.primitive.integer = 5
    request = execution_pb2.ExecutionCreateRequest(
        project="flytesnacks", domain="development", spec=spec, inputs=inputs
    )
    again = ended(admin, admin.CreateExecution(request).id.name)
    assert outputs(admin, again.id.name) == {"o0": 107, "o1": 6}
    assert again.spec.metadata.mode == MODE.RELAUNCH
    assert again.spec.metadata.reference_execution.name == source
    assert "RECOVERED" not in phases(admin, again.id.name).values()


@pytest.mark.parametrize("overwrites", [False, True])
def test_a_relaunch_overwrites_the_cache_only_when_it_says_so(
    failed: Callable[[str], str], admin: Any, overwrites: bool
) -> None:
    request = execution_pb2.ExecutionRelaunchRequest(id=identifier(failed("within")), overwrite_cache=not overwrites)
    first = admin.RelaunchExecution(request).id
    request = execution_pb2.ExecutionRelaunchRequest(id=first, overwrite_cache=overwrites)
    assert get(admin, admin.RelaunchExecution(request).id.name).spec.overwrite_cache == overwrites


def test_the_command_tells_what_it_would_do_and_does_it(failed: Callable[[str], str], admin: Any, stack: Any) -> None:
    source = failed("within")
    told = stack.cli("recover", "--dry-run", source)
    assert told.returncode == 0, told.stderr
    assert [line.split()[:2] for line in told.stdout.splitlines()[:-1]] == [
        ["n0", "reused"],
        ["n1", "goes"],
        ["n1/n0", "reused"],
        ["n1/n1", "runs"],
    ]
    assert told.stdout.splitlines()[-1].startswith("2 reused, 1 go on, 1 run again.")
    assert json.loads(stack.cli("recover", "--dry-run", "--json", source).stdout)[0]["does"] == "reused"
    made = json.loads(stack.cli("recover", "--json", source).stdout)["name"]
    assert ended(admin, made).closure.phase == WorkflowExecution.SUCCEEDED
    unknown = stack.cli("recover", "--dry-run", "nowhere")
    assert unknown.returncode == 1
    assert "no execution nowhere" in unknown.stderr


def test_pyflyte_recovers(failed: Callable[[str], str], pyflyte: Callable[..., Any], admin: Any) -> None:
    source = failed("within")
    place = ("-p", "flytesnacks", "-d", "development")
    told = pyflyte("execution", *place, "--execution-id", source, "recover").stdout
    again = told.split("Launched execution:")[1].split()[0].rpartition(":")[2]
    assert ended(admin, again).closure.phase == WorkflowExecution.SUCCEEDED
    assert get(admin, again).spec.metadata.reference_execution.name == source
