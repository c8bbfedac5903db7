"""Tasks, workflows and launch plans: registered once, found at once, compared when they come again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin import common_pb2, description_entity_pb2, launch_plan_pb2, workflow_pb2
from flyteidl.core import identifier_pb2
from grpc_status import rpc_status

from flightlog_log import Log, Subject

Call = Callable[..., Awaitable[Any]]
TASK, WORKFLOW, LAUNCH_PLAN = identifier_pb2.TASK, identifier_pb2.WORKFLOW, identifier_pb2.LAUNCH_PLAN
Code = grpc.StatusCode


async def refused(answer: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return caught.value


def get(identifier: identifier_pb2.Identifier) -> common_pb2.ObjectGetRequest:
    return common_pb2.ObjectGetRequest(id=identifier)


async def register_all(call: Call, entities: Any) -> None:
    await call("CreateTask", entities.task("t"))
    await call("CreateWorkflow", entities.workflow("w", "t"))
    await call("CreateLaunchPlan", entities.launch_plan("w", "w"))


async def test_a_registered_task_is_read_back_at_once(call: Call, entities: Any) -> None:
    request = entities.task("a.b c/ü-名")
    request.spec.description.short_description = "what it does"
    await call("CreateTask", request)
    task = await call("GetTask", get(request.id))
    assert task.id == request.id
    assert task.closure.compiled_task.template.id == request.id
    assert task.closure.compiled_task.template.container == request.spec.template.container
    assert task.closure.HasField("created_at")
    assert task.short_description == "what it does"


async def test_a_get_without_a_resource_type_finds_the_obvious_kind(call: Call, entities: Any) -> None:
    await register_all(call, entities)
    for method, name in (("GetTask", "t"), ("GetWorkflow", "w"), ("GetLaunchPlan", "w")):
        found = await call(method, get(entities.id(identifier_pb2.UNSPECIFIED, name)))
        assert found.id.name == name
        assert found.id.resource_type != identifier_pb2.UNSPECIFIED


async def test_a_create_without_a_resource_type_is_refused(call: Call, entities: Any) -> None:
    request = entities.task("t")
    request.id.resource_type = identifier_pb2.UNSPECIFIED
    assert (await refused(call("CreateTask", request))).code() == Code.INVALID_ARGUMENT


async def test_of_many_identical_creations_at_once_one_wins_and_the_rest_exist(call: Call, entities: Any) -> None:
    answers = await asyncio.gather(*(call("CreateTask", entities.task("t")) for _ in range(12)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(refusals) == 11
    assert {refusal.code() for refusal in refusals} == {Code.ALREADY_EXISTS}


async def test_of_different_creations_at_once_one_wins_and_the_rest_are_refused(call: Call, entities: Any) -> None:
    requests = [entities.task("t", image=f"img:{number}") for number in range(8)]
    answers = await asyncio.gather(*(call("CreateTask", request) for request in requests), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(refusals) == 7
    assert {refusal.code() for refusal in refusals} == {Code.INVALID_ARGUMENT}
    winner = requests[next(number for number, answer in enumerate(answers) if not isinstance(answer, Exception))]
    stored = await call("GetTask", get(winner.id))
    assert stored.closure.compiled_task.template.container.image == winner.spec.template.container.image


async def test_the_order_of_map_entries_makes_no_difference(call: Call, entities: Any) -> None:
    def request(keys: str) -> Any:
        made = entities.task("t")
        for key in keys:
            made.spec.template.config[key] = key
        return made

    await call("CreateTask", request("abcdefgh"))
    assert (await refused(call("CreateTask", request("hgfedcba")))).code() == Code.ALREADY_EXISTS


async def test_unknown_fields_of_a_newer_client_are_kept(call: Call, entities: Any) -> None:
    request = entities.task("t")
    # Field 500 of the template, a text; the template is field 1 of the spec, which is field 2 of the request.
    newer = request.spec.template.SerializeToString() + b"\xa2\x1f\x03new"
    spec = b"\x0a" + bytes([len(newer) & 0x7F | 0x80, len(newer) >> 7]) + newer
    identifier = request.id.SerializeToString()
    raw = b"\x0a" + bytes([len(identifier)]) + identifier
    raw += b"\x12" + bytes([len(spec) & 0x7F | 0x80, len(spec) >> 7]) + spec
    await call("CreateTask", raw)
    stored = await call("GetTask", get(request.id))
    assert b"\xa2\x1f\x03new" in stored.closure.compiled_task.template.SerializeToString()


async def test_a_workflow_is_compiled_and_read_back_whole(call: Call, entities: Any) -> None:
    await register_all(call, entities)
    found = await call("GetWorkflow", get(entities.id(WORKFLOW, "w")))
    compiled = found.closure.compiled_workflow
    assert [node.id for node in compiled.primary.template.nodes] == ["start-node", "end-node", "n0"]
    assert compiled.primary.connections.downstream["start-node"].ids == ["n0"]
    assert [task.template.id.name for task in compiled.tasks] == ["t"]
    assert compiled.primary.template.id == entities.id(WORKFLOW, "w")


async def test_a_workflow_that_comes_again_says_in_its_details_whether_it_is_the_same(
    call: Call, entities: Any
) -> None:
    await register_all(call, entities)
    request = entities.workflow("w", "t")
    same = await refused(call("CreateWorkflow", request))
    request.spec.template.nodes[0].metadata.name = "other"
    other = await refused(call("CreateWorkflow", request))
    for error, code, case in (
        (same, Code.ALREADY_EXISTS, "exists_identical_structure"),
        (other, Code.INVALID_ARGUMENT, "exists_different_structure"),
    ):
        assert error.code() == code
        status = rpc_status.from_call(error)
        assert status is not None
        reason = workflow_pb2.CreateWorkflowFailureReason()
        assert status.details[0].Unpack(reason)
        assert reason.WhichOneof("reason") == case
        assert getattr(reason, case).id == request.id
    assert "n0" in (other.details() or "") or "other" in (other.details() or "")


async def test_a_workflow_may_use_tasks_of_another_project(call: Call, entities: Any) -> None:
    foreign = entities.task(f"foreign.{entities.project}")
    foreign.id.project = "flytesnacks"
    await call("CreateTask", foreign)
    request = entities.workflow("w", "t")
    request.spec.template.nodes[0].task_node.reference_id.CopyFrom(foreign.id)
    await call("CreateWorkflow", request)


async def test_a_task_is_executable_by_itself_through_generated_entities(call: Call, entities: Any) -> None:
    await call("CreateTask", entities.task("pkg.my_task"))
    workflow = await call("GetWorkflow", get(entities.id(WORKFLOW, ".flytegen.pkg.my_task")))
    (node,) = [node for node in workflow.closure.compiled_workflow.primary.template.nodes if node.HasField("task_node")]
    assert node.id == "pkgmytask"
    plan = await call("GetLaunchPlan", get(entities.id(LAUNCH_PLAN, ".flytegen.pkg.my_task")))
    assert plan.spec.workflow_id == workflow.id
    assert plan.closure.expected_inputs.parameters["a"].required
    missing = await refused(call("GetWorkflow", get(entities.id(WORKFLOW, ".flytegen.nothing"))))
    assert missing.code() == Code.NOT_FOUND


async def test_the_log_holds_what_an_execution_needs(call: Call, entities: Any, registry_log: Log) -> None:
    """The execution service reads these subjects: closures must be there and be what was registered."""
    await register_all(call, entities)
    parts = (entities.project, "development")
    (task,) = (await registry_log.load(Subject.of("REGISTRY", "task", *parts, "t", "v1")))[0].facts
    (plan,) = (await registry_log.load(Subject.of("REGISTRY", "launch_plan", *parts, "w", "v1")))[0].facts
    (workflow,) = (await registry_log.load(Subject.of("REGISTRY", "workflow", *parts, "w", "v1")))[0].facts
    assert "/metadata/admin/closures/" in task.generated_closure.uri
    assert plan.closure == workflow.closure
    assert plan.closure.uri.endswith(plan.closure.sha256.hex())
    record = (await registry_log.load(Subject.of("REGISTRY", "task", *parts, "t", "v1")))[0]
    assert record.envelope.actor.client
    assert not record.envelope.actor.verified


async def test_a_large_task_is_taken_and_read_back(call: Call, entities: Any) -> None:
    request = entities.task("large", args=["x" * 3_000_000])
    await call("CreateTask", request)
    task = await call("GetTask", get(request.id))
    assert task.closure.compiled_task.template.container.args == request.spec.template.container.args


async def test_a_launch_plan_is_completed_and_inactive(call: Call, entities: Any) -> None:
    await register_all(call, entities)
    plan = await call("GetLaunchPlan", get(entities.id(LAUNCH_PLAN, "w")))
    assert plan.spec.default_inputs.parameters["a"].required
    assert plan.closure.expected_inputs == plan.spec.default_inputs
    assert set(plan.closure.expected_outputs.variables) == {"o0"}
    assert plan.closure.state == launch_plan_pb2.INACTIVE
    assert plan.closure.created_at == plan.closure.updated_at


async def test_an_active_launch_plan_that_comes_again_is_the_same(call: Call, entities: Any) -> None:
    await register_all(call, entities)
    update = launch_plan_pb2.LaunchPlanUpdateRequest(id=entities.id(LAUNCH_PLAN, "w"), state=launch_plan_pb2.ACTIVE)
    await call("UpdateLaunchPlan", update)
    again = await refused(call("CreateLaunchPlan", entities.launch_plan("w", "w")))
    assert again.code() == Code.ALREADY_EXISTS


async def test_activating_another_version_leaves_one_active(call: Call, entities: Any) -> None:
    await register_all(call, entities)
    name = common_pb2.NamedEntityIdentifier(project=entities.project, domain="development", name="w")
    active = launch_plan_pb2.ActiveLaunchPlanRequest(id=name)
    assert (await refused(call("GetActiveLaunchPlan", active))).code() == Code.NOT_FOUND
    versions = [f"v{number}" for number in range(2, 8)]
    for version in versions:
        await call("CreateLaunchPlan", entities.launch_plan("w", "w", version))

    async def activate(version: str) -> None:
        # As flytectl does: without a resource type.
        await call(
            "UpdateLaunchPlan",
            launch_plan_pb2.LaunchPlanUpdateRequest(
                id=entities.id(identifier_pb2.UNSPECIFIED, "w", version), state=launch_plan_pb2.ACTIVE
            ),
        )

    await asyncio.gather(*(activate(version) for version in versions))
    now_active = await call("GetActiveLaunchPlan", active)
    listed = await call(
        "ListActiveLaunchPlans",
        launch_plan_pb2.ActiveLaunchPlanListRequest(project=entities.project, domain="development", limit=10),
    )
    assert [plan.id for plan in listed.launch_plans] == [now_active.id]
    states = [
        (await call("GetLaunchPlan", get(entities.id(LAUNCH_PLAN, "w", version)))).closure.state for version in versions
    ]
    assert states.count(launch_plan_pb2.ACTIVE) == 1
    await call(
        "UpdateLaunchPlan",
        launch_plan_pb2.LaunchPlanUpdateRequest(id=now_active.id, state=launch_plan_pb2.INACTIVE),
    )
    assert (await refused(call("GetActiveLaunchPlan", active))).code() == Code.NOT_FOUND


async def test_descriptions_are_kept_with_their_version(call: Call, entities: Any) -> None:
    request = entities.task("t")
    request.spec.description.short_description = "short"
    request.spec.description.long_description.value = "long"
    request.spec.description.source_code.link = "https://example.com"
    await call("CreateTask", request)
    await call("CreateTask", entities.task("t", "v2"))
    found = await call("GetDescriptionEntity", get(entities.id(identifier_pb2.UNSPECIFIED, "t")))
    assert (found.id, found.long_description.value) == (request.id, "long")
    missing = await refused(call("GetDescriptionEntity", get(entities.id(TASK, "t", "v2"))))
    assert missing.code() == Code.NOT_FOUND
    listed = await call(
        "ListDescriptionEntities",
        description_entity_pb2.DescriptionEntityListRequest(
            resource_type=TASK,
            id=common_pb2.NamedEntityIdentifier(project=entities.project, domain="development", name="t"),
            limit=5,
        ),
    )
    assert list(listed.descriptionEntities) == [found]
