"""Launch plans inside workflows, through unmodified flytekit: child executions, and what clients see of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, node_execution_pb2, workflow_pb2
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier, WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import KeyValuePair
from flyteidl.service import admin_pb2_grpc
from google.protobuf.wrappers_pb2 import BoolValue

POLL = timedelta(milliseconds=100)
MODE = execution_pb2.ExecutionMetadata
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Run:
    """Register `launching.<name>`, execute it, wait for its end and sync all its nodes."""
    module = workflow_module("launching")

    def execute(name: str, inputs: dict[str, Any] | None = None) -> Any:
        execution = remote.execute(register(getattr(module, name)), inputs=inputs or {})
        return remote.wait(execution, timeout=timedelta(seconds=120), poll_interval=POLL, sync_nodes=True)

    return execute


@pytest.fixture(scope="module")
def admin(stack: Any) -> Iterator[Any]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


def node_of(admin: Any, name: str, node_id: str = "n0") -> Any:
    request = node_execution_pb2.NodeExecutionGetRequest(
        id={"node_id": node_id, "execution_id": identifier(name)},  # type: ignore[arg-type]
    )
    return admin.GetNodeExecution(request)


def identifier(name: str) -> WorkflowExecutionIdentifier:
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)


def get(admin: Any, name: str) -> Any:
    return admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier(name)))


def child_of(admin: Any, name: str, node_id: str = "n0") -> Any:
    return get(admin, node_of(admin, name, node_id).closure.workflow_node_metadata.executionId.name)


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_a_launch_plan_runs_as_an_execution_of_its_own(run: Run, admin: Any) -> None:
    done = run("launching", {"x": 1})
    assert done.is_successful
    assert done.outputs["o0"] == 6
    name = done.id.name
    first, second = child_of(admin, name, "n0"), child_of(admin, name, "n1")
    assert first.id.name != second.id.name
    assert (first.id.name[0], len(first.id.name)) == ("f", 14)
    metadata = first.spec.metadata
    assert (metadata.mode, metadata.nesting) == (MODE.CHILD_WORKFLOW, 1)
    assert metadata.parent_node_execution == node_of(admin, name).id
    assert metadata.principal == get(admin, name).spec.metadata.principal
    # FlyteRemote follows the node to the child's own nodes.
    node = done.node_executions["n0"]
    (synced,) = node.workflow_executions
    assert (synced.id.name, synced.outputs["o0"]) == (first.id.name, 3)
    assert set(synced.node_executions) == {"start-node", "n0", "n1", "end-node"}
    assert node.outputs["o0"] == 3


def test_launch_plans_fill_in_what_nobody_gave(run: Run) -> None:
    done = run("defaults")
    assert (done.outputs["o0"], done.outputs["o1"]) == (12, 7)


def test_children_have_children(run: Run, admin: Any) -> None:
    done = run("deeper", {"x": 1})
    assert done.outputs["o0"] == 6
    grandchild = child_of(admin, child_of(admin, done.id.name).id.name)
    assert grandchild.spec.metadata.nesting == 2
    assert grandchild.closure.phase == WorkflowExecution.SUCCEEDED


def test_a_childs_error_is_its_nodes(run: Run, admin: Any) -> None:
    done = run("failing")
    assert not done.is_successful
    child = child_of(admin, done.id.name)
    error = node_of(admin, done.id.name).closure.error
    assert error == child.closure.error
    assert (error.kind, "cannot have 7" in error.message) == (ExecutionError.USER, True)
    assert get(admin, done.id.name).closure.error.message == error.message


def test_a_failed_child_lets_others_end_where_the_policy_says_so(run: Run, admin: Any) -> None:
    done = run("failing_late")
    assert not done.is_successful
    assert child_of(admin, done.id.name, "n0").closure.phase == WorkflowExecution.FAILED
    assert child_of(admin, done.id.name, "n1").closure.phase == WorkflowExecution.SUCCEEDED


def running_child(admin: Any, name: str) -> str:
    """The name of the child of n0, once a task of it runs."""

    def found() -> str:
        shown = admin.ListNodeExecutions(
            node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=identifier(name), limit=10)
        ).node_executions
        child = next((n.closure.workflow_node_metadata.executionId.name for n in shown if n.id.node_id == "n0"), "")
        return child if child and get(admin, child).closure.phase == WorkflowExecution.RUNNING else ""

    return until(found)


def test_a_terminated_parent_takes_its_child_along(
    remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any], admin: Any
) -> None:
    execution = remote.execute(register(workflow_module("launching").stuck), inputs={})
    child = running_child(admin, execution.id.name)
    remote.terminate(execution, cause="enough")
    until(lambda: get(admin, execution.id.name).closure.phase == WorkflowExecution.ABORTED)
    ended = get(admin, child).closure
    assert ended.phase == WorkflowExecution.ABORTED
    cause = f"cascading abort as parent execution id [{execution.id.name}] aborted, reason [Workflow aborted.]"
    assert ended.abort_metadata.cause == cause


def test_a_child_that_a_user_aborts_fails_its_node(
    remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any], admin: Any
) -> None:
    execution = remote.execute(register(workflow_module("launching").stuck), inputs={})
    child = running_child(admin, execution.id.name)
    admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=identifier(child), cause="not you"))
    until(lambda: get(admin, execution.id.name).closure.phase == WorkflowExecution.FAILED)
    error = node_of(admin, execution.id.name).closure.error
    assert (error.kind, error.code) == (ExecutionError.USER, "RemoteChildWorkflowExecutionFailed")
    assert get(admin, child).closure.abort_metadata.cause == "not you"


def test_a_child_runs_as_its_parent_does(run: Run, admin: Any) -> None:
    registered = run("launching", {"x": 1})
    spec = execution_pb2.ExecutionSpec(launch_plan=get(admin, registered.id.name).spec.launch_plan)
    spec.metadata.mode = MODE.MANUAL
    spec.labels.values["team"] = "blue"
    spec.annotations.values["note"] = "n"
    spec.envs.values.append(KeyValuePair(key="LEVEL", value="3"))
    spec.overwrite_cache = True
    spec.interruptible.CopyFrom(BoolValue(value=True))
    spec.raw_output_data_config.output_location_prefix = "s3://my-s3-bucket/elsewhere"
    spec.security_context.run_as.k8s_service_account = "runner"
    spec.max_parallelism = 7
    request = execution_pb2.ExecutionCreateRequest(project="flytesnacks", domain="development", spec=spec)
    name = admin.CreateExecution(request).id.name
    until(lambda: get(admin, name).closure.phase == WorkflowExecution.SUCCEEDED)
    copied = child_of(admin, name).spec
    for field in (
        "labels", "annotations", "envs", "overwrite_cache", "interruptible", "raw_output_data_config",
        "security_context", "max_parallelism",
    ):  # fmt: skip
        assert getattr(copied, field) == getattr(spec, field), field


def test_a_launch_plan_of_another_domain_runs_in_the_parents(
    remote: Any, run: Run, workflow_module: Callable[[str], Any], register: Callable[..., Any], admin: Any
) -> None:
    """The plan is looked up where it is; the child belongs to its parent's project and domain."""
    there = register(workflow_module("launching").twice).id
    workflow_id = Identifier(
        resource_type=there.resource_type,
        project=there.project,
        domain="staging",
        name=there.name,
        version=there.version,
    )
    here = admin.GetWorkflow(common_pb2.ObjectGetRequest(id=there.to_flyte_idl())).closure.compiled_workflow
    template = workflow_pb2.WorkflowSpec(template=here.primary.template)
    nodes = [node for node in template.template.nodes if node.id not in ("start-node", "end-node")]
    del template.template.nodes[:]
    template.template.nodes.extend(nodes)
    template.template.id.CopyFrom(workflow_id)
    admin.CreateWorkflow(workflow_pb2.WorkflowCreateRequest(id=workflow_id, spec=template))
    plan = Identifier(
        resource_type=LAUNCH_PLAN, project="flytesnacks", domain="staging", name="plan_elsewhere", version="remote-1"
    )
    spec = launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow_id)
    spec.default_inputs.parameters["x"].var.type.simple = 1
    spec.default_inputs.parameters["x"].required = True
    admin.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=plan, spec=spec))
    done = run("referring", {"x": 1})
    assert done.outputs["o0"] == 4
    child = child_of(admin, done.id.name)
    assert (child.id.domain, child.spec.launch_plan.domain) == ("development", "staging")
