"""Decisions about matchable attributes: given what is set, when a request, then facts or a refusal."""

from __future__ import annotations

import pytest
from flyteidl.admin.matchable_resource_pb2 import (
    PLUGIN_OVERRIDE,
    QUALITY_OF_SERVICE_SPECIFICATION,
    TASK_RESOURCE,
    MatchingAttributes,
    PluginOverride,
    PluginOverrides,
    TaskResourceAttributes,
    TaskResourceSpec,
    WorkflowExecutionConfig,
)
from flyteidl.admin.project_pb2 import Project
from flyteidl.core import tasks_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.registry.v1.facts_pb2 import AttributesUpdated
from flightlog_types.matchable import Key, Place
from services.registry import attributes, domain
from services.registry.checks.attributes import limits_by_name, resource_type_of
from services.registry.refusals import Refusal

NOW = Timestamp(seconds=100)
DOMAIN = Place("development")


def resources(**limits: str) -> MatchingAttributes:
    return MatchingAttributes(task_resource_attributes=TaskResourceAttributes(limits=TaskResourceSpec(**limits)))


def overrides(**plugins: str) -> MatchingAttributes:
    listed = [PluginOverride(task_type=task_type, plugin_id=[plugin]) for task_type, plugin in plugins.items()]
    return MatchingAttributes(plugin_overrides=PluginOverrides(overrides=listed))


def project(*facts: Message, state: Project.ProjectState = Project.ACTIVE) -> domain.ProjectState:
    registered = domain.register_project(None, Project(id="p", name="p", state=state), NOW)
    folded = domain.fold_project([*registered, *facts])
    assert folded is not None
    return folded


def update(
    state: domain.ProjectState | None, given: MatchingAttributes, place: Place = DOMAIN, kind: int = TASK_RESOURCE
) -> list[Message]:
    return attributes.update_attributes(state, "p", place, kind, given, NOW)  # type: ignore[arg-type]


def test_an_update_says_what_is_set_and_for_what() -> None:
    (fact,) = update(project(), resources(cpu="2"), Place("development", "w"))
    assert fact == AttributesUpdated(
        project="p",
        domain="development",
        workflow="w",
        resource_type=TASK_RESOURCE,
        attributes=resources(cpu="2"),
        occurred_at=NOW,
    )
    assert project(fact).attributes == {Key(Place("development", "w"), TASK_RESOURCE): resources(cpu="2")}


def test_an_update_replaces_the_row() -> None:
    state = project(*update(project(), resources(cpu="2", memory="1Gi")))
    (fact,) = update(state, resources(cpu="3"))
    assert project(fact).attributes[Key(DOMAIN, TASK_RESOURCE)] == resources(cpu="3")


def test_setting_the_same_again_changes_nothing() -> None:
    assert update(project(*update(project(), resources(cpu="2"))), resources(cpu="2")) == []


def test_plugin_overrides_of_other_task_types_stay() -> None:
    state = project(*update(project(), overrides(spark="one", ray="two"), kind=PLUGIN_OVERRIDE))
    (fact,) = update(state, overrides(ray="three", dask="four"), kind=PLUGIN_OVERRIDE)
    assert isinstance(fact, AttributesUpdated)
    assert fact.attributes == overrides(spark="one", ray="three", dask="four")


def test_attributes_outlive_changes_of_the_project() -> None:
    state = project(*update(project(), resources(cpu="2")))
    (archived,) = domain.update_project(state, Project(id="p", state=Project.ARCHIVED), NOW)
    after = domain.evolve_project(state, archived)
    assert after is not None
    assert after.attributes == state.attributes


def test_deleting_takes_this_row_alone() -> None:
    whole = update(project(), resources(cpu="1"), Place())
    of_domain = update(project(), resources(cpu="2"))
    state = project(*whole, *of_domain)
    facts = attributes.delete_attributes(state, "p", Place(), TASK_RESOURCE, NOW)
    assert list(project(*whole, *of_domain, *facts).attributes) == [Key(DOMAIN, TASK_RESOURCE)]


def test_deleting_what_is_not_set_changes_nothing() -> None:
    assert attributes.delete_attributes(project(), "p", DOMAIN, TASK_RESOURCE, NOW) == []


@pytest.mark.parametrize("state", [None, project(state=Project.ARCHIVED)])
def test_projects_that_are_unknown_or_archived_take_no_attributes(state: domain.ProjectState | None) -> None:
    with pytest.raises(Refusal) as caught:
        update(state, resources(cpu="2"))
    assert caught.value.grpc_code == "INVALID_ARGUMENT"
    with pytest.raises(Refusal):
        attributes.delete_attributes(state, "p", DOMAIN, TASK_RESOURCE, NOW)


def test_the_member_that_is_set_says_what_attributes_are_about() -> None:
    assert resource_type_of(resources(cpu="1"), "p-d") == TASK_RESOURCE
    assert resource_type_of(overrides(), "p-d") == PLUGIN_OVERRIDE
    quality = MatchingAttributes()
    quality.quality_of_service.SetInParent()
    assert resource_type_of(quality, "p-d") == QUALITY_OF_SERVICE_SPECIFICATION
    with pytest.raises(Refusal, match=r"^Unrecognized matching attributes type for request p-d-w$"):
        resource_type_of(MatchingAttributes(), "p-d-w")


def test_amounts_that_are_no_quantities_are_refused() -> None:
    with pytest.raises(Refusal, match=r"^Parsing of memory limit failed for value lots"):
        resource_type_of(resources(memory="lots"), "p-d")


def test_no_amount_and_zero_set_no_limit() -> None:
    names = tasks_pb2.Resources.ResourceName
    assert limits_by_name(TaskResourceSpec(cpu="500m", memory="-1", gpu="0", ephemeral_storage="1Gi", storage="9")) == {
        names.CPU: "500m",
        names.EPHEMERAL_STORAGE: "1Gi",
    }


def test_what_clients_are_shown_is_completed_with_the_platforms_values() -> None:
    assert attributes.with_defaults(WorkflowExecutionConfig(), 25).max_parallelism == 25
    assert attributes.with_defaults(WorkflowExecutionConfig(max_parallelism=3), 25).max_parallelism == 3
    assert attributes.with_defaults(WorkflowExecutionConfig(), 0) == WorkflowExecutionConfig()
