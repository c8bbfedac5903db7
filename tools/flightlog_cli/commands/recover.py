"""`flightlog recover`: run an execution again without what has succeeded in it, or tell what that would do."""

import asyncio
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import typer
from flyteidl.admin.execution_pb2 import ExecutionRecoverRequest
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_blobs import BlobMissing, BlobStore
from flightlog_cli.access import Access, open_log
from flightlog_cli.admin import open_admin
from flightlog_cli.commands.events import find
from flightlog_cli.recovery import Step, outputs_of, steps
from flightlog_log import Log, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import recovery_plan

_LOOKS_AT_ONCE = 32


async def recover(data: Path, execution: str, *, name: str, dry_run: bool, as_json: bool) -> None:
    """Recover an execution, or print what would be reused. Raises `StackError` when the log has none of that name."""
    access = Access.of(data)
    async with open_log(access) as log:
        subject = await find(log, execution)
        if dry_run:
            blobs = BlobStore.open(access.blobs)
            try:
                plan = await _plan(log, blobs, subject)
                found = steps(plan, await _gone(blobs, outputs_of(plan)))
            finally:
                await blobs.close()
            _print(found, as_json=as_json)
            return
    project, domain, source = subject.parts
    identifier = WorkflowExecutionIdentifier(project=project, domain=domain, name=source)
    async with open_admin(data) as admin:
        made = await admin.RecoverExecution(ExecutionRecoverRequest(id=identifier, name=name))
    typer.echo(json.dumps({"name": made.id.name}) if as_json else f"{made.id.name} recovers {source}.")


async def _plan(log: Log, blobs: BlobStore, subject: Subject) -> facts.RecoveryPlan:
    history = [fact for record in await log.load(subject) for fact in record.facts]
    created = history[0]
    earlier: facts.RecoveryPlan | None = None
    if isinstance(created, facts.ExecutionCreated) and created.HasField("recovery"):
        try:
            earlier = facts.RecoveryPlan.FromString(await blobs.get(created.recovery.uri))
        except BlobMissing:
            earlier = None
    return recovery_plan(history, earlier)


async def _gone(blobs: BlobStore, uris: list[str]) -> set[str]:
    looking = asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def there(uri: str) -> bool:
        async with looking:
            return await blobs.stat(uri) is not None

    found = await asyncio.gather(*map(there, uris))
    return {uri for uri, exists in zip(uris, found, strict=True) if not exists}


def _print(found: list[Step], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(step) for step in found]))
        return
    width = max([4, *(len(step.path) for step in found)])
    for step in found:
        typer.echo(f"{step.path:<{width}}  {step.does:<7}  {step.why}")
    counts = Counter(step.does for step in found)
    typer.echo(
        f"{counts['reused']} reused, {counts['goes on']} go on, {counts['runs']} run again. What never began runs."
    )
