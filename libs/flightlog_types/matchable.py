"""Matchable attributes: what administrators set for a project, one of its domains, or a workflow there.

They are facts on the project's aggregate (protos/flightlog/registry/v1/facts.proto). The registry answers them, the
execution service resolves executions by them, the launcher makes namespaces with them: all by the rules here
(admin-contract §5.1).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from flyteidl.admin.matchable_resource_pb2 import (
    CLUSTER_ASSIGNMENT,
    CLUSTER_RESOURCE,
    EXECUTION_CLUSTER_LABEL,
    EXECUTION_QUEUE,
    PLUGIN_OVERRIDE,
    QUALITY_OF_SERVICE_SPECIFICATION,
    TASK_RESOURCE,
    WORKFLOW_EXECUTION_CONFIG,
    MatchableResource,
    MatchingAttributes,
)
from google.protobuf.message import Message

from flightlog_protos.registry.v1.facts_pb2 import AttributesDeleted, AttributesUpdated

KINDS: Final[Mapping[str, MatchableResource]] = {
    "task_resource_attributes": TASK_RESOURCE,
    "cluster_resource_attributes": CLUSTER_RESOURCE,
    "execution_queue_attributes": EXECUTION_QUEUE,
    "execution_cluster_label": EXECUTION_CLUSTER_LABEL,
    "quality_of_service": QUALITY_OF_SERVICE_SPECIFICATION,
    "plugin_overrides": PLUGIN_OVERRIDE,
    "workflow_execution_config": WORKFLOW_EXECUTION_CONFIG,
    "cluster_assignment": CLUSTER_ASSIGNMENT,
}
"""What attributes are about, by the member of `MatchingAttributes` that is set."""


class Place(NamedTuple):
    """What attributes hold for, within a project: all of it, a domain, or a workflow of a domain."""

    domain: str = ""
    workflow: str = ""

    @property
    def priority(self) -> int:
        """Flyte's number of the level: the higher one wins."""
        if self.workflow:
            return 100
        return 10 if self.domain else 5

    def around(self) -> tuple["Place", ...]:
        """This place and those that it lies in, the most specific first."""
        found = (self, Place(self.domain), Place())
        return tuple(dict.fromkeys(found))


class Key(NamedTuple):
    """One row of attributes of a project."""

    place: Place
    resource_type: int


class Found(NamedTuple):
    """Attributes, and what they were set for."""

    place: Place
    attributes: MatchingAttributes


Attributes = Mapping[Key, MatchingAttributes]
"""All that is set within one project."""

NONE: Final[Attributes] = MappingProxyType({})


def evolve(attributes: Attributes, fact: Message) -> Attributes:
    """What is set after one fact; facts about other things change nothing."""
    if isinstance(fact, AttributesUpdated):
        return MappingProxyType({**attributes, key_of(fact): fact.attributes})
    if isinstance(fact, AttributesDeleted):
        gone = key_of(fact)
        return MappingProxyType({key: value for key, value in attributes.items() if key != gone})
    return attributes


def key_of(fact: AttributesUpdated | AttributesDeleted) -> Key:
    """Which row a fact is about."""
    return Key(Place(fact.domain, fact.workflow), fact.resource_type)


def most_specific(attributes: Attributes, resource_type: int, place: Place) -> Found | None:
    """What holds in a place: a row wins whole, nothing is merged between levels."""
    for candidate in place.around():
        found = attributes.get(Key(candidate, resource_type))
        if found is not None:
            return Found(candidate, found)
    return None
