"""`flightlog schedules`: what ticks when, and what became of it."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table

from flightlog_cli.admin import open_service
from flightlog_cli.embedded.child import StackError
from flightlog_protos.scheduler.v1.schedule_service_pb2 import (
    GetScheduleRequest,
    GetScheduleResponse,
    ListSchedulesRequest,
    PauseScheduleRequest,
    ResumeScheduleRequest,
    Schedule,
    ScheduleName,
    Tick,
)
from flightlog_protos.scheduler.v1.schedules_pb2 import CatchUp, Overlap

SERVICE = "flightlog.scheduler.v1.ScheduleService"
_PAGE = 500
_LISTED = 10


async def listed(data: Path, project: str, domain: str, *, limit: int, as_json: bool) -> None:
    """Print schedules."""
    async with open_service(data, SERVICE) as service:
        found = await schedules(service, project, domain, limit)
    if as_json:
        typer.echo(json.dumps([document(one) for one in found], ensure_ascii=False))
    elif not found:
        typer.echo("No launch plan has a schedule. `pyflyte launchplan --activate` starts one.")
    else:
        Console().print(_table(found))


async def shown(data: Path, name: str, *, upcoming: int, past: int, as_json: bool) -> None:
    """Print one schedule with its ticks."""
    async with open_service(data, SERVICE) as service:
        request = GetScheduleRequest(name=await find(service, name), next=upcoming, past=past)
        found: GetScheduleResponse = await service.GetSchedule(request)
    if as_json:
        typer.echo(json.dumps(document(found), ensure_ascii=False))
        return
    console = Console(highlight=False)
    for key, value in _properties(found.schedule):
        console.print(f"{key + ':':<12} {value}", markup=False, soft_wrap=True)
    if found.next:
        console.print("\nnext ticks")
        for due in found.next:
            console.print(f"  {local(due)}")
    if found.past:
        console.print("\npast ticks")
        console.print(ticks_table(found.past))


async def paused(data: Path, name: str, *, reason: str) -> None:
    """Pause a schedule."""
    async with open_service(data, SERVICE) as service:
        key = await find(service, name)
        await service.PauseSchedule(PauseScheduleRequest(name=key, reason=reason))
    typer.echo(f"{key.name} is paused. `flightlog schedules resume` goes on.")


async def resumed(data: Path, name: str) -> None:
    """Resume a schedule."""
    async with open_service(data, SERVICE) as service:
        key = await find(service, name)
        schedule: Schedule = (await service.ResumeSchedule(ResumeScheduleRequest(name=key))).schedule
    upcoming = f"; its next tick is {local(schedule.next_due)}" if schedule.HasField("next_due") else ""
    typer.echo(f"{key.name} goes on{upcoming}.")


async def schedules(service: Any, project: str, domain: str, limit: int) -> list[Schedule]:
    """All schedules of a place, up to a limit."""
    found: list[Schedule] = []
    token = ""
    while len(found) < limit:
        size = min(_PAGE, limit - len(found))
        page = await service.ListSchedules(
            ListSchedulesRequest(project=project, domain=domain, limit=size, token=token)
        )
        found.extend(page.schedules)
        token = page.token
        if not token:
            break
    return found


async def find(service: Any, text: str) -> ScheduleName:
    """The launch plan that `name` or `project/domain/name` means. Raises `StackError` unless that is one."""
    parts = text.split("/")
    if len(parts) == 3 and all(parts):
        return ScheduleName(project=parts[0], domain=parts[1], name=parts[2])
    found = [one.name for one in await schedules(service, "", "", 100_000) if one.name.name == text]
    if len(found) == 1:
        return found[0]
    if not found:
        raise StackError(f"No launch plan {text} has a schedule. Name it as project/domain/name if it is a new one.")
    places = ", ".join(f"{name.project}/{name.domain}/{name.name}" for name in found)
    raise StackError(f"{text} is ambiguous: {places}")


def document(message: Message) -> dict[str, Any]:
    """A message as programs want it."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def ticks_table(ticks: Iterable[Tick]) -> Table:
    """What became of ticks."""
    table = Table(box=None, pad_edge=False)
    for name in ("due", "state", "fired", "ended", "execution", "reason"):
        table.add_column(name, overflow="fold")
    for tick in ticks:
        due = local(tick.due) if tick.count <= 1 else f"{local(tick.due)} … {local(tick.last)}"
        state = tick.state if tick.count <= 1 else f"{tick.count} {tick.state}"
        table.add_row(due, state, _time(tick, "fired_at"), _time(tick, "ended_at"), tick.execution, tick.reason)
    return table


def local(stamp: Timestamp) -> str:
    """A moment for people."""
    return f"{stamp.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _time(tick: Tick, field: str) -> str:
    """With the day where that is another one than the tick's."""
    if not tick.HasField(field):
        return ""
    moment, due = (stamp.ToDatetime(UTC).astimezone() for stamp in (getattr(tick, field), tick.due))
    return f"{moment:%H:%M:%S}" if moment.date() == due.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _table(found: Iterable[Schedule]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("launch plan", "version", "when", "state", "next", "last", "running", "waiting"):
        table.add_column(name, justify="right" if name in ("running", "waiting") else "left", overflow="fold")
    for one in found:
        name = one.name
        table.add_row(
            f"{name.project}/{name.domain}/{name.name}",
            one.version,
            one.expression,
            state_of(one),
            local(one.next_due) if one.HasField("next_due") else "",
            local(one.last_due) if one.HasField("last_due") else "",
            str(len(one.running)),
            str(len(one.waiting)),
        )
    return table


def state_of(schedule: Schedule) -> str:
    """One word, or a few."""
    if schedule.refused:
        return f"refused: {schedule.refused}"
    if not schedule.active:
        return "inactive"
    if schedule.paused:
        return f"paused: {schedule.pause_reason}" if schedule.pause_reason else "paused"
    return "active"


def _properties(schedule: Schedule) -> Iterable[tuple[str, str]]:
    name = schedule.name
    yield "launch plan", f"{name.project}/{name.domain}/{name.name}"
    yield "state", state_of(schedule)
    if schedule.active:
        policy = schedule.policy
        yield "version", schedule.version
        yield "when", schedule.expression
        yield "catch-up", _word(CatchUp.Name(policy.catch_up), "CATCH_UP_")
        yield "overlap", _word(Overlap.Name(policy.overlap), "OVERLAP_")
        if policy.jitter.ToTimedelta():
            yield "jitter", f"up to {policy.jitter.ToTimedelta()}"
    if schedule.last_execution:
        yield "last", f"{local(schedule.last_due)} {schedule.last_execution}"
    if schedule.running:
        yield "running", some(schedule.running)
    if schedule.waiting:
        yield "waiting", some([local(due) for due in schedule.waiting])


def some(found: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    more = len(found) - _LISTED
    return ", ".join(found[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
