"""Checks of a project (admin-contract §1.7, §6)."""

from flyteidl.admin import project_pb2

from flightlog_types import require_project_id, validate_labels, validation
from flightlog_types.retention import retention_of
from services.registry.refusals import invalid

MAX_NAME = 64
MAX_DESCRIPTION = 300


def check_project(project: project_pb2.Project) -> None:
    """A project to be registered: name, id, labels, sizes, no domains.

    Raises:
        Refusal, InvalidArgument: naming the first thing that is wrong.
    """
    validation.require_text(project.name, "project_name")
    validation.require_text(project.id, "project_id")
    require_project_id(project.id)
    check_project_update(project)


def check_project_update(project: project_pb2.Project) -> None:
    """What an update checks as well; a field that is not given passes.

    Raises:
        Refusal, InvalidArgument: naming the first thing that is wrong.
    """
    validation.require_max_length(project.name, "project_name", MAX_NAME)
    validation.require_max_length(project.description, "project_description", MAX_DESCRIPTION)
    validate_labels(project.labels.values)
    retention_of(project.labels.values, None)
    if project.domains:
        raise invalid(
            "Domains are currently only set system wide. Please retry without domains included in your request."
        )
    if project.state not in project_pb2.Project.ProjectState.values():
        raise invalid("invalid value for state")
