"""`flightlog terminate`: abort an execution; by force where what runs for it can no longer be stopped."""

from pathlib import Path

import typer
from flyteidl.admin.execution_pb2 import ExecutionTerminateRequest
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_cli.access import Access, open_log
from flightlog_cli.admin import open_admin
from flightlog_cli.commands.events import find

FORCE = "flightlog-force"
"""Metadata of a TerminateExecution call that does not wait for what runs."""


async def terminate(data: Path, execution: str, *, cause: str, force: bool) -> None:
    """Terminate an execution. Raises `StackError` when it does not exist or is over."""
    async with open_log(Access.of(data)) as log:
        project, domain, name = (await find(log, execution)).parts
    request = ExecutionTerminateRequest(
        id=WorkflowExecutionIdentifier(project=project, domain=domain, name=name), cause=cause
    )
    async with open_admin(data) as admin:
        await admin.TerminateExecution(request, metadata=((FORCE, "true"),) if force else ())
    typer.echo(f"{name} is aborted." if force else f"{name} is being aborted.")
