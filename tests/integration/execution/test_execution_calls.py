"""The calls about executions, over the public port of a running stack. Runs consist of echo nodes."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import (
    common_pb2,
    event_pb2,
    execution_pb2,
    node_execution_pb2,
    signal_pb2,
    task_execution_pb2,
    version_pb2,
)
from flyteidl.core import execution_pb2 as execution_core_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution, WorkflowExecution
from flyteidl.service import admin_pb2_grpc, dataproxy_pb2, dataproxy_pb2_grpc, signal_pb2_grpc
from google.rpc.status_pb2 import Status

from flightlog_bench.workflows import Registration, chain, integer

PROJECT, DOMAIN = "flytesnacks", "development"
TERMINAL = {WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED}


@pytest.fixture(scope="module")
def channel(stack: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(stack.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def admin(channel: grpc.Channel) -> Any:
    return admin_pb2_grpc.AdminServiceStub(channel)


@pytest.fixture(scope="module")
def launch_plan(admin: Any) -> identifier_pb2.Identifier:
    return register(admin, chain(3))


def register(admin: Any, registration: Registration) -> identifier_pb2.Identifier:
    for call, request in (
        (admin.CreateTask, registration.task),
        (admin.CreateWorkflow, registration.workflow),
        (admin.CreateLaunchPlan, registration.launch_plan),
    ):
        try:
            call(request)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.ALREADY_EXISTS  # noqa: PT017 - other tests register the same
    return registration.launch_plan_id


def chain_of_one(version: str) -> Registration:
    """A workflow that no other test knows."""
    registration = chain(1)
    for part in (
        registration.task.id,
        registration.task.spec.template.id,
        registration.workflow.id,
        registration.workflow.spec.template.id,
        registration.workflow.spec.template.nodes[0].task_node.reference_id,
        registration.launch_plan.id,
        registration.launch_plan.spec.workflow_id,
    ):
        part.version = version
    return registration


def create(
    admin: Any, launch: identifier_pb2.Identifier, name: str = "", variable: str = "x", **spec: object
) -> identifier_pb2.WorkflowExecutionIdentifier:
    request = execution_pb2.ExecutionCreateRequest(
        project=PROJECT,
        domain=DOMAIN,
        name=name,
        spec=execution_pb2.ExecutionSpec(launch_plan=launch, **spec),  # type: ignore[arg-type]
        inputs=literals_pb2.LiteralMap(literals={variable: integer(5)}),
    )
    return admin.CreateExecution(request).id


def get(admin: Any, identifier: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution:
    return admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier))


def finished(admin: Any, identifier: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution:
    deadline = time.monotonic() + 60
    while (execution := get(admin, identifier)).closure.phase not in TERMINAL:
        assert time.monotonic() < deadline, execution
        time.sleep(0.01)
    return execution


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def ended(admin: Any, launch_plan: identifier_pb2.Identifier) -> identifier_pb2.WorkflowExecutionIdentifier:
    identifier = create(admin, launch_plan)
    assert finished(admin, identifier).closure.phase == WorkflowExecution.SUCCEEDED
    return identifier


def refused(call: Any, request: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value


def listing(**fields: object) -> common_pb2.ResourceListRequest:
    where = common_pb2.NamedEntityIdentifier(project=PROJECT, domain=DOMAIN)
    return common_pb2.ResourceListRequest(id=where, limit=100, **fields)  # type: ignore[arg-type]


def test_created_execution_is_readable_at_once(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    for _ in range(20):
        assert get(admin, create(admin, launch_plan)).closure.HasField("created_at")


def test_second_create_of_same_name_is_already_exists_and_changes_nothing(
    admin: Any, launch_plan: identifier_pb2.Identifier
) -> None:
    name = f"a{uuid4().hex}"
    identifier = create(admin, launch_plan, name)
    with pytest.raises(grpc.RpcError) as caught:
        create(admin, launch_plan, name)
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert finished(admin, identifier).closure.phase == WorkflowExecution.SUCCEEDED


def test_execution_of_a_workflow_whose_closure_is_lost_is_a_failed_precondition(stack: Any, admin: Any) -> None:
    closures = stack.data / "objects" / "flightlog" / "metadata" / "admin" / "closures"
    known = set(closures.iterdir())
    launch_plan = register(admin, chain_of_one("lost"))
    for closure in set(closures.iterdir()) - known:
        closure.unlink()
    with pytest.raises(grpc.RpcError) as caught:
        create(admin, launch_plan)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_create_while_the_object_store_is_away_is_to_be_tried_again(
    stack: Any, admin: Any, launch_plan: identifier_pb2.Identifier
) -> None:
    name = f"a{uuid4().hex}"
    blocked = stack.data / "objects" / "flightlog" / "metadata" / PROJECT / DOMAIN / name
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_bytes(b"in the way")
    with pytest.raises(grpc.RpcError) as caught:
        create(admin, launch_plan, name)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    blocked.unlink()
    assert finished(admin, create(admin, launch_plan, name)).closure.phase == WorkflowExecution.SUCCEEDED


def test_outputs_are_there_when_the_end_is(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    for _ in range(5):
        identifier = create(admin, launch_plan)
        finished(admin, identifier)
        answer = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=identifier))
        assert answer.full_inputs.literals["x"] == integer(5)
        assert answer.full_outputs.literals["o0"] == integer(5)
        assert answer.inputs.bytes == answer.outputs.bytes == 0


def test_single_task_keeps_its_own_identifier(admin: Any) -> None:
    register(admin, chain(1))
    task = chain(1).task.id
    identifier = create(admin, task, variable="a")
    execution = finished(admin, identifier)
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    assert execution.spec.launch_plan == task
    assert execution.closure.workflow_id.name == f".flytegen.{task.name}"
    assert execution.spec.max_parallelism == 0


def test_lists_filter_sort_and_page(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    prefix = f"l{uuid4().hex[:10]}-"
    names = [create(admin, launch_plan, f"{prefix}{number}").name for number in range(5)]
    mine = f"contains(execution_name,{prefix})+eq(launch_plan.name,{launch_plan.name})"
    order = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.ASCENDING)
    everything = admin.ListExecutions(listing(filters=mine, sort_by=order))
    assert [execution.id.name for execution in everything.executions] == names
    first = admin.ListExecutions(common_pb2.ResourceListRequest(id=listing().id, limit=3, filters=mine, sort_by=order))
    rest = admin.ListExecutions(
        common_pb2.ResourceListRequest(id=listing().id, limit=3, filters=mine, sort_by=order, token=first.token)
    )
    assert [execution.id.name for execution in (*first.executions, *rest.executions)] == names
    assert rest.token == ""


@pytest.mark.parametrize(
    "filters",
    [
        "value_in(phase,SUCCEEDED;FAILED)",
        "eq(task.name,bench.echo)",
        "ne(workflow.version,x)",
        "eq(admin_tag.name,t)",
        "eq(execution_tag.key,k)+eq(execution_tag.value,v)",
        "gt(duration,1.5)",
        "lt(started_at,2020-01-01T00:00:00Z)",
        "eq(user,x)+eq(mode,0)+eq(launch_entity,task)+eq(error_code,e)+eq(cluster,c)",
    ],
)
def test_every_documented_filter_is_understood(admin: Any, filters: str) -> None:
    admin.ListExecutions(listing(filters=filters))


def test_filter_by_tag_and_label_finds_the_execution(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    tag = f"t{uuid4().hex}"
    identifier = create(admin, launch_plan, tags=[tag, "other"], labels=common_pb2.Labels(values={"team": tag}))
    for filters in (f"eq(admin_tag.name,{tag})", f"eq(execution_tag.value,{tag})"):
        found = admin.ListExecutions(listing(filters=filters)).executions
        assert [execution.id for execution in found] == [identifier]


def test_key_and_value_are_those_of_one_label(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    value = f"t{uuid4().hex}"
    identifier = create(admin, launch_plan, labels=common_pb2.Labels(values={"team": value, "owner": "else"}))
    for key, found in (("team", [identifier]), ("owner", [])):
        filters = f"value_in(execution_tag.key,{key})+value_in(execution_tag.value,{value})"
        listed = admin.ListExecutions(listing(filters=filters)).executions
        assert [execution.id for execution in listed] == found


def test_archived_execution_leaves_the_default_list_only(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    identifier = create(admin, launch_plan)
    admin.UpdateExecution(execution_pb2.ExecutionUpdateRequest(id=identifier, state=execution_pb2.EXECUTION_ARCHIVED))
    named = f"eq(execution_name,{identifier.name})"
    assert not admin.ListExecutions(listing(filters=named)).executions
    assert admin.ListExecutions(listing(filters=f"{named}+eq(state,1)")).executions
    details = get(admin, identifier).closure.state_change_details
    assert details.state == execution_pb2.EXECUTION_ARCHIVED


@pytest.mark.parametrize("state", [7, 70_000, -1])
def test_state_that_does_not_exist_is_refused(
    admin: Any, ended: identifier_pb2.WorkflowExecutionIdentifier, state: int
) -> None:
    request = execution_pb2.ExecutionUpdateRequest(id=ended, state=state)  # type: ignore[arg-type]
    assert refused(admin.UpdateExecution, request).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_nesting_stops_at_the_largest_number(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    deepest = execution_pb2.ExecutionMetadata(nesting=2**32 - 1)
    parent = create(admin, launch_plan, metadata=deepest)
    finished(admin, parent)
    node = identifier_pb2.NodeExecutionIdentifier(node_id="n0", execution_id=parent)
    child = create(admin, launch_plan, metadata=execution_pb2.ExecutionMetadata(parent_node_execution=node))
    assert get(admin, child).spec.metadata.nesting == 2**32 - 1


def test_terminate_of_an_ended_execution_tells_its_phase(
    admin: Any, ended: identifier_pb2.WorkflowExecutionIdentifier
) -> None:
    error = refused(admin.TerminateExecution, execution_pb2.ExecutionTerminateRequest(id=ended, cause="late"))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    trailers = dict(error.trailing_metadata())
    reason = event_pb2.EventFailureReason()
    assert Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(reason)
    assert reason.already_in_terminal_state.current_phase == "SUCCEEDED"


def stubborn(admin: Any, folder: Path) -> identifier_pb2.WorkflowExecutionIdentifier:
    """A running execution whose task does not end when told to, until there is a file `let-go` in the folder."""
    started, let_go = folder / "started", folder / "let-go"
    script = (
        f"trap 'while ! test -e {let_go}; do sleep 0.02; done; exit 0' TERM; "
        f"echo $$ > {started}.new; mv {started}.new {started}; "
        "while true; do sleep 0.02; done"
    )
    registration = chain_of_one(folder.name)
    template = registration.task.spec.template
    template.type = "raw-container"
    template.container.image = "none"
    template.container.command.extend(["sh", "-c", script])
    identifier = create(admin, register(admin, registration))
    eventually(started.exists)
    return identifier


def runs(folder: Path) -> bool:
    """Whether the process of a stubborn task is still there."""
    try:
        os.kill(int((folder / "started").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def test_terminate_is_visible_at_once_may_be_repeated_and_stops_the_process(admin: Any, tmp_path: Path) -> None:
    identifier, let_go = stubborn(admin, tmp_path), tmp_path / "let-go"
    request = execution_pb2.ExecutionTerminateRequest(id=identifier, cause="first")
    admin.TerminateExecution(request)
    closure = get(admin, identifier).closure
    assert (closure.phase, closure.abort_metadata.cause) == (WorkflowExecution.ABORTING, "first")
    request.cause = "second"
    admin.TerminateExecution(request)
    closure = get(admin, identifier).closure
    assert (closure.phase, closure.abort_metadata.cause) == (WorkflowExecution.ABORTING, "second")
    let_go.touch()
    closure = finished(admin, identifier).closure
    assert (closure.phase, closure.abort_metadata.cause) == (WorkflowExecution.ABORTED, "second")
    nodes = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=identifier, limit=9)
    node = admin.ListNodeExecutions(nodes).node_executions[1]
    assert (node.closure.phase, node.closure.error.code) == (NodeExecution.ABORTED, "NodeAborted")
    attempts = task_execution_pb2.TaskExecutionListRequest(node_execution_id=node.id, limit=9)
    (attempt,) = admin.ListTaskExecutions(attempts).task_executions
    assert attempt.closure.phase == TaskExecution.ABORTED
    assert [reason.message for reason in attempt.closure.reasons][-1] == "Workflow aborted."
    assert refused(admin.TerminateExecution, request).code() == grpc.StatusCode.FAILED_PRECONDITION


def test_terminate_by_force_does_not_wait_for_what_runs(stack: Any, admin: Any, tmp_path: Path) -> None:
    identifier = stubborn(admin, tmp_path)
    request = execution_pb2.ExecutionTerminateRequest(id=identifier, cause="politely")
    admin.TerminateExecution(request)
    assert get(admin, identifier).closure.phase == WorkflowExecution.ABORTING
    ended = stack.cli("terminate", identifier.name, "--force", "--cause", "the launcher is gone")
    assert ended.returncode == 0, ended.stderr
    closure = get(admin, identifier).closure
    assert (closure.phase, closure.abort_metadata.cause) == (WorkflowExecution.ABORTED, "the launcher is gone")
    events = stack.cli("events", identifier.name).stdout
    assert "by force" in events
    assert "not waited for" in events
    # The process was told to end all the same, and that it does changes nothing any more.
    (tmp_path / "let-go").touch()
    eventually(lambda: not runs(tmp_path))
    again = stack.cli("terminate", identifier.name, "--force")
    assert again.returncode == 1
    assert "FAILED_PRECONDITION" in again.stderr


def test_terminate_by_force_of_what_runs(admin: Any, tmp_path: Path) -> None:
    identifier = stubborn(admin, tmp_path)
    request = execution_pb2.ExecutionTerminateRequest(id=identifier, cause="at once")
    admin.TerminateExecution(request, metadata=(("flightlog-force", "true"),))
    assert get(admin, identifier).closure.phase == WorkflowExecution.ABORTED
    (tmp_path / "let-go").touch()
    eventually(lambda: not runs(tmp_path))


def test_attempt_that_queues_longer_than_its_budget_fails(stack: Any, admin: Any, tmp_path: Path) -> None:
    """Two executions want all cores of the machine; the second one's patience is at an end before the first ends."""
    cores = str(len(os.sched_getaffinity(0)))

    def greedy(number: int, seconds: int) -> identifier_pb2.WorkflowExecutionIdentifier:
        started, let_go = tmp_path / f"started-{number}", tmp_path / f"let-go-{number}"
        registration = chain_of_one(f"{tmp_path.name}-{number}")
        template = registration.task.spec.template
        template.type = "raw-container"
        template.container.image = "none"
        template.container.command.extend(
            ["sh", "-c", f"touch {started}; while ! test -e {let_go}; do sleep 0.02; done; exit 1"]
        )
        template.container.resources.requests.add(name="CPU", value=cores)
        budget = execution_core_pb2.QualityOfService()
        budget.spec.queueing_budget.seconds = seconds
        return create(admin, register(admin, registration), quality_of_service=budget)

    first = greedy(1, 60)
    eventually((tmp_path / "started-1").exists)
    second = finished(admin, greedy(2, 1)).closure
    assert (second.phase, second.error.code) == (WorkflowExecution.FAILED, "RetriesExhausted|QueueingBudgetExceeded")
    assert "queueing budget [1s]" in second.error.message
    assert not (tmp_path / "started-2").exists()
    assert get(admin, first).closure.phase == WorkflowExecution.RUNNING
    admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=first, cause="seen enough"))
    assert finished(admin, first).closure.phase == WorkflowExecution.ABORTED


def test_nodes_are_listed_in_order_with_their_data(
    admin: Any, ended: identifier_pb2.WorkflowExecutionIdentifier
) -> None:
    request = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=ended, limit=100)
    nodes = admin.ListNodeExecutions(request).node_executions
    assert [node.id.node_id for node in nodes] == ["start-node", "n0", "n1", "n2", "end-node"]
    data = admin.GetNodeExecutionData(node_execution_pb2.NodeExecutionGetDataRequest(id=nodes[1].id))
    assert data.full_outputs.literals["o0"] == integer(5)
    tasks = admin.ListTaskExecutions(
        task_execution_pb2.TaskExecutionListRequest(node_execution_id=nodes[1].id, limit=10)
    ).task_executions
    assert [task.closure.metadata.plugin_identifier for task in tasks] == ["echo"]
    assert admin.GetTaskExecution(task_execution_pb2.TaskExecutionGetRequest(id=tasks[0].id)) == tasks[0]


def test_nodes_and_tasks_filter_through_their_execution(
    admin: Any, ended: identifier_pb2.WorkflowExecutionIdentifier
) -> None:
    request = node_execution_pb2.NodeExecutionListRequest(
        workflow_execution_id=ended, limit=100, filters="eq(execution.phase,SUCCEEDED)+eq(node_id,n1)"
    )
    (node,) = admin.ListNodeExecutions(request).node_executions
    request = task_execution_pb2.TaskExecutionListRequest(
        node_execution_id=node.id,
        limit=10,
        filters="eq(execution.phase,SUCCEEDED)+eq(node_execution.phase,SUCCEEDED)+eq(task.name,bench.echo)",
    )
    assert len(admin.ListTaskExecutions(request).task_executions) == 1


def test_children_of_an_unknown_parent_are_not_found(
    admin: Any, ended: identifier_pb2.WorkflowExecutionIdentifier
) -> None:
    request = node_execution_pb2.NodeExecutionListRequest(
        workflow_execution_id=ended, limit=1, unique_parent_id="nothing"
    )
    assert refused(admin.ListNodeExecutions, request).code() == grpc.StatusCode.NOT_FOUND


def test_a_child_is_nested_below_its_parent(admin: Any, launch_plan: identifier_pb2.Identifier) -> None:
    parent = finished(admin, create(admin, launch_plan, execution_cluster_label={"value": "blue"}))
    node = {"node_id": "n0", "execution_id": parent.id}
    child = get(admin, create(admin, launch_plan, metadata={"parent_node_execution": node}))
    assert child.spec.metadata.nesting == 1
    assert child.spec.execution_cluster_label.value == "blue"


def test_relaunch_runs_again_with_the_same_inputs(
    admin: Any, ended: identifier_pb2.WorkflowExecutionIdentifier
) -> None:
    again = admin.RelaunchExecution(execution_pb2.ExecutionRelaunchRequest(id=ended)).id
    execution = finished(admin, again)
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    assert execution.spec.metadata.mode == execution_pb2.ExecutionMetadata.RELAUNCH
    assert execution.spec.metadata.reference_execution == ended


def test_flyte_urls_lead_to_data(channel: grpc.Channel, ended: identifier_pb2.WorkflowExecutionIdentifier) -> None:
    proxy = dataproxy_pb2_grpc.DataProxyServiceStub(channel)
    base = f"flyte://v1/{PROJECT}/{DOMAIN}/{ended.name}/n1"
    assert proxy.GetData(dataproxy_pb2.GetDataRequest(flyte_url=f"{base}/o")).literal_map.literals["o0"] == integer(5)
    assert proxy.GetData(dataproxy_pb2.GetDataRequest(flyte_url=f"{base}/0/o/o0")).literal == integer(5)
    for url, code in (
        (f"{base}/7/o", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{base}/o/nothing", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{base}/0/d", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{base}/d", grpc.StatusCode.NOT_FOUND),
    ):
        assert refused(proxy.GetData, dataproxy_pb2.GetDataRequest(flyte_url=url)).code() == code


def test_large_inputs_are_read_by_address_and_by_url(stack: Any) -> None:
    registration = chain_of_one("text")
    for interface in (registration.task.spec.template.interface, registration.workflow.spec.template.interface):
        for variables in (interface.inputs.variables, interface.outputs.variables):
            for name in variables:
                variables[name].type.simple = types_pb2.STRING
    text = literals_pb2.Literal()
    text.scalar.primitive.string_value = "x" * 5_000_000
    literals = literals_pb2.LiteralMap(literals={"x": text})
    with grpc.insecure_channel(stack.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        request = execution_pb2.ExecutionCreateRequest(
            project=PROJECT,
            domain=DOMAIN,
            spec=execution_pb2.ExecutionSpec(launch_plan=register(admin, registration)),
            inputs=literals,
        )
        identifier = admin.CreateExecution(request).id
        assert finished(admin, identifier).closure.phase == WorkflowExecution.SUCCEEDED
        data = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=identifier))
        assert not data.full_inputs.literals
        assert data.inputs.bytes == literals.ByteSize()
        with urllib.request.urlopen(data.inputs.url) as response:
            assert literals_pb2.LiteralMap.FromString(response.read()) == literals
        proxy = dataproxy_pb2_grpc.DataProxyServiceStub(channel)
        url = f"flyte://v1/{PROJECT}/{DOMAIN}/{identifier.name}/n0/0/o/o0"
        assert proxy.GetData(dataproxy_pb2.GetDataRequest(flyte_url=url)).literal == text


def test_download_location_is_signed_and_works(
    admin: Any, channel: grpc.Channel, ended: identifier_pb2.WorkflowExecutionIdentifier
) -> None:
    proxy = dataproxy_pb2_grpc.DataProxyServiceStub(channel)
    uri = get(admin, ended).closure.outputs.uri
    answer = proxy.CreateDownloadLocation(dataproxy_pb2.CreateDownloadLocationRequest(native_url=uri))
    with urllib.request.urlopen(answer.signed_url) as response:
        assert literals_pb2.LiteralMap.FromString(response.read()).literals["o0"] == integer(5)
    request = dataproxy_pb2.CreateDownloadLocationRequest(native_url=uri)
    request.expires_in.seconds = 7200
    assert refused(proxy.CreateDownloadLocation, request).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_signals_are_none_and_version_is_told(
    admin: Any, channel: grpc.Channel, ended: identifier_pb2.WorkflowExecutionIdentifier
) -> None:
    signals = signal_pb2_grpc.SignalServiceStub(channel)
    assert not signals.ListSignals(signal_pb2.SignalListRequest(workflow_execution_id=ended, limit=5)).signals
    assert admin.GetVersion(version_pb2.GetVersionRequest()).control_plane_version.Version


def test_every_acknowledged_execution_ends_though_the_service_is_killed(own_stack: Any) -> None:
    """kill -9 amid a burst of creates; the service that comes back finishes all that was acknowledged."""
    import os
    import signal

    with grpc.insecure_channel(own_stack.grpc) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        launch_plan = register(admin, chain(4))
        made = [create(admin, launch_plan) for _ in range(30)]
        os.kill(own_stack.pids["execution"], signal.SIGKILL)
        deadline = time.monotonic() + 60
        for identifier in made:
            while True:
                try:
                    assert finished(admin, identifier).closure.phase == WorkflowExecution.SUCCEEDED
                    break
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - it restarts
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
