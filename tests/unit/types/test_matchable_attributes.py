"""Which attributes hold where (admin-contract §5.1)."""

from __future__ import annotations

from flyteidl.admin.matchable_resource_pb2 import (
    CLUSTER_RESOURCE,
    TASK_RESOURCE,
    ExecutionClusterLabel,
    MatchableResource,
    MatchingAttributes,
)
from google.protobuf.message import Message

from flightlog_protos.registry.v1.facts_pb2 import AttributesDeleted, AttributesUpdated, ProjectRegistered
from flightlog_types import matchable
from flightlog_types.matchable import Place

PROJECT, DOMAIN, WORKFLOW = Place(), Place("development"), Place("development", "w")


def labelled(text: str) -> MatchingAttributes:
    return MatchingAttributes(execution_cluster_label=ExecutionClusterLabel(value=text))


def updated(place: Place, text: str, kind: MatchableResource = TASK_RESOURCE) -> AttributesUpdated:
    return AttributesUpdated(
        project="p", domain=place.domain, workflow=place.workflow, resource_type=kind, attributes=labelled(text)
    )


def fold(*facts: Message) -> matchable.Attributes:
    attributes = matchable.NONE
    for fact in facts:
        attributes = matchable.evolve(attributes, fact)
    return attributes


def found(attributes: matchable.Attributes, place: Place) -> tuple[Place, str] | None:
    row = matchable.most_specific(attributes, TASK_RESOURCE, place)
    return None if row is None else (row.place, row.attributes.execution_cluster_label.value)


def test_the_most_specific_row_wins_whole() -> None:
    attributes = fold(updated(PROJECT, "project"), updated(WORKFLOW, "workflow"), updated(DOMAIN, "domain"))
    assert found(attributes, WORKFLOW) == (WORKFLOW, "workflow")
    assert found(attributes, Place("development", "other")) == (DOMAIN, "domain")
    assert found(attributes, DOMAIN) == (DOMAIN, "domain")
    assert found(attributes, Place("staging", "w")) == (PROJECT, "project")
    assert found(attributes, PROJECT) == (PROJECT, "project")


def test_nothing_is_taken_from_more_specific_places() -> None:
    assert found(fold(updated(WORKFLOW, "workflow")), DOMAIN) is None
    assert found(fold(updated(DOMAIN, "domain")), PROJECT) is None


def test_resource_types_have_rows_of_their_own() -> None:
    attributes = fold(updated(DOMAIN, "one"), updated(DOMAIN, "other", CLUSTER_RESOURCE))
    assert found(attributes, DOMAIN) == (DOMAIN, "one")
    assert len(attributes) == 2


def test_what_is_updated_is_replaced_and_what_is_deleted_is_gone() -> None:
    attributes = fold(updated(DOMAIN, "one"), updated(DOMAIN, "two"), updated(PROJECT, "project"))
    assert found(attributes, DOMAIN) == (DOMAIN, "two")
    deleted = AttributesDeleted(project="p", domain="development", resource_type=TASK_RESOURCE)
    assert found(matchable.evolve(attributes, deleted), DOMAIN) == (PROJECT, "project")
    assert found(attributes, DOMAIN) == (DOMAIN, "two"), "a fold changes no state that somebody holds"


def test_deleting_what_is_not_there_and_other_facts_change_nothing() -> None:
    attributes = fold(updated(DOMAIN, "one"))
    missing = AttributesDeleted(project="p", domain="staging", resource_type=TASK_RESOURCE)
    assert matchable.evolve(attributes, missing) == attributes
    assert matchable.evolve(attributes, ProjectRegistered()) is attributes


def test_every_member_has_its_resource_type() -> None:
    members = [field.name for field in MatchingAttributes.DESCRIPTOR.oneofs_by_name["target"].fields]
    assert sorted(matchable.KINDS) == sorted(members)
    assert sorted(matchable.KINDS.values()) == sorted(MatchableResource.values())


def test_levels_have_flytes_priorities() -> None:
    assert [place.priority for place in (PROJECT, DOMAIN, WORKFLOW)] == [5, 10, 100]
