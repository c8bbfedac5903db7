"""Decisions of the registry's aggregates: given facts, when a request, then facts or a refusal."""

from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2, launch_plan_pb2, project_pb2
from flyteidl.core import identifier_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.registry.v1 import facts_pb2
from services.registry import domain
from services.registry.refusals import Refusal

NOW = Timestamp(seconds=100)
LATER = Timestamp(seconds=200)


def plan(version: str) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN, project="p", domain="d", name="n", version=version
    )


def project(**fields: object) -> project_pb2.Project:
    return project_pb2.Project(id="p", **fields)  # type: ignore[arg-type]


def registered(**fields: object) -> domain.ProjectState:
    state = domain.fold_project(domain.register_project(None, project(**fields), NOW))
    assert state is not None
    return state


def activation(*facts: Message) -> domain.Activation:
    state = domain.Activation()
    for fact in facts:
        state = domain.evolve_activation(state, fact)
    return state


def test_a_registered_project_is_active_and_keeps_no_domains() -> None:
    state = registered(name="P", domains=[project_pb2.Domain(id="x", name="x")])
    assert state.is_active
    assert not state.project.domains
    assert state.created_at == state.updated_at == NOW


def test_registering_a_project_again_is_already_exists() -> None:
    with pytest.raises(Refusal) as caught:
        domain.register_project(registered(name="P"), project(name="other"), NOW)
    assert caught.value.grpc_code == "ALREADY_EXISTS"
    assert caught.value.message.startswith("value with matching already exists")


def test_updating_an_unknown_project_is_not_found() -> None:
    with pytest.raises(Refusal) as caught:
        domain.update_project(None, project(), NOW)
    assert caught.value.grpc_code == "NOT_FOUND"


def test_an_update_keeps_what_it_does_not_name() -> None:
    before = registered(name="P", description="about", labels={"values": {"a": "b"}})
    (fact,) = domain.update_project(before, project(state=project_pb2.Project.ARCHIVED), LATER)
    after = domain.evolve_project(before, fact)
    assert after is not None
    assert (after.project.name, after.project.description, dict(after.project.labels.values)) == (
        "P",
        "about",
        {"a": "b"},
    )
    assert not after.is_active
    assert (after.created_at, after.updated_at) == (NOW, LATER)


def test_an_update_without_a_state_makes_an_archived_project_active_again() -> None:
    archived = registered(name="P", state=project_pb2.Project.ARCHIVED)
    (fact,) = domain.update_project(archived, project(description="x"), LATER)
    after = domain.evolve_project(archived, fact)
    assert after is not None
    assert after.is_active


def test_an_update_that_changes_nothing_is_no_fact() -> None:
    assert domain.update_project(registered(name="P"), project(name="P"), LATER) == []


def test_activating_a_version_deactivates_the_active_one_in_the_same_decision() -> None:
    before = activation(facts_pb2.LaunchPlanActivated(id=plan("1"), occurred_at=NOW))
    facts = domain.change_activation(before, plan("2"), launch_plan_pb2.ACTIVE, LATER)
    assert [type(fact) for fact in facts] == [facts_pb2.LaunchPlanDeactivated, facts_pb2.LaunchPlanActivated]
    after = before
    for fact in facts:
        after = domain.evolve_activation(after, fact)
    assert after.active == "2"
    assert after.changed == {"1": LATER, "2": LATER}


def test_repeating_a_state_is_no_fact() -> None:
    active = activation(facts_pb2.LaunchPlanActivated(id=plan("1"), occurred_at=NOW))
    assert domain.change_activation(active, plan("1"), launch_plan_pb2.ACTIVE, LATER) == []
    assert domain.change_activation(active, plan("2"), launch_plan_pb2.INACTIVE, LATER) == []
    assert domain.change_activation(domain.Activation(), plan("1"), launch_plan_pb2.INACTIVE, LATER) == []


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        domain.change_activation(domain.Activation(), plan("1"), 7, NOW)
    assert caught.value.grpc_code == "INVALID_ARGUMENT"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 1])), max_size=30))
def test_at_most_one_version_is_ever_active_and_it_is_the_last_one_activated(wishes: list[tuple[str, int]]) -> None:
    state = domain.Activation()
    expected: str | None = None
    for version, target in wishes:
        for fact in domain.change_activation(state, plan(version), target, NOW):
            state = domain.evolve_activation(state, fact)
        if target == launch_plan_pb2.ACTIVE:
            expected = version
        elif expected == version:
            expected = None
        assert state.active == expected


def test_a_named_entity_update_keeps_the_description_but_writes_the_state() -> None:
    before = common_pb2.NamedEntityMetadata(description="about", state=common_pb2.NAMED_ENTITY_ARCHIVED)
    request = common_pb2.NamedEntityUpdateRequest(
        resource_type=identifier_pb2.TASK, metadata=common_pb2.NamedEntityMetadata()
    )
    (fact,) = domain.update_named_entity(before, request, NOW)
    after = domain.evolve_metadata(before, fact)
    assert (after.description, after.state) == ("about", common_pb2.NAMED_ENTITY_ACTIVE)


def test_a_launch_plan_shows_when_its_state_last_changed() -> None:
    fact = facts_pb2.LaunchPlanRegistered(id=plan("1"), created_at=NOW)
    fresh = domain.launch_plan_message(fact, domain.Activation())
    assert (fresh.closure.state, fresh.closure.updated_at) == (launch_plan_pb2.INACTIVE, NOW)
    active = activation(facts_pb2.LaunchPlanActivated(id=plan("1"), occurred_at=LATER))
    shown = domain.launch_plan_message(fact, active)
    assert (shown.closure.state, shown.closure.created_at, shown.closure.updated_at) == (
        launch_plan_pb2.ACTIVE,
        NOW,
        LATER,
    )
