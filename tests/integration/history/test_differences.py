"""`flightlog diff`: where two runs went different ways, through real flytekit and the public API."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from flyteidl.admin.launch_plan_pb2 import LaunchPlanCreateRequest, LaunchPlanSpec
from flyteidl.admin.workflow_pb2 import WorkflowCreateRequest
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from flytekit.remote import FlyteRemote

from flightlog_cli.stack_process import StackProcess

POLL = timedelta(milliseconds=100)


@pytest.fixture(scope="module")
def runs(remote: FlyteRemote, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> list[str]:
    """Two that succeeded alike, and one of other inputs that failed; the last is of another version."""
    workflow = register(workflow_module("explained").mapping)
    other = _another_version(remote, workflow.id)
    begun = [
        remote.execute(entity, inputs={"xs": xs})
        for entity, xs in ((workflow, [-1, -2]), (workflow, [-1, -2]), (workflow, [-1, 5]), (other, [-1, -2]))
    ]
    for execution in begun:
        remote.wait(execution, timeout=timedelta(seconds=120), poll_interval=POLL)
    return [execution.id.name for execution in begun]


def _another_version(remote: FlyteRemote, identifier: Any) -> Any:
    """The same workflow once more, as another version."""
    again = Identifier()
    again.CopyFrom(identifier.to_flyte_idl())
    found = remote.client.get_workflow(identifier).closure.compiled_workflow.primary.template.to_flyte_idl()
    again.version = found.id.version = "again"
    found.id.CopyFrom(again)
    for node in list(found.nodes):
        if node.id in ("start-node", "end-node"):
            found.nodes.remove(node)
    launch_plan = Identifier()
    launch_plan.CopyFrom(again)
    launch_plan.resource_type = LAUNCH_PLAN
    with grpc.insecure_channel(remote.config.platform.endpoint) as channel:
        admin = AdminServiceStub(channel)
        admin.CreateWorkflow(WorkflowCreateRequest(id=again, spec={"template": found}))
        admin.CreateLaunchPlan(LaunchPlanCreateRequest(id=launch_plan, spec=LaunchPlanSpec(workflow_id=again)))
    return remote.fetch_launch_plan(name=again.name, version="again")


def test_runs_that_went_the_same_way(stack: StackProcess, runs: list[str]) -> None:
    assert stack.cli_json("diff", runs[0], runs[1]) == []
    assert stack.cli("diff", runs[0], runs[1]).stdout == "They went the same way.\n"


def test_failed_against_succeeded(stack: StackProcess, runs: list[str]) -> None:
    found = stack.cli_json("diff", runs[2], f"flytesnacks/development/{runs[0]}")
    by_kind = {(one["kind"], one.get("node", "")): one for one in found}
    inputs = by_kind["input", ""]
    assert (inputs["name"], inputs["before"], inputs["after"], inputs["first"]) == ("xs", "[-1, 5]", "[-1, -2]", True)
    assert (by_kind["phase", ""]["before"], by_kind["phase", ""]["after"]) == ("FAILED", "SUCCEEDED")
    assert "cannot have 5" in by_kind["error", ""]["before"]
    assert by_kind["phase", "n0"]["before"] == "FAILED"
    element = by_kind["phase", "n0/n1"]
    assert (element["before"], element["after"]) == ("FAILED", "SUCCEEDED")
    first = {one.get("node", "") for one in found if one.get("first")}
    assert first == {""}, "all else follows from the other inputs"

    text = stack.cli("diff", runs[2], runs[0]).stdout
    assert runs[0] in text
    assert "input xs" in text
    assert "where they parted" in text


def test_two_versions(stack: StackProcess, runs: list[str]) -> None:
    found = stack.cli_json("diff", runs[0], runs[3])
    assert [(one["kind"], one.get("node", ""), one.get("first", False)) for one in found] == [
        ("workflow", "", True),
        ("launch_plan", "", True),
    ], json.dumps(found)
    assert found[0]["after"].endswith("@again")


def test_deleted_execution_is_an_unknown_one(stack: StackProcess, runs: list[str]) -> None:
    deleted = stack.cli("delete", f"flytesnacks/development/{runs[1]}")
    assert deleted.returncode == 0, deleted.stderr
    result = stack.cli("diff", *(f"flytesnacks/development/{name}" for name in runs[:2]))
    assert result.returncode == 1
    assert "NOT_FOUND" in result.stderr


def test_unknown_execution_is_a_clear_error(stack: StackProcess, runs: list[str]) -> None:
    result = stack.cli("diff", runs[0], "flytesnacks/development/nobody")
    assert result.returncode == 1
    assert "nobody" in result.stderr
    assert "Traceback" not in result.stderr
