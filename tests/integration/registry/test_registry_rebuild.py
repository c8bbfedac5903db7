"""The tables can be made from the log again, row by row the same, and nothing on the log was indigestible."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from flyteidl.admin import common_pb2, launch_plan_pb2, project_pb2
from flyteidl.core import identifier_pb2

from flightlog_log import Log
from flightlog_read import Database, DatabaseSettings, rebuild
from services.registry.projection.apply import RegistryProjection

Call = Callable[..., Awaitable[Any]]


async def test_rebuilt_tables_are_identical_and_lists_go_on(
    call: Call, entities: Any, registry_log: Log, database_settings: DatabaseSettings
) -> None:
    described = entities.task("t")
    described.spec.description.short_description = "x"
    await call("CreateTask", described)
    await call("CreateWorkflow", entities.workflow("w", "t"))
    for version in ("v1", "v2"):
        await call("CreateLaunchPlan", entities.launch_plan("w", "w", version))
        plan = entities.id(identifier_pb2.LAUNCH_PLAN, "w", version)
        await call("UpdateLaunchPlan", launch_plan_pb2.LaunchPlanUpdateRequest(id=plan, state=launch_plan_pb2.ACTIVE))
    name = common_pb2.NamedEntityIdentifier(project=entities.project, domain="development", name="t")
    await call(
        "UpdateNamedEntity",
        common_pb2.NamedEntityUpdateRequest(
            resource_type=identifier_pb2.TASK, id=name, metadata=common_pb2.NamedEntityMetadata(description="d")
        ),
    )
    await call("UpdateProject", project_pb2.Project(id=entities.project, description="changed"))
    request = common_pb2.ResourceListRequest(
        id=common_pb2.NamedEntityIdentifier(project=entities.project, domain="development"), limit=10
    )
    before = await call("ListLaunchPlans", request)
    database = await Database.connect(database_settings)
    try:
        result = await rebuild(database, registry_log, RegistryProjection())
    finally:
        await database.close()
    assert result.compared_at is not None
    assert result.identical, result
    assert not result.skipped
    assert await call("ListLaunchPlans", request) == before
    await call("CreateTask", entities.task("after"))
    assert [task.id.name for task in (await call("ListTasks", request)).tasks] == ["t", "after"]


async def test_nothing_registered_was_parked(call: Call, registry_log: Log) -> None:
    await call("ListProjects", project_pb2.ProjectListRequest())
    parked = [entry async for entry in registry_log.parked()]
    assert [entry.reason for entry in parked if entry.consumer == "projection-registry"] == []
