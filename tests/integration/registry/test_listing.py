"""Lists: what was just written is there; filters, order and pages as clients rely on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from flyteidl.admin import common_pb2, launch_plan_pb2, project_pb2
from flyteidl.core import identifier_pb2

Call = Callable[..., Awaitable[Any]]
TASK, WORKFLOW, LAUNCH_PLAN = identifier_pb2.TASK, identifier_pb2.WORKFLOW, identifier_pb2.LAUNCH_PLAN
ASCENDING, DESCENDING = common_pb2.Sort.ASCENDING, common_pb2.Sort.DESCENDING


def versions_of(entities: Any, name: str = "", **fields: Any) -> common_pb2.ResourceListRequest:
    identifier = common_pb2.NamedEntityIdentifier(project=entities.project, domain="development", name=name)
    return common_pb2.ResourceListRequest(**{"id": identifier, "limit": 100, **fields})


def names_of(entities: Any, **fields: Any) -> common_pb2.NamedEntityIdentifierListRequest:
    return common_pb2.NamedEntityIdentifierListRequest(
        **{"project": entities.project, "domain": "development", "limit": 100, **fields}
    )


def sort(key: str, direction: Any) -> common_pb2.Sort:
    return common_pb2.Sort(key=key, direction=direction)


async def refused(answer: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return caught.value


async def test_a_list_right_after_a_create_has_it(call: Call, entities: Any) -> None:
    for number in range(20):
        await call("CreateTask", entities.task("t", f"v{number}"))
        newest = await call("ListTasks", versions_of(entities, "t", limit=1, sort_by=sort("created_at", DESCENDING)))
        assert [task.id.version for task in newest.tasks] == [f"v{number}"]


async def test_pages_follow_one_another_by_offset(call: Call, entities: Any) -> None:
    for number in range(5):
        await call("CreateTask", entities.task(f"t{number}"))
    seen: list[str] = []
    token = ""
    while True:
        page = await call("ListTasks", versions_of(entities, limit=2, token=token))
        seen += [task.id.name for task in page.tasks]
        token = page.token
        if not token:
            break
    assert seen == ["t0", "t1", "t2", "t3", "t4"]
    # flytectl computes tokens itself; past the end there is nothing, without an error.
    assert [task.id.name for task in (await call("ListTasks", versions_of(entities, limit=2, token="3"))).tasks] == [
        "t3",
        "t4",
    ]
    beyond = await call("ListTasks", versions_of(entities, limit=2, token="70"))
    assert (len(beyond.tasks), beyond.token) == (0, "")


async def test_lists_sort_and_filter(call: Call, entities: Any) -> None:
    for name in ("b", "a", "c"):
        await call("CreateTask", entities.task(name))
    descending = await call("ListTasks", versions_of(entities, sort_by=sort("name", DESCENDING)))
    assert [task.id.name for task in descending.tasks] == ["c", "b", "a"]
    some = await call("ListTasks", versions_of(entities, filters="value_in(name,a;c)+eq(version,v1)"))
    assert sorted(task.id.name for task in some.tasks) == ["a", "c"]
    assert not (await call("ListTasks", versions_of(entities, filters="gte(created_at,2100-01-01)"))).tasks
    for filters in ("nonsense", "eq(zz,1)", "eq(launch_plan.name,x)", "zz(name,x)"):
        error = await refused(call("ListTasks", versions_of(entities, filters=filters)))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    error = await refused(call("ListTasks", versions_of(entities, sort_by=sort("zz", ASCENDING))))
    assert error.details() == "invalid sort key 'zz'"


async def test_a_list_without_a_limit_is_refused(call: Call, entities: Any) -> None:
    for method in ("ListTasks", "ListWorkflows", "ListLaunchPlans"):
        assert (await refused(call(method, versions_of(entities, limit=0)))).details() == "invalid value for limit"
    for method in ("ListTaskIds", "ListWorkflowIds", "ListLaunchPlanIds"):
        assert (await refused(call(method, names_of(entities, limit=0)))).details() == "invalid value for limit"


async def test_ids_are_distinct_names(call: Call, entities: Any) -> None:
    for name, version in (("b", "1"), ("a", "1"), ("b", "2"), ("a", "2"), ("c", "1")):
        await call("CreateTask", entities.task(name, version))
    found = await call("ListTaskIds", names_of(entities))
    assert [entity.name for entity in found.entities] == ["b", "a", "c"]
    page = await call("ListTaskIds", names_of(entities, limit=2, sort_by=sort("name", ASCENDING)))
    assert ([entity.name for entity in page.entities], page.token) == (["a", "b"], "2")
    filtered = await call("ListTaskIds", names_of(entities, filters="contains(name,c)"))
    assert [entity.name for entity in filtered.entities] == ["c"]


async def test_listed_workflows_carry_the_interface_alone(call: Call, entities: Any) -> None:
    await call("CreateTask", entities.task("t"))
    await call("CreateWorkflow", entities.workflow("w", "t"))
    (workflow,) = (await call("ListWorkflows", versions_of(entities))).workflows
    template = workflow.closure.compiled_workflow.primary.template
    assert set(template.interface.inputs.variables) == {"a"}
    assert not template.nodes
    assert not workflow.closure.compiled_workflow.tasks
    assert [entity.name for entity in (await call("ListWorkflowIds", names_of(entities))).entities] == ["w"]


async def test_launch_plans_are_listed_whole_by_state_and_by_workflow(call: Call, entities: Any) -> None:
    await call("CreateTask", entities.task("t"))
    for name in ("w1", "w2"):
        await call("CreateWorkflow", entities.workflow(name, "t"))
        await call("CreateLaunchPlan", entities.launch_plan(f"{name}.plan", name))
    first = entities.id(LAUNCH_PLAN, "w1.plan")
    await call("UpdateLaunchPlan", launch_plan_pb2.LaunchPlanUpdateRequest(id=first, state=launch_plan_pb2.ACTIVE))
    active = await call("ListLaunchPlans", versions_of(entities, filters="eq(state,1)"))
    assert [plan.id for plan in active.launch_plans] == [first]
    assert list(active.launch_plans) == [await call("GetLaunchPlan", common_pb2.ObjectGetRequest(id=first))]
    of_second = await call("ListLaunchPlans", versions_of(entities, filters="eq(workflow.name,w2)"))
    assert [plan.id.name for plan in of_second.launch_plans] == ["w2.plan"]


async def test_named_entities_have_a_description_and_a_state(call: Call, entities: Any) -> None:
    for name in ("a", "b"):
        await call("CreateTask", entities.task(name))
    name = common_pb2.NamedEntityIdentifier(project=entities.project, domain="development", name="a")
    fresh = await call("GetNamedEntity", common_pb2.NamedEntityGetRequest(resource_type=TASK, id=name))
    assert (fresh.metadata.description, fresh.metadata.state) == ("", common_pb2.NAMED_ENTITY_ACTIVE)
    archive = common_pb2.NamedEntityUpdateRequest(
        resource_type=TASK,
        id=name,
        metadata=common_pb2.NamedEntityMetadata(description="old\0", state=common_pb2.NAMED_ENTITY_ARCHIVED),
    )
    await call("UpdateNamedEntity", archive)
    archived = await call("GetNamedEntity", common_pb2.NamedEntityGetRequest(resource_type=TASK, id=name))
    assert (archived.metadata.description, archived.metadata.state) == ("old", common_pb2.NAMED_ENTITY_ARCHIVED)
    request = common_pb2.NamedEntityListRequest(
        resource_type=TASK, project=entities.project, domain="development", limit=10, filters="eq(state,0)"
    )
    assert [entity.id.name for entity in (await call("ListNamedEntities", request)).entities] == ["b"]
    request.filters = ""
    request.sort_by.CopyFrom(sort("name", DESCENDING))
    assert [entity.id.name for entity in (await call("ListNamedEntities", request)).entities] == ["b", "a"]


async def test_a_name_without_a_version_cannot_be_updated(call: Call, entities: Any) -> None:
    update = common_pb2.NamedEntityUpdateRequest(
        resource_type=WORKFLOW,
        id=common_pb2.NamedEntityIdentifier(project=entities.project, domain="development", name="none"),
        metadata=common_pb2.NamedEntityMetadata(description="x"),
    )
    assert (await refused(call("UpdateNamedEntity", update))).code() == grpc.StatusCode.NOT_FOUND


async def test_names_made_by_the_server_are_left_out_unless_asked_for(call: Call, entities: Any) -> None:
    await call("CreateTask", entities.task("t"))
    await call("CreateWorkflow", entities.workflow(".flytegen.mine", "t"))
    await call("CreateWorkflow", entities.workflow("w", "t"))
    request = common_pb2.NamedEntityListRequest(
        resource_type=WORKFLOW, project=entities.project, domain="development", limit=10
    )
    assert [entity.id.name for entity in (await call("ListNamedEntities", request)).entities] == ["w"]
    found = await call("ListWorkflowIds", names_of(entities))
    assert {entity.name for entity in found.entities} == {".flytegen.mine", "w"}


async def test_projects_are_listed_with_all_domains_and_without_archived_ones(call: Call) -> None:
    identifier = f"z{uuid4().hex[:10]}"
    project = project_pb2.Project(id=identifier, name="Z", description="last", labels={"values": {"team": "a"}})
    await call("RegisterProject", project_pb2.ProjectRegisterRequest(project=project))
    listed = {one.id: one for one in (await call("ListProjects", project_pb2.ProjectListRequest())).projects}
    assert listed["flytesnacks"].description == "flytesnacks description"
    assert [domain.id for domain in listed[identifier].domains] == ["development", "staging", "production"]
    assert listed[identifier] == await call("GetProject", project_pb2.ProjectGetRequest(id=identifier))
    await call("UpdateProject", project_pb2.Project(id=identifier, state=project_pb2.Project.ARCHIVED))
    after = await call("ListProjects", project_pb2.ProjectListRequest())
    assert identifier not in {one.id for one in after.projects}
    archived = await call(
        "ListProjects", project_pb2.ProjectListRequest(filters=f"eq(state,1)+eq(identifier,{identifier})")
    )
    assert [(one.name, dict(one.labels.values)) for one in archived.projects] == [("Z", {"team": "a"})]
    # flytectl activates by sending the state alone.
    await call("UpdateProject", project_pb2.Project(id=identifier))
    again = await call("GetProject", project_pb2.ProjectGetRequest(id=identifier))
    assert (again.state, again.description) == (project_pb2.Project.ACTIVE, "last")


async def test_domains_are_configuration(call: Call) -> None:
    answer = await call("GetDomains", project_pb2.GetDomainRequest())
    assert [domain.id for domain in answer.domains] == ["development", "staging", "production"]
