"""`flightlog delete` and `flightlog shred`: what is gone for good."""

from pathlib import Path

import typer
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_cli.access import Access, open_log
from flightlog_cli.admin import open_service
from flightlog_cli.commands.events import find
from flightlog_protos.history.v1.deletion_pb2 import DeleteExecutionRequest, DestroyKeysRequest

_HISTORY = "flightlog.history.v1.HistoryService"


async def delete(data: Path, execution: str, *, reason: str) -> None:
    """Delete an execution. Raises `StackError` when it does not exist, or is not over."""
    async with open_log(Access.of(data)) as log:
        project, domain, name = (await find(log, execution)).parts
    identifier = WorkflowExecutionIdentifier(project=project, domain=domain, name=name)
    async with open_service(data, _HISTORY) as history:
        await history.DeleteExecution(DeleteExecutionRequest(id=identifier, reason=reason))
    typer.echo(f"{name} is deleted; what it left is being erased.")


async def shred(data: Path, project: str, *, reason: str) -> None:
    """Destroy the keys of a project's personal data. Raises `StackError` when there is no such project."""
    async with open_service(data, _HISTORY) as history:
        answer = await history.DestroyKeys(DestroyKeysRequest(project=project, reason=reason))
    if answer.destroyed:
        keys = "1 key" if answer.destroyed == 1 else f"{answer.destroyed} keys"
        typer.echo(f"{keys} of {project} destroyed; its tables are being made anew without what they opened.")
    else:
        typer.echo(f"{project} has no personal data.")
