"""The codes and typed details that clients act on, one raw call each (admin-contract §0.1, §1.5, §8)."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import event_pb2, execution_pb2, launch_plan_pb2, project_pb2, workflow_pb2
from flyteidl.admin.common_pb2 import ObjectGetRequest, ResourceListRequest
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc
from grpc_status import rpc_status

from flightlog_bench.workflows import chain
from flightlog_cli.stack_process import StackProcess
from flightlog_rpc import METHODS

Code = grpc.StatusCode
Phase = core_execution_pb2.WorkflowExecution
ENDED = {Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT}


@pytest.fixture(scope="module")
def channel(stack: Any) -> Any:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def admin(channel: grpc.Channel) -> Any:
    return admin_pb2_grpc.AdminServiceStub(channel)


@pytest.fixture(scope="module")
def registered(admin: Any) -> Any:
    """A registered chain of two echo nodes."""
    registration = chain(2)
    for call, request in (
        (admin.CreateTask, registration.task),
        (admin.CreateWorkflow, registration.workflow),
        (admin.CreateLaunchPlan, registration.launch_plan),
    ):
        try:
            call(request)
        except grpc.RpcError as error:  # other modules of the same stack may have registered the same
            if error.code() != Code.ALREADY_EXISTS:
                raise
    return registration


def refused(call: Any, request: Any, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, **options)
    return caught.value


def detail(error: Any, kind: type) -> Any:
    """The one typed detail of that kind; fails when the trailing status carries none."""
    status = rpc_status.from_call(error)
    assert status is not None
    (packed,) = status.details
    message = kind()
    assert packed.Unpack(message)
    return message


def create(admin: Any, plan: identifier_pb2.Identifier, name: str) -> Any:
    request = execution_pb2.ExecutionCreateRequest(
        project=plan.project,
        domain=plan.domain,
        name=name,
        spec={"launch_plan": plan, "metadata": {}},
        inputs={"literals": {"x": {"scalar": {"primitive": {"integer": 1}}}}},
    )
    return admin.CreateExecution(request).id


def finished(admin: Any, identifier: Any) -> Any:
    request = execution_pb2.WorkflowExecutionGetRequest(id=identifier)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        execution = admin.GetExecution(request)
        if execution.closure.phase in ENDED:
            return execution
    pytest.fail("the execution never ended")


def test_ok_and_read_your_writes(admin: Any, registered: Any) -> None:
    identifier = create(admin, registered.launch_plan_id, f"e{uuid4().hex[:12]}")
    assert admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier)).id == identifier
    listed = admin.ListExecutions(
        ResourceListRequest(
            id={"project": identifier.project, "domain": identifier.domain},
            limit=1,
            filters=f"eq(execution_name,{identifier.name})",
        )
    )
    assert [execution.id for execution in listed.executions] == [identifier]


def test_terminating_what_has_ended_is_failed_precondition_with_its_phase(admin: Any, registered: Any) -> None:
    identifier = create(admin, registered.launch_plan_id, f"e{uuid4().hex[:12]}")
    done = finished(admin, identifier)
    error = refused(admin.TerminateExecution, execution_pb2.ExecutionTerminateRequest(id=identifier, cause="late"))
    assert error.code() == Code.FAILED_PRECONDITION
    reason = detail(error, event_pb2.EventFailureReason)
    assert reason.already_in_terminal_state.current_phase == Phase.Phase.Name(done.closure.phase)


def test_registering_a_workflow_again_says_whether_it_is_the_same(admin: Any, registered: Any) -> None:
    error = refused(admin.CreateWorkflow, registered.workflow)
    assert error.code() == Code.ALREADY_EXISTS
    same = detail(error, workflow_pb2.CreateWorkflowFailureReason)
    assert same.exists_identical_structure.id == registered.workflow.id
    changed = workflow_pb2.WorkflowCreateRequest()
    changed.CopyFrom(registered.workflow)
    changed.spec.template.nodes[0].metadata.name = "another name"
    error = refused(admin.CreateWorkflow, changed)
    assert error.code() == Code.INVALID_ARGUMENT
    other = detail(error, workflow_pb2.CreateWorkflowFailureReason)
    assert other.exists_different_structure.id == registered.workflow.id


def test_an_archived_project_refuses_with_its_detail(admin: Any, registered: Any) -> None:
    project = f"p{uuid4().hex[:10]}"
    admin.RegisterProject(project_pb2.ProjectRegisterRequest(project={"id": project, "name": project}))
    admin.UpdateProject(project_pb2.Project(id=project, state=project_pb2.Project.ARCHIVED))
    plan = identifier_pb2.Identifier()
    plan.CopyFrom(registered.launch_plan_id)
    request = execution_pb2.ExecutionCreateRequest(
        project=project, domain="development", spec={"launch_plan": plan, "metadata": {}}
    )
    error = refused(admin.CreateExecution, request)
    assert error.code() == Code.INVALID_ARGUMENT
    assert detail(error, project_pb2.InactiveProject).id == project


def test_unknown_things_are_not_found(admin: Any) -> None:
    missing = identifier_pb2.Identifier(
        resource_type=identifier_pb2.WORKFLOW, project="flytesnacks", domain="development", name="no", version="v"
    )
    assert refused(admin.GetWorkflow, ObjectGetRequest(id=missing)).code() == Code.NOT_FOUND


def test_no_version_is_asked_of_a_launch_plan_that_is_not_there(admin: Any) -> None:
    missing = identifier_pb2.Identifier(project="flytesnacks", domain="development", name="no", version="v")
    assert refused(admin.GetLaunchPlan, ObjectGetRequest(id=missing)).code() == Code.NOT_FOUND


def test_methods_of_later_releases_say_so(admin: Any) -> None:
    error = refused(admin.GetExecutionMetrics, execution_pb2.WorkflowExecutionGetMetricsRequest())
    assert error.code() == Code.UNIMPLEMENTED
    assert "GetExecutionMetrics" in error.details()


def test_without_authentication_its_services_are_unimplemented(channel: grpc.Channel) -> None:
    metadata = auth_pb2_grpc.AuthMetadataServiceStub(channel)
    assert (
        refused(metadata.GetPublicClientConfig, auth_pb2.PublicClientAuthConfigRequest()).code() == Code.UNIMPLEMENTED
    )
    assert refused(metadata.GetOAuth2Metadata, auth_pb2.OAuth2MetadataRequest()).code() == Code.UNIMPLEMENTED


def test_an_unknown_method_is_unimplemented_not_unknown(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/flyteidl.service.AdminService/Nonsense", bytes, bytes)
    assert refused(call, b"").code() == Code.UNIMPLEMENTED


NOWHERE = {"project": "flytesnacks", "domain": "development", "name": "nowhere"}
VERSIONED = {**NOWHERE, "version": "v"}
NODE = {"node_id": "n0", "execution_id": NOWHERE}
ATTEMPT = {"node_execution_id": NODE, "task_id": {**VERSIONED, "resource_type": 1}}
LISTED = {"id": NOWHERE, "limit": 1}
NAMES = {"project": "flytesnacks", "domain": "development", "limit": 1}
UPLOAD = {"project": "flytesnacks", "domain": "development"}

# Method, request, code and message ("" where it is not the contract): what needs nothing to be there.
REFUSED: list[tuple[str, dict[str, Any], Any, str]] = [
    ("CreateTask", {}, Code.INVALID_ARGUMENT, "missing id"),
    ("CreateTask", {"id": VERSIONED}, Code.INVALID_ARGUMENT, ""),
    ("CreateTask", {"id": {**VERSIONED, "resource_type": 1}}, Code.INVALID_ARGUMENT, "missing spec"),
    ("GetTask", {"id": VERSIONED}, Code.NOT_FOUND, ""),
    ("GetTask", {"id": {**VERSIONED, "name": "n" * 3000}}, Code.NOT_FOUND, ""),
    ("GetTask", {"id": NOWHERE}, Code.INVALID_ARGUMENT, "missing version"),
    ("CreateWorkflow", {"id": {**VERSIONED, "resource_type": 2}}, Code.INVALID_ARGUMENT, "missing spec"),
    ("GetWorkflow", {"id": VERSIONED}, Code.NOT_FOUND, ""),
    ("CreateLaunchPlan", {"id": {**VERSIONED, "resource_type": 3}}, Code.INVALID_ARGUMENT, "missing spec"),
    (
        "CreateLaunchPlan",
        {"id": {**VERSIONED, "resource_type": 3}, "spec": {"workflow_id": {**VERSIONED, "resource_type": 2}}},
        Code.NOT_FOUND,
        "",
    ),
    ("GetLaunchPlan", {"id": VERSIONED}, Code.NOT_FOUND, ""),
    ("GetActiveLaunchPlan", {"id": NOWHERE}, Code.NOT_FOUND, ""),
    ("GetActiveLaunchPlan", {}, Code.INVALID_ARGUMENT, ""),
    ("UpdateLaunchPlan", {"id": VERSIONED, "state": 1}, Code.NOT_FOUND, ""),
    ("RegisterProject", {}, Code.INVALID_ARGUMENT, "missing project"),
    ("RegisterProject", {"project": {"id": "x"}}, Code.INVALID_ARGUMENT, "missing project_name"),
    ("RegisterProject", {"project": {"id": "flytesnacks", "name": "again"}}, Code.ALREADY_EXISTS, ""),
    ("UpdateProject", {"id": "nowhere"}, Code.NOT_FOUND, "project [nowhere] not found"),
    ("UpdateProject", {"id": "flytesnacks", "name": "n" * 65}, Code.INVALID_ARGUMENT, ""),
    ("GetProject", {"id": "nowhere"}, Code.NOT_FOUND, "project [nowhere] not found"),
    ("GetNamedEntity", {"resource_type": 1, "id": NOWHERE}, Code.NOT_FOUND, "entry not found"),
    ("GetNamedEntity", {"id": NOWHERE}, Code.INVALID_ARGUMENT, "invalid value for resource_type"),
    ("UpdateNamedEntity", {"resource_type": 1, "id": NOWHERE, "metadata": {}}, Code.NOT_FOUND, ""),
    ("UpdateNamedEntity", {"resource_type": 1, "id": NOWHERE}, Code.INVALID_ARGUMENT, "missing metadata"),
    ("ListNamedEntities", {**NAMES}, Code.INVALID_ARGUMENT, "invalid value for resource_type"),
    ("ListNamedEntities", {**NAMES, "resource_type": 4}, Code.INVALID_ARGUMENT, "invalid value for resource_type"),
    ("GetDescriptionEntity", {"id": VERSIONED}, Code.NOT_FOUND, ""),
    ("GetDescriptionEntity", {"id": {**VERSIONED, "resource_type": 3}}, Code.NOT_FOUND, ""),
    (
        "ListDescriptionEntities",
        {"resource_type": 1, "id": {**NOWHERE, "name": ""}, "limit": 1},
        Code.INVALID_ARGUMENT,
        "missing name",
    ),
    ("CreateUploadLocation", {}, Code.INVALID_ARGUMENT, "project and domain are required parameters"),
    ("CreateUploadLocation", UPLOAD, Code.INVALID_ARGUMENT, "content_md5 or filename_root is a required parameter"),
    (
        "CreateUploadLocation",
        {**UPLOAD, "filename_root": "r", "expires_in": {"seconds": 3601}},
        Code.INVALID_ARGUMENT,
        "",
    ),
    ("CreateExecution", {}, Code.INVALID_ARGUMENT, "missing project"),
    (
        "CreateExecution",
        {**UPLOAD, "spec": {"launch_plan": {**VERSIONED, "resource_type": 3}}},
        Code.NOT_FOUND,
        "",
    ),
    (
        "CreateExecution",
        {
            **UPLOAD,
            "spec": {
                "launch_plan": {**VERSIONED, "resource_type": 3},
                "notifications": {"notifications": [{"phases": [4], "email": {}}]},
            },
        },
        Code.INVALID_ARGUMENT,
        "missing recipients",
    ),
    ("RelaunchExecution", {}, Code.INVALID_ARGUMENT, "missing id"),
    ("RelaunchExecution", {"id": NOWHERE}, Code.NOT_FOUND, ""),
    ("GetExecution", {"id": {**NOWHERE, "name": ""}}, Code.INVALID_ARGUMENT, "missing name"),
    ("GetExecution", {"id": NOWHERE}, Code.NOT_FOUND, ""),
    ("UpdateExecution", {"id": NOWHERE}, Code.NOT_FOUND, ""),
    ("GetExecutionData", {"id": NOWHERE}, Code.NOT_FOUND, ""),
    ("TerminateExecution", {"id": NOWHERE}, Code.NOT_FOUND, ""),
    ("GetNodeExecution", {"id": NODE}, Code.NOT_FOUND, ""),
    ("GetNodeExecution", {}, Code.INVALID_ARGUMENT, "missing id"),
    ("GetDynamicNodeWorkflow", {"id": NODE}, Code.NOT_FOUND, ""),
    ("GetNodeExecutionData", {"id": NODE}, Code.NOT_FOUND, ""),
    (
        "ListNodeExecutions",
        {"workflow_execution_id": NOWHERE, "limit": 1, "unique_parent_id": "n0"},
        Code.NOT_FOUND,
        "",
    ),
    ("ListNodeExecutionsForTask", {"task_execution_id": ATTEMPT, "limit": 1}, Code.NOT_FOUND, ""),
    ("GetTaskExecution", {"id": ATTEMPT}, Code.NOT_FOUND, ""),
    ("GetTaskExecutionData", {"id": ATTEMPT}, Code.NOT_FOUND, ""),
    ("ListTaskExecutions", {"node_execution_id": NODE}, Code.INVALID_ARGUMENT, "invalid value for limit"),
    ("CreateDownloadLocation", {}, Code.INVALID_ARGUMENT, ""),
    (
        "CreateDownloadLocation",
        {"native_url": "s3://flightlog/x", "expires_in": {"seconds": -1}},
        Code.INVALID_ARGUMENT,
        "",
    ),
    (
        "CreateDownloadLocation",
        {"native_url": "s3://flightlog/x", "expires_in": {"seconds": 3601}},
        Code.INVALID_ARGUMENT,
        "",
    ),
    ("CreateDownloadLink", {"node_execution_id": NODE}, Code.INVALID_ARGUMENT, ""),
    ("CreateDownloadLink", {"artifact_type": 1}, Code.INVALID_ARGUMENT, ""),
    ("CreateDownloadLink", {"artifact_type": 1, "node_execution_id": NODE}, Code.INVALID_ARGUMENT, ""),
    ("GetData", {"flyte_url": "flyte://v1/flytesnacks/development/nowhere/n0/o"}, Code.NOT_FOUND, ""),
    ("GetData", {"flyte_url": "flyte://v1/flytesnacks/development/nowhere/n0/0/d"}, Code.INVALID_ARGUMENT, ""),
    ("ListSignals", {"limit": 1}, Code.INVALID_ARGUMENT, ""),
    ("ListSignals", {"workflow_execution_id": NOWHERE}, Code.INVALID_ARGUMENT, "invalid value for limit"),
    ("ListSignals", {"workflow_execution_id": NOWHERE, "limit": 1, "filters": "eq(zz,1)"}, Code.INVALID_ARGUMENT, ""),
]


def called(channel: grpc.Channel, name: str, fields: dict[str, Any]) -> Any:
    """The response of a method that is named without its service."""
    full = next(full for full in METHODS if full.endswith(f"/{name}"))
    method = METHODS[full]
    call = channel.unary_unary(full, method.request.SerializeToString, method.response.FromString)
    return call(method.request(**fields), timeout=30)


@pytest.mark.parametrize(
    ("name", "fields", "code", "message"), REFUSED, ids=[f"{i}-{one[0]}" for i, one in enumerate(REFUSED)]
)
def test_a_refusal_has_its_code(
    name: str, fields: dict[str, Any], code: Any, message: str, channel: grpc.Channel
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        called(channel, name, fields)
    error: Any = caught.value
    assert error.code() == code, error.details()
    if message:
        assert error.details() == message


LISTS: list[tuple[str, dict[str, Any]]] = [
    ("ListTasks", LISTED),
    ("ListWorkflows", LISTED),
    ("ListLaunchPlans", LISTED),
    ("ListExecutions", LISTED),
    ("ListTaskIds", NAMES),
    ("ListWorkflowIds", NAMES),
    ("ListLaunchPlanIds", NAMES),
    ("ListActiveLaunchPlans", NAMES),
    ("ListNamedEntities", {**NAMES, "resource_type": 2}),
    ("ListDescriptionEntities", {**LISTED, "resource_type": 1}),
    ("ListProjects", {"limit": 1}),
    ("ListNodeExecutions", {"workflow_execution_id": NOWHERE, "limit": 1}),
    ("ListTaskExecutions", {"node_execution_id": NODE, "limit": 1}),
    ("ListSignals", {"workflow_execution_id": NOWHERE, "limit": 1}),
]


@pytest.mark.parametrize(("name", "fields"), LISTS, ids=[name for name, _ in LISTS])
def test_lists_refuse_what_is_no_page_no_order_and_no_filter(
    name: str, fields: dict[str, Any], channel: grpc.Channel
) -> None:
    called(channel, name, fields)
    beyond = called(channel, name, {**fields, "token": "100000"})
    assert not beyond.token
    for token in ("x", "-1", "1.5"):
        message = f"invalid pagination token {token} for {name}"
        assert message_of(channel, name, {**fields, "token": token}) == message
    for key in ("", "zz"):
        assert message_of(channel, name, {**fields, "sort_by": {"key": key}}) == f"invalid sort key '{key}'"
    if name != "ListProjects":  # where no limit means all
        assert message_of(channel, name, {**fields, "limit": 0}) == "invalid value for limit"
    if name != "ListActiveLaunchPlans":  # which has none
        assert message_of(channel, name, {**fields, "filters": "x"}) == "invalid value for filters"
        assert message_of(channel, name, {**fields, "filters": "eq(zz,1)"}).endswith("is invalid filter")
        foreign = "eq(node_execution.phase,RUNNING)" if name != "ListTaskExecutions" else "eq(launch_plan.name,x)"
        if name != "ListNodeExecutions":
            assert "entity is not allowed in filters" in message_of(channel, name, {**fields, "filters": foreign})


def message_of(channel: grpc.Channel, name: str, fields: dict[str, Any]) -> str:
    """The words of an INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError) as caught:
        called(channel, name, fields)
    error: Any = caught.value
    assert error.code() == Code.INVALID_ARGUMENT
    return error.details()


def again(request: Any, **changes: str) -> Any:
    """A copy of a request whose own id has other parts."""
    copy = type(request)()
    copy.CopyFrom(request)
    for part, value in changes.items():
        setattr(copy.id, part, value)
    return copy


def test_a_task_or_launch_plan_that_comes_again_has_no_details(admin: Any, registered: Any) -> None:
    for call, request in ((admin.CreateTask, registered.task), (admin.CreateLaunchPlan, registered.launch_plan)):
        error = refused(call, request)
        assert error.code() == Code.ALREADY_EXISTS
        assert rpc_status.from_call(error) is None
    changed = again(registered.task)
    changed.spec.template.type = "other"
    error = refused(admin.CreateTask, changed)
    assert error.code() == Code.INVALID_ARGUMENT
    assert "- echo \n\t+ other" in error.details()
    assert rpc_status.from_call(error) is None


@pytest.mark.parametrize("part", ["project", "domain", "name", "version"])
def test_a_reference_that_lacks_a_part_is_a_missing_entity(part: str, admin: Any, registered: Any) -> None:
    request = again(registered.workflow, version=f"lacks-{part}")
    setattr(request.spec.template.nodes[0].task_node.reference_id, part, "")
    error = refused(admin.CreateWorkflow, request)
    assert error.code() == Code.INVALID_ARGUMENT
    assert "with err: missing entity of type TASK with identifier" in error.details()


def test_a_launch_plan_has_two_states_only(admin: Any, registered: Any) -> None:
    update = launch_plan_pb2.LaunchPlanUpdateRequest(id=registered.launch_plan_id)
    update.MergeFromString(b"\x10\x07")
    assert refused(admin.UpdateLaunchPlan, update).code() == Code.INVALID_ARGUMENT


def test_an_execution_that_comes_again_exists_archived_or_not(admin: Any, registered: Any) -> None:
    plan = registered.launch_plan_id
    identifier = create(admin, plan, f"e{uuid4().hex[:12]}")
    admin.UpdateExecution(execution_pb2.ExecutionUpdateRequest(id=identifier, state=execution_pb2.EXECUTION_ARCHIVED))
    with pytest.raises(grpc.RpcError) as caught:
        create(admin, plan, identifier.name)
    error: Any = caught.value
    assert error.code() == Code.ALREADY_EXISTS
    relaunch = execution_pb2.ExecutionRelaunchRequest(id=identifier, name=identifier.name)
    assert refused(admin.RelaunchExecution, relaunch).code() == Code.ALREADY_EXISTS


def test_a_child_of_a_node_that_is_not_there_is_not_found(admin: Any, registered: Any) -> None:
    request = execution_pb2.ExecutionCreateRequest(
        project="flytesnacks",
        domain="development",
        spec={"launch_plan": registered.launch_plan_id, "metadata": {"parent_node_execution": NODE}},
        inputs={"literals": {"x": {"scalar": {"primitive": {"integer": 1}}}}},
    )
    assert refused(admin.CreateExecution, request).code() == Code.NOT_FOUND


def test_a_full_launch_plan_skips_what_comes(admin: Any, registered: Any) -> None:
    task = again(registered.task, name="contract.sleep", version=uuid4().hex)
    task.spec.template.type = "container"
    task.spec.template.container.CopyFrom(tasks_pb2.Container(image="none", command=["sleep", "600"]))
    admin.CreateTask(task)
    workflow = again(registered.workflow, name="contract.sleep", version=task.id.version)
    del workflow.spec.template.nodes[1:]
    workflow.spec.template.nodes[0].task_node.reference_id.CopyFrom(task.id)
    workflow.spec.template.outputs[0].binding.promise.node_id = "n0"
    admin.CreateWorkflow(workflow)
    plan = again(registered.launch_plan, name=f"contract.{uuid4().hex}", version="v1")
    plan.spec.workflow_id.CopyFrom(workflow.id)
    plan.spec.concurrency_policy.max = 1
    plan.spec.concurrency_policy.behavior = launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_SKIP
    admin.CreateLaunchPlan(plan)
    first = create(admin, plan.id, f"e{uuid4().hex[:12]}")
    wait_for(admin, first, lambda phase: phase == Phase.RUNNING)
    with pytest.raises(grpc.RpcError) as caught:
        create(admin, plan.id, "")
    error: Any = caught.value
    assert error.code() == Code.ALREADY_EXISTS
    assert error.details() == f"concurrency limit (1) reached for launch plan {plan.id.name}; skipping execution"
    admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=first, cause="room for the next"))
    wait_for(admin, first, lambda phase: phase in ENDED)
    second = create(admin, plan.id, "")
    admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=second, cause="enough"))
    wait_for(admin, second, lambda phase: phase in ENDED)


def wait_for(admin: Any, identifier: Any, reached: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached(admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier)).closure.phase):
        assert time.monotonic() < deadline


def test_the_launch_plan_that_stands_for_a_task_can_be_run(admin: Any, registered: Any) -> None:
    plan = identifier_pb2.Identifier()
    plan.CopyFrom(registered.task.id)
    plan.resource_type = identifier_pb2.LAUNCH_PLAN
    plan.name = f".flytegen.{plan.name}"
    assert admin.GetLaunchPlan(ObjectGetRequest(id=plan)).id == plan
    request = execution_pb2.ExecutionCreateRequest(
        project=plan.project,
        domain=plan.domain,
        spec={"launch_plan": plan, "metadata": {}},
        inputs={"literals": {"a": {"scalar": {"primitive": {"integer": 1}}}}},
    )
    done = finished(admin, admin.CreateExecution(request).id)
    assert (done.closure.phase, done.spec.launch_plan) == (Phase.SUCCEEDED, plan)
    request.spec.launch_plan.name = ".flytegen.nowhere"
    error = refused(admin.CreateExecution, request)
    assert error.code() == Code.NOT_FOUND
    assert "LAUNCH_PLAN" in error.details()


def test_data_of_what_a_run_does_not_have(channel: grpc.Channel, admin: Any, registered: Any) -> None:
    done = finished(admin, create(admin, registered.launch_plan_id, f"e{uuid4().hex[:12]}"))
    node = {"node_id": "n0", "execution_id": done.id}
    url = f"flyte://v1/{done.id.project}/{done.id.domain}/{done.id.name}/n0"
    for name, fields, code in (
        ("CreateDownloadLink", {"artifact_type": 1, "node_execution_id": node}, Code.NOT_FOUND),
        ("GetData", {"flyte_url": f"{url}/d"}, Code.NOT_FOUND),
        ("GetData", {"flyte_url": f"{url}/7/o"}, Code.INVALID_ARGUMENT),
        ("GetData", {"flyte_url": f"{url}/o/nothing"}, Code.INVALID_ARGUMENT),
        ("GetDynamicNodeWorkflow", {"id": node}, Code.NOT_FOUND),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            called(channel, name, fields)
        error: Any = caught.value
        assert error.code() == code, (name, fields)


def test_a_file_that_is_there_is_not_written_over(channel: grpc.Channel) -> None:
    fields = {**UPLOAD, "filename_root": uuid4().hex, "filename": "f"}
    place = called(channel, "CreateUploadLocation", fields)
    with urllib.request.urlopen(urllib.request.Request(place.signed_url, b"1", method="PUT")) as answer:
        assert answer.status == 200
    with pytest.raises(grpc.RpcError) as caught:
        called(channel, "CreateUploadLocation", fields)
    error: Any = caught.value
    assert error.code() == Code.ALREADY_EXISTS


def test_nothing_is_created_in_an_archived_project(admin: Any, registered: Any) -> None:
    project = f"p{uuid4().hex[:10]}"
    admin.RegisterProject(project_pb2.ProjectRegisterRequest(project={"id": project, "name": project}))
    admin.UpdateProject(project_pb2.Project(id=project, state=project_pb2.Project.ARCHIVED))
    for call, request in (
        (admin.CreateTask, registered.task),
        (admin.CreateWorkflow, registered.workflow),
        (admin.CreateLaunchPlan, registered.launch_plan),
    ):
        error = refused(call, again(request, project=project))
        assert (error.code(), error.details()) == (Code.INVALID_ARGUMENT, f"project [{project}] is not active")
        assert detail(error, project_pb2.InactiveProject).id == project


def test_too_much_is_resource_exhausted(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/flyteidl.service.AdminService/GetVersion", bytes, bytes)
    assert refused(call, b"\0" * (65 << 20)).code() == Code.RESOURCE_EXHAUSTED


def test_a_closure_that_is_gone_is_internal(stack: StackProcess, admin: Any, registered: Any) -> None:
    workflow = again(registered.workflow, version=uuid4().hex)
    before = set(stack.data.glob("objects/*/metadata/admin/closures/*"))
    admin.CreateWorkflow(workflow)
    (closure,) = set(stack.data.glob("objects/*/metadata/admin/closures/*")) - before
    content = closure.read_bytes()
    closure.unlink()
    try:
        # A registry that does not have it in memory.
        stack.wait_for_part("registry", after=stack.kill("registry"))
        request = ObjectGetRequest(id=workflow.id)
        deadline = time.monotonic() + 60
        while (error := refused(admin.GetWorkflow, request)).code() == Code.UNAVAILABLE:
            assert time.monotonic() < deadline
        assert error.code() == Code.INTERNAL
    finally:
        closure.write_bytes(content)
