"""`flightlog backfill`: ticks of a range, run for the first time or again."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import typer
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN
from rich.console import Console
from rich.table import Table

from flightlog_cli.admin import open_service
from flightlog_cli.commands.schedules import SERVICE, document, find, local, ticks_table
from flightlog_cli.embedded.child import StackError
from flightlog_protos.scheduler.v1.schedule_service_pb2 import (
    Backfill,
    CancelBackfillRequest,
    CreateBackfillRequest,
    GetBackfillRequest,
    ListBackfillsRequest,
    Tick,
)

_PAGE = 500


class Wanted(NamedTuple):
    """What the options of `create` say."""

    launch_plan: str
    version: str
    begin: datetime
    end: datetime
    parallelism: int
    reverse: bool
    overwrite: bool
    stop_on_failure: bool
    id: str


async def created(data: Path, wanted: Wanted, *, as_json: bool) -> None:
    """Create a backfill."""
    async with open_service(data, SERVICE) as service:
        name = await find(service, wanted.launch_plan)
        request = CreateBackfillRequest(
            reverse=wanted.reverse,
            parallelism=wanted.parallelism,
            overwrite=wanted.overwrite,
            id=wanted.id,
            stop_on_failure=wanted.stop_on_failure,
        )
        plan = request.launch_plan
        plan.resource_type, plan.version = LAUNCH_PLAN, wanted.version
        plan.project, plan.domain, plan.name = name.project, name.domain, name.name
        getattr(request, "from").FromDatetime(wanted.begin.astimezone(UTC))
        request.to.FromDatetime(wanted.end.astimezone(UTC))
        backfill: Backfill = (await service.CreateBackfill(request)).backfill
    if as_json:
        typer.echo(json.dumps(document(backfill), ensure_ascii=False))
    else:
        typer.echo(
            f"Backfill {backfill.id}: {_progress(backfill)}. `flightlog backfill show {backfill.id}` follows it."
        )


async def listed(data: Path, project: str, domain: str, *, limit: int, as_json: bool) -> None:
    """Print backfills."""
    async with open_service(data, SERVICE) as service:
        found = await _backfills(service, project, domain, limit)
    if as_json:
        typer.echo(json.dumps([document(one) for one in found], ensure_ascii=False))
    elif not found:
        typer.echo("No backfills.")
    else:
        Console().print(_table(found))


async def shown(data: Path, text: str, *, as_json: bool) -> None:
    """Print one backfill with its ticks."""
    async with open_service(data, SERVICE) as service:
        place = await _find(service, text)
        ticks: list[Tick] = []
        token = ""
        while True:
            page = await service.GetBackfill(GetBackfillRequest(**place, limit=_PAGE, token=token))
            ticks.extend(page.ticks)
            token = page.token
            if not token:
                break
    backfill: Backfill = page.backfill
    if as_json:
        found = document(backfill)
        found["ticks"] = [document(tick) for tick in ticks]
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for key, value in _properties(backfill):
        console.print(f"{key + ':':<12} {value}", markup=False, soft_wrap=True)
    if ticks:
        console.print()
        console.print(ticks_table(ticks))


async def cancelled(data: Path, text: str, *, reason: str, terminate: bool) -> None:
    """Cancel a backfill."""
    async with open_service(data, SERVICE) as service:
        place = await _find(service, text)
        request = CancelBackfillRequest(**place, reason=reason, terminate=terminate)
        backfill: Backfill = (await service.CancelBackfill(request)).backfill
    typer.echo(f"Backfill {backfill.id}: {_progress(backfill)}.")


async def _backfills(service: Any, project: str, domain: str, limit: int) -> list[Backfill]:
    found: list[Backfill] = []
    token = ""
    while len(found) < limit:
        size = min(_PAGE, limit - len(found))
        page = await service.ListBackfills(
            ListBackfillsRequest(project=project, domain=domain, limit=size, token=token)
        )
        found.extend(page.backfills)
        token = page.token
        if not token:
            break
    return found


async def _find(service: Any, text: str) -> dict[str, str]:
    """The backfill that `id` or `project/domain/id` means. Raises `StackError` unless that is one."""
    parts = text.split("/")
    if len(parts) == 3 and all(parts):
        return {"project": parts[0], "domain": parts[1], "id": parts[2]}
    found = [one for one in await _backfills(service, "", "", 100_000) if one.id == text]
    if len(found) == 1:
        return {"project": found[0].project, "domain": found[0].domain, "id": text}
    if not found:
        raise StackError(f"There is no backfill {text}.")
    places = ", ".join(f"{one.project}/{one.domain}/{one.id}" for one in found)
    raise StackError(f"{text} is ambiguous: {places}")


def _progress(backfill: Backfill) -> str:
    over = backfill.succeeded + backfill.failed + backfill.skipped
    return f"{backfill.state}, {over} of {backfill.total} ticks are over"


def _table(found: Iterable[Backfill]) -> Table:
    table = Table(box=None, pad_edge=False)
    numbers = ("ticks", "running", "succeeded", "failed", "skipped")
    for name in ("backfill", "launch plan", "version", "from", "to", "state", *numbers):
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for one in found:
        table.add_row(
            one.id,
            f"{one.project}/{one.domain}/{one.launch_plan.name}",
            one.launch_plan.version,
            local(getattr(one, "from")),
            local(one.to),
            one.state,
            *(str(count) for count in (one.total, one.running, one.succeeded, one.failed, one.skipped)),
        )
    return table


def _properties(backfill: Backfill) -> Iterable[tuple[str, str]]:
    plan = backfill.launch_plan
    yield "backfill", f"{backfill.project}/{backfill.domain}/{backfill.id}"
    yield "launch plan", f"{plan.name} {plan.version}"
    yield "range", f"{local(getattr(backfill, 'from'))} up to {local(backfill.to)}"
    order = "newest first" if backfill.reverse else "oldest first"
    yield "order", f"{order}, {backfill.parallelism} at once" + (", overwriting" if backfill.overwrite else "")
    yield "state", _progress(backfill)
    if backfill.cancel_reason:
        yield "cancelled", backfill.cancel_reason
    yield (
        "runs",
        f"{backfill.running} running, {backfill.succeeded} succeeded, {backfill.failed} failed, "
        f"{backfill.skipped} had run already",
    )
