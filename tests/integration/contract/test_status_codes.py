"""The codes and typed details that clients act on, one raw call each (admin-contract §0.1, §1.5, §8)."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import event_pb2, execution_pb2, project_pb2, signal_pb2, workflow_pb2
from flyteidl.admin.common_pb2 import ObjectGetRequest, ResourceListRequest
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc, signal_pb2_grpc
from grpc_status import rpc_status

from flightlog_bench.workflows import chain
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
        call(request)
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


def test_methods_of_later_releases_say_so(channel: grpc.Channel) -> None:
    signals = signal_pb2_grpc.SignalServiceStub(channel)
    error = refused(signals.GetOrCreateSignal, signal_pb2.SignalGetOrCreateRequest())
    assert error.code() == Code.UNIMPLEMENTED
    assert "GetOrCreateSignal" in error.details()


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
