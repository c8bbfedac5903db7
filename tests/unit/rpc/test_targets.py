"""Which calls are audited when they are refused, and what they are said to have been about."""

from __future__ import annotations

import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2, project_domain_attributes_pb2, project_pb2, task_pb2
from flyteidl.admin.signal_pb2 import SignalGetOrCreateRequest
from flyteidl.admin.workflow_attributes_pb2 import WorkflowAttributesUpdateRequest
from flyteidl.core.identifier_pb2 import TASK, Identifier, SignalIdentifier, WorkflowExecutionIdentifier
from flyteidl.datacatalog import datacatalog_pb2
from google.protobuf.message import Message

from flightlog_protos.scheduler.v1.schedule_service_pb2 import CancelBackfillRequest
from flightlog_rpc import METHODS
from flightlog_rpc.targets import changes, target_of
from flightlog_types.aggregates import Aggregate

ADMIN = "/flyteidl.service.AdminService/"
READING = (
    "Get",
    "List",
    "Watch",
    "Explain",
    "Diff",
    "Verify",
    "Export",
    "UserInfo",
    "Find",
    "Trace",
    "Preview",
    "CreateDownload",
)


def test_every_method_either_reads_or_changes() -> None:
    """A new method whose name says neither has to be thought about in `targets.py`."""
    for method in METHODS.values():
        reads = method.name.startswith(READING) and not method.name.startswith("GetOr")
        assert changes(method) is not reads, method.full_name


RUN = WorkflowExecutionIdentifier(project="p", domain="d", name="f1")
DATASET = datacatalog_pb2.DatasetID(project="p", domain="d", name="n", version="v")


@pytest.mark.parametrize(
    ("method", "request_", "expected"),
    [
        (
            "CreateTask",
            task_pb2.TaskCreateRequest(
                id=Identifier(resource_type=TASK, project="p", domain="d", name="n", version="v")
            ),
            Aggregate("task", "p", "d", "n", "v"),
        ),
        (
            "CreateExecution",
            execution_pb2.ExecutionCreateRequest(
                project="p",
                domain="d",
                name="f1",
                spec=execution_pb2.ExecutionSpec(launch_plan=Identifier(project="other", name="lp")),
            ),
            Aggregate("execution", "p", "d", "f1"),
        ),
        ("TerminateExecution", execution_pb2.ExecutionTerminateRequest(id=RUN), Aggregate("execution", "p", "d", "f1")),
        (
            "RelaunchExecution",
            execution_pb2.ExecutionRelaunchRequest(id=RUN, name="f2"),
            Aggregate("execution", "p", "d", "f1"),
        ),
        (
            "RegisterProject",
            project_pb2.ProjectRegisterRequest(project=project_pb2.Project(id="p", name="P")),
            Aggregate("project", "p"),
        ),
        ("UpdateProject", project_pb2.Project(id="p", name="P"), Aggregate("project", "p")),
        (
            "UpdateWorkflowAttributes",
            WorkflowAttributesUpdateRequest(attributes={"project": "p", "domain": "d", "workflow": "w"}),  # pyright: ignore[reportArgumentType]
            Aggregate("project", "p", "d", "w"),
        ),
        (
            "DeleteProjectDomainAttributes",
            project_domain_attributes_pb2.ProjectDomainAttributesDeleteRequest(project="p", domain="d"),
            Aggregate("project", "p", "d"),
        ),
        ("CreateTask", task_pb2.TaskCreateRequest(), Aggregate("task")),
        (
            "CreateNodeEvent",
            node_execution_pb2.NodeExecution(id={"execution_id": RUN}),
            Aggregate("execution", "p", "d", "f1"),
        ),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_a_call_was_about(method: str, request_: Message, expected: Aggregate) -> None:
    assert target_of(METHODS[ADMIN + method], request_) == expected


def test_what_calls_of_other_services_were_about() -> None:
    created = datacatalog_pb2.CreateDatasetRequest(dataset=datacatalog_pb2.Dataset(id=DATASET))
    assert target_of(METHODS["/datacatalog.DataCatalog/CreateDataset"], created) == Aggregate(
        "dataset", "p", "d", "n", "v"
    )
    cancelled = CancelBackfillRequest(project="p", domain="d", id="b1")
    method = METHODS["/flightlog.scheduler.v1.ScheduleService/CancelBackfill"]
    assert target_of(method, cancelled) == Aggregate("backfill", "p", "d", "b1")


def test_a_signal_is_its_executions_and_asking_for_one_makes_it() -> None:
    method = METHODS["/flyteidl.service.SignalService/GetOrCreateSignal"]
    request = SignalGetOrCreateRequest(id=SignalIdentifier(signal_id="go", execution_id=RUN))
    assert changes(method)
    assert target_of(method, request) == Aggregate("execution", "p", "d", "f1")


def test_names_that_are_too_long_are_cut() -> None:
    request = execution_pb2.ExecutionTerminateRequest(id=WorkflowExecutionIdentifier(project="p" * 10_000))
    assert len(target_of(METHODS[f"{ADMIN}TerminateExecution"], request).project) == 500
