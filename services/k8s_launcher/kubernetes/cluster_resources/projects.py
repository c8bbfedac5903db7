"""Which projects there are, and what their attributes say about the cluster: a fold of the registry's facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from flyteidl.admin.matchable_resource_pb2 import CLUSTER_RESOURCE
from flyteidl.admin.project_pb2 import Project
from google.protobuf.message import Message

from flightlog_protos.registry.v1.facts_pb2 import (
    AttributesDeleted,
    AttributesUpdated,
    ProjectRegistered,
    ProjectUpdated,
)
from flightlog_types import matchable

SUBJECTS: Final = "registry.*.project.>"
"""Matches the subjects of all projects."""

_ARCHIVED = frozenset({Project.ARCHIVED, Project.SYSTEM_ARCHIVED})


class Place(NamedTuple):
    """A project and a domain: what has a namespace."""

    project: str
    domain: str


@dataclass(frozen=True)
class _Known:
    active: bool = True
    attributes: matchable.Attributes = field(default_factory=lambda: matchable.NONE)


class Projects:
    """All projects as they are now."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def take(self, facts: Iterable[Message]) -> set[str]:
        """Take in what is new; returns the projects for which something may be different now."""
        changed: set[str] = set()
        for fact in facts:
            if isinstance(fact, ProjectRegistered | ProjectUpdated):
                project = fact.project.id
                before = self._known.get(project, _Known(active=False))
                self._known[project] = replace(before, active=fact.project.state not in _ARCHIVED)
            elif isinstance(fact, AttributesUpdated | AttributesDeleted) and fact.resource_type == CLUSTER_RESOURCE:
                project = fact.project
                before = self._known.get(project, _Known(active=False))
                self._known[project] = replace(before, attributes=matchable.evolve(before.attributes, fact))
            else:
                continue
            changed.add(project)
        return changed

    def active(self) -> list[str]:
        """The projects that are not archived, in order."""
        return sorted(project for project, known in self._known.items() if known.active)

    def places(self, domains: Sequence[str]) -> list[Place]:
        """What has a namespace."""
        return [Place(project, domain) for project in self.active() for domain in domains]

    def attributes(self, place: Place) -> Mapping[str, str]:
        """What the most specific attributes of the kind CLUSTER_RESOURCE say."""
        known = self._known.get(place.project)
        if known is None:
            return {}
        found = matchable.most_specific(known.attributes, CLUSTER_RESOURCE, matchable.Place(place.domain))
        return {} if found is None else dict(found.attributes.cluster_resource_attributes.attributes)
