"""The registry's decisions, pure: what a request means for an aggregate, given what the log says of it so far.

A version of a task, workflow or launch plan is an aggregate of one fact: it is there, or it is not. Three aggregates
have a life: a project, which version of a launch plan is active, and the description and state of a name. Each has a
state, an `evolve…` for one fact and decisions that give facts back; no facts means that nothing changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from flyteidl.admin import common_pb2, launch_plan_pb2, project_pb2
from flyteidl.core import identifier_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.registry.v1 import facts_pb2
from flightlog_types import matchable
from services.registry.refusals import Refusal, already_exists, invalid, not_found

NAMED_RESOURCE_TYPES = (identifier_pb2.TASK, identifier_pb2.WORKFLOW, identifier_pb2.LAUNCH_PLAN)
"""What has names of its own: the kinds that are registered in versions."""


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project as it is now; `domains` is never set in it: they are configuration (admin-contract §0.6)."""

    project: project_pb2.Project
    created_at: Timestamp
    updated_at: Timestamp
    attributes: matchable.Attributes = field(default_factory=lambda: matchable.NONE)
    """What administrators set for it, its domains and workflows."""

    @property
    def is_active(self) -> bool:
        return self.project.state == project_pb2.Project.ACTIVE


def evolve_project(state: ProjectState | None, fact: Message) -> ProjectState | None:
    """The project after one fact; facts of later releases change nothing."""
    if isinstance(fact, facts_pb2.ProjectRegistered):
        return ProjectState(fact.project, fact.created_at, fact.created_at)
    if isinstance(fact, facts_pb2.ProjectUpdated) and state is not None:
        return replace(state, project=fact.project, updated_at=fact.updated_at)
    if state is None:
        return None
    attributes = matchable.evolve(state.attributes, fact)
    return state if attributes is state.attributes else replace(state, attributes=attributes)


def register_project(state: ProjectState | None, project: project_pb2.Project, now: Timestamp) -> list[Message]:
    """A new project. An id that is taken is ALREADY_EXISTS, whatever the rest says (admin-contract §1.7)."""
    if state is not None:
        raise already_exists(f"value with matching already exists (project [{project.id}] is registered)")
    return [facts_pb2.ProjectRegistered(project=_without_domains(project), created_at=now)]


def new_project(identifier: str, name: str, description: str, now: Timestamp) -> list[Message]:
    """A project that configuration asks for."""
    project = project_pb2.Project(id=identifier, name=name, description=description)
    return [facts_pb2.ProjectRegistered(project=project, created_at=now)]


def inactive_project(identifier: str) -> Refusal:
    """What a creation in an archived project is answered with (admin-contract §0.1)."""
    return invalid(f"project [{identifier}] is not active", project_pb2.InactiveProject(id=identifier))


def update_project(state: ProjectState | None, project: project_pb2.Project, now: Timestamp) -> list[Message]:
    """Changes name, description and labels when given, the state always: without one it re-activates (T95)."""
    if state is None:
        raise not_found(f"project [{project.id}] not found")
    merged = project_pb2.Project()
    merged.CopyFrom(state.project)
    merged.state = project.state
    if project.name:
        merged.name = project.name
    if project.description:
        merged.description = project.description
    if project.labels.values:
        merged.labels.CopyFrom(project.labels)
    if merged == state.project:
        return []
    return [facts_pb2.ProjectUpdated(project=merged, updated_at=now)]


def destroy_keys(project: str, key_ids: Sequence[str], reason: str, now: Timestamp) -> list[Message]:
    """What was sealed with these keys of a project is to be readable for nobody."""
    return [facts_pb2.KeyDestroyed(project=project, key_ids=key_ids, reason=reason, occurred_at=now)]


def _without_domains(project: project_pb2.Project) -> project_pb2.Project:
    copy = project_pb2.Project()
    copy.CopyFrom(project)
    copy.ClearField("domains")
    return copy


@dataclass(frozen=True, slots=True)
class Activation:
    """Which version of a launch plan name is active, and when each version last changed between active and inactive."""

    active: str | None = None
    changed: Mapping[str, Timestamp] = field(default_factory=lambda: MappingProxyType({}))


def evolve_activation(state: Activation, fact: Message) -> Activation:
    """The activation after one fact."""
    if isinstance(fact, facts_pb2.LaunchPlanActivated):
        return Activation(fact.id.version, _with(state.changed, fact.id.version, fact.occurred_at))
    if isinstance(fact, facts_pb2.LaunchPlanDeactivated):
        active = None if state.active == fact.id.version else state.active
        return Activation(active, _with(state.changed, fact.id.version, fact.occurred_at))
    return state


def change_activation(
    state: Activation, launch_plan: identifier_pb2.Identifier, target: int, now: Timestamp
) -> list[Message]:
    """Activating a version deactivates the active one in the same decision (T33, T92); repeating changes nothing."""
    if target == launch_plan_pb2.ACTIVE:
        if state.active == launch_plan.version:
            return []
        facts: list[Message] = []
        if state.active is not None:
            before = identifier_pb2.Identifier()
            before.CopyFrom(launch_plan)
            before.version = state.active
            facts.append(facts_pb2.LaunchPlanDeactivated(id=before, occurred_at=now))
        facts.append(facts_pb2.LaunchPlanActivated(id=launch_plan, occurred_at=now))
        return facts
    if target == launch_plan_pb2.INACTIVE:
        if state.active != launch_plan.version:
            return []
        return [facts_pb2.LaunchPlanDeactivated(id=launch_plan, occurred_at=now)]
    raise invalid(f"unrecognized launch plan state {target}: expected ACTIVE or INACTIVE")


def _with(changed: Mapping[str, Timestamp], version: str, at: Timestamp) -> Mapping[str, Timestamp]:
    return MappingProxyType({**changed, version: at})


def evolve_metadata(state: common_pb2.NamedEntityMetadata, fact: Message) -> common_pb2.NamedEntityMetadata:
    """Description and state of a name after one fact."""
    return fact.metadata if isinstance(fact, facts_pb2.NamedEntityUpdated) else state


def update_named_entity(
    state: common_pb2.NamedEntityMetadata, request: common_pb2.NamedEntityUpdateRequest, now: Timestamp
) -> list[Message]:
    """An empty description keeps the stored one, the state is always written (admin-contract §1.9)."""
    merged = common_pb2.NamedEntityMetadata(
        description=request.metadata.description or state.description, state=request.metadata.state
    )
    if merged == state:
        return []
    return [
        facts_pb2.NamedEntityUpdated(
            resource_type=request.resource_type, id=request.id, metadata=merged, occurred_at=now
        )
    ]


def launch_plan_message(fact: facts_pb2.LaunchPlanRegistered, activation: Activation) -> launch_plan_pb2.LaunchPlan:
    """The launch plan in its present state; a version never activated was last updated when it was created."""
    version = fact.id.version
    return launch_plan_pb2.LaunchPlan(
        id=fact.id,
        spec=fact.spec,
        closure=launch_plan_pb2.LaunchPlanClosure(
            state=launch_plan_pb2.ACTIVE if activation.active == version else launch_plan_pb2.INACTIVE,
            expected_inputs=fact.expected_inputs,
            expected_outputs=fact.expected_outputs,
            created_at=fact.created_at,
            updated_at=activation.changed.get(version, fact.created_at),
        ),
    )


def fold_project(facts: Iterable[Message]) -> ProjectState | None:
    """The project that `facts` make."""
    state: ProjectState | None = None
    for fact in facts:
        state = evolve_project(state, fact)
    return state


def of_type(
    identifier: identifier_pb2.Identifier, resource_type: identifier_pb2.ResourceType
) -> identifier_pb2.Identifier:
    """The same identifier with another resource type."""
    copy = identifier_pb2.Identifier()
    copy.CopyFrom(identifier)
    copy.resource_type = resource_type
    return copy
