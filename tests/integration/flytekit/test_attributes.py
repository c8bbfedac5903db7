"""Matchable attributes through the public port: as flytectl sets them, and in what runs afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from flyteidl.admin import matchable_resource_pb2 as resources
from flyteidl.admin import workflow_attributes_pb2 as of_workflow
from flyteidl.service import admin_pb2_grpc

from tests.integration.executions import ended

PLACE = {"project": "flytesnacks", "domain": "development", "workflow": "governed.governed"}
KIND = resources.WORKFLOW_EXECUTION_CONFIG


@pytest.fixture
def admin(stack: Any) -> Iterator[Any]:
    """The public port; the workflow's attributes are gone afterwards."""
    with grpc.insecure_channel(stack.grpc) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        yield stub
        stub.DeleteWorkflowAttributes(of_workflow.WorkflowAttributesDeleteRequest(**PLACE, resource_type=KIND))


def test_what_is_set_for_a_workflow_holds_for_its_next_execution(
    remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any], admin: Any
) -> None:
    governed = register(workflow_module("governed").governed)

    def run() -> Any:
        return ended(remote, remote.execute(governed, inputs={}))

    assert run().outputs["o0"] == ""
    get = of_workflow.WorkflowAttributesGetRequest(**PLACE, resource_type=KIND)
    # flytectl asks first, and makes new attributes when there are none.
    with pytest.raises(grpc.RpcError) as caught:
        admin.GetWorkflowAttributes(get)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
    config = resources.WorkflowExecutionConfig(max_parallelism=3)
    config.envs.values.add(key="GOVERNED_MODE", value="strict")
    attributes = of_workflow.WorkflowAttributes(
        **PLACE, matching_attributes=resources.MatchingAttributes(workflow_execution_config=config)
    )
    admin.UpdateWorkflowAttributes(of_workflow.WorkflowAttributesUpdateRequest(attributes=attributes))
    assert admin.GetWorkflowAttributes(get).attributes == attributes
    listed = admin.ListMatchableAttributes(resources.ListMatchableAttributesRequest(resource_type=KIND))
    assert [row.attributes for row in listed.configurations if row.workflow == PLACE["workflow"]] == [
        attributes.matching_attributes
    ]
    done = run()
    assert done.outputs["o0"] == "strict"
    assert done.spec.max_parallelism == 3
