"""`flightlog queue`: who runs and who waits where it is limited how many executions run at once."""

import json
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from flightlog_cli.admin import open_service
from flightlog_cli.embedded.child import StackError
from flightlog_protos.execution.v1.queue_service_pb2 import ListQueuesRequest, ListQueuesResponse, Place, Queue
from services.execution.admission.words import of_limit

_SERVICE = "flightlog.execution.v1.QueueService"


async def queue(data: Path, execution: str, *, as_json: bool) -> None:
    """Print all queues, or those of one execution. Raises `StackError` when that stands in none."""
    async with open_service(data, _SERVICE) as service:
        found: ListQueuesResponse = await service.ListQueues(_request(execution))
    if as_json:
        documents: list[dict[str, Any]] = [MessageToDict(one, preserving_proto_field_name=True) for one in found.queues]
        typer.echo(json.dumps(documents, ensure_ascii=False))
        return
    if execution and not found.queues:
        raise StackError(f"{execution} stands in no queue: it has no limit of its own, or is over.")
    if not found.queues:
        typer.echo("Nobody runs or waits where it is limited how many executions run at once.")
        return
    console = Console(highlight=False, soft_wrap=True)
    for one in found.queues:
        console.print(_title(one), style="bold", markup=False)
        console.print(_table(one, execution.rpartition("/")[2]))


def _request(execution: str) -> ListQueuesRequest:
    parts = execution.split("/")
    if len(parts) == 3 and all(parts):
        return ListQueuesRequest(project=parts[0], domain=parts[1], execution=parts[2])
    if len(parts) != 1:
        raise StackError(f"{execution!r} is neither a name nor project/domain/name.")
    return ListQueuesRequest(execution=execution)


def _title(queue: Queue) -> str:
    running, waiting = len(queue.running), len(queue.waiting)
    where = f"{queue.project}/{queue.domain}"
    return f"{of_limit(queue.limit)}, {where}: {running} of at most {queue.limit.max} run, {waiting} wait"


def _table(queue: Queue, execution: str) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    rows: Sequence[tuple[str, Place]] = [
        *(("runs", place) for place in queue.running),
        *((f"{number}.", place) for number, place in enumerate(queue.waiting, 1)),
    ]
    for status, place in rows:
        since = place.since.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        style = "bold" if place.execution_id.name == execution else None
        table.add_row(f"  {status}", place.execution_id.name, f"since {since}", _more(place), style=style)
    return table


def _more(place: Place) -> str:
    if place.reclaimed_by:
        return f"terminated for {place.reclaimed_by}"
    return "" if place.created else "being created"
