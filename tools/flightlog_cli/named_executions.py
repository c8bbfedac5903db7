"""Executions by what people call them."""

from flyteidl.admin.common_pb2 import NamedEntityIdentifier, ResourceListRequest
from flyteidl.admin.project_pb2 import ProjectListRequest
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from flightlog_cli.embedded.child import StackError


async def identify(admin: AdminServiceStub, execution: str) -> WorkflowExecutionIdentifier:
    """From `project/domain/name`, or from the name alone where that is enough.

    Raises `StackError` when there is none of that name, or several.
    """
    parts = execution.split("/")
    if len(parts) == 3 and all(parts):
        return WorkflowExecutionIdentifier(project=parts[0], domain=parts[1], name=parts[2])
    if len(parts) != 1 or not execution:
        raise StackError(f"{execution!r} is neither a name nor project/domain/name.")
    found: list[WorkflowExecutionIdentifier] = []
    projects = await admin.ListProjects(ProjectListRequest(limit=1000))
    for project in projects.projects:
        for domain in project.domains:
            where = ResourceListRequest(
                id=NamedEntityIdentifier(project=project.id, domain=domain.id),
                filters=f"eq(execution_name,{execution})+value_in(state,0;1)",
                limit=1,
            )
            found += [listed.id for listed in (await admin.ListExecutions(where)).executions]
    if len(found) > 1:
        names = ", ".join("/".join((one.project, one.domain, one.name)) for one in found)
        raise StackError(f"There are several executions {execution}: {names}. Say which.")
    if not found:
        raise StackError(f"There is no execution {execution}.")
    return found[0]
