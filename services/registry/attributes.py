"""Decisions about matchable attributes, pure: what a request means for a project, given what is set there so far.

Attributes are part of the project's aggregate: that the project is active is decided in the same append.
"""

from flyteidl.admin.matchable_resource_pb2 import (
    PLUGIN_OVERRIDE,
    MatchableResource,
    MatchingAttributes,
    PluginOverride,
    WorkflowExecutionConfig,
)
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.registry.v1.facts_pb2 import AttributesDeleted, AttributesUpdated
from flightlog_types.matchable import Attributes, Key, Place
from services.registry.domain import ProjectState, inactive_project
from services.registry.refusals import Refusal, invalid, not_found


def update_attributes(
    state: ProjectState | None,
    project: str,
    place: Place,
    resource_type: MatchableResource,
    attributes: MatchingAttributes,
    now: Timestamp,
) -> list[Message]:
    """A row takes the place of the one before; plugin overrides of other task types stay (admin-contract §5.1).

    Raises:
        Refusal: INVALID_ARGUMENT when the project is unknown or archived.
    """
    before = _of_active(state, project, place).get(Key(place, resource_type))
    after = _merged(before, attributes) if before is not None and resource_type == PLUGIN_OVERRIDE else attributes
    if before == after:
        return []
    return [
        AttributesUpdated(
            project=project,
            domain=place.domain,
            workflow=place.workflow,
            resource_type=resource_type,
            attributes=after,
            occurred_at=now,
        )
    ]


def delete_attributes(
    state: ProjectState | None, project: str, place: Place, resource_type: MatchableResource, now: Timestamp
) -> list[Message]:
    """The row of this very place is gone; that there is none is no error (admin-contract §1.8).

    Raises:
        Refusal: INVALID_ARGUMENT when the project is unknown or archived.
    """
    if Key(place, resource_type) not in _of_active(state, project, place):
        return []
    return [
        AttributesDeleted(
            project=project,
            domain=place.domain,
            workflow=place.workflow,
            resource_type=resource_type,
            occurred_at=now,
        )
    ]


def _of_active(state: ProjectState | None, project: str, place: Place) -> Attributes:
    if state is None:
        raise unknown_project(project, place)
    if not state.is_active:
        raise inactive_project(project)
    return state.attributes


def unknown_project(project: str, place: Place) -> Refusal:
    """INVALID_ARGUMENT, in the words of the call: those about domains name the domain too (admin-contract §0.6)."""
    what = f"project [{project}] and domain [{place.domain}] are" if place.domain else f"project [{project}] is"
    return invalid(f"failed to validate that {what} registered, err: [project [{project}] not found]")


def not_set(project: str, place: Place, resource_type: int) -> Refusal:
    """NOT_FOUND: nothing is set; flytectl depends on the code (T94). The words are recorded."""
    known = resource_type in MatchableResource.values()
    kind = MatchableResource.Name(MatchableResource.ValueType(resource_type)) if known else str(resource_type)
    return not_found(
        f"Resource [{{Project:{project} Domain:{place.domain} Workflow:{place.workflow} LaunchPlan: "
        f"ResourceType:{kind}}}] not found"
    )


def _merged(before: MatchingAttributes, after: MatchingAttributes) -> MatchingAttributes:
    overrides: dict[str, PluginOverride] = {}
    for override in (*before.plugin_overrides.overrides, *after.plugin_overrides.overrides):
        overrides[override.task_type] = override
    merged = MatchingAttributes()
    merged.plugin_overrides.SetInParent()
    merged.plugin_overrides.overrides.extend(overrides.values())
    return merged


def with_defaults(config: WorkflowExecutionConfig, max_parallelism: int) -> WorkflowExecutionConfig:
    """A project's execution config as clients are shown it: the platform's values where it has none (T94)."""
    shown = WorkflowExecutionConfig()
    shown.CopyFrom(config)
    if not shown.max_parallelism and max_parallelism > 0:
        shown.max_parallelism = max_parallelism
    return shown
