"""Which projects there are, and what attributes say about their place in the cluster."""

from __future__ import annotations

from flyteidl.admin.matchable_resource_pb2 import (
    CLUSTER_RESOURCE,
    TASK_RESOURCE,
    ClusterResourceAttributes,
    MatchingAttributes,
)
from flyteidl.admin.project_pb2 import Project

from flightlog_protos.registry.v1.facts_pb2 import (
    AttributesDeleted,
    AttributesUpdated,
    LaunchPlanActivated,
    ProjectRegistered,
    ProjectUpdated,
)
from services.k8s_launcher.kubernetes.cluster_resources.projects import Place, Projects


def registered(*names: str) -> Projects:
    projects = Projects()
    projects.take(ProjectRegistered(project=Project(id=name)) for name in names)
    return projects


def updated(domain: str, **attributes: str) -> AttributesUpdated:
    given = MatchingAttributes(cluster_resource_attributes=ClusterResourceAttributes(attributes=attributes))
    return AttributesUpdated(project="p", domain=domain, resource_type=CLUSTER_RESOURCE, attributes=given)


def test_every_project_has_every_domain() -> None:
    assert registered("q", "p").places(["a", "b"]) == [
        Place("p", "a"),
        Place("p", "b"),
        Place("q", "a"),
        Place("q", "b"),
    ]


def test_archived_projects_have_no_place_until_they_are_active_again() -> None:
    projects = registered("p")
    assert projects.take([ProjectUpdated(project=Project(id="p", state=Project.ARCHIVED))]) == {"p"}
    assert projects.active() == []
    projects.take([ProjectUpdated(project=Project(id="p", state=Project.SYSTEM_ARCHIVED))])
    assert projects.active() == []
    projects.take([ProjectUpdated(project=Project(id="p"))])
    assert projects.active() == ["p"]


def test_the_attributes_of_the_domain_come_before_the_projects_as_a_whole() -> None:
    projects = registered("p")
    assert projects.take([updated("", cpu="1", memory="1Gi"), updated("a", cpu="2")]) == {"p"}
    assert projects.attributes(Place("p", "a")) == {"cpu": "2"}
    assert projects.attributes(Place("p", "b")) == {"cpu": "1", "memory": "1Gi"}
    deleted = AttributesDeleted(project="p", domain="a", resource_type=CLUSTER_RESOURCE)
    assert projects.take([deleted]) == {"p"}
    assert projects.attributes(Place("p", "a")) == {"cpu": "1", "memory": "1Gi"}
    assert projects.attributes(Place("nobody", "a")) == {}


def test_attributes_outlive_changes_of_the_project() -> None:
    projects = registered("p")
    projects.take([updated("a", cpu="2"), ProjectUpdated(project=Project(id="p", name="new"))])
    assert projects.attributes(Place("p", "a")) == {"cpu": "2"}


def test_other_facts_are_of_no_interest() -> None:
    projects = registered("p")
    other = AttributesUpdated(project="p", resource_type=TASK_RESOURCE)
    assert projects.take([other, LaunchPlanActivated()]) == set()
