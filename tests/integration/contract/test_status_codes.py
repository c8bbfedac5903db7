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
