"""`flightlog deliveries ls|retry|replay`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table

from flightlog_cli.admin import open_service
from flightlog_protos.scheduler.v1.delivery_service_pb2 import (
    Delivery,
    DeliverySelection,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ReplayDeliveriesRequest,
    RetryDeliveriesRequest,
)

SERVICE = "flightlog.scheduler.v1.DeliveryService"
_PAGE = 500


def selection(
    sink: str, execution: str, project: str, domain: str, state: str, begin: datetime | None, end: datetime | None
) -> DeliverySelection:
    """What the options say. Raises `typer.BadParameter` for an execution that is not named whole."""
    found = DeliverySelection(sink=sink, project=project, domain=domain, state=state)
    if execution:
        parts = execution.split("/")
        if len(parts) == 1 and project and domain:
            parts = [project, domain, execution]
        if len(parts) != 3 or not all(parts):
            raise typer.BadParameter("an execution is named project/domain/name")
        found.project, found.domain, found.execution = parts
    if begin is not None:
        getattr(found, "from").CopyFrom(_stamp(begin))
    if end is not None:
        found.to.CopyFrom(_stamp(end))
    return found


async def listed(data: Path, wanted: DeliverySelection, *, limit: int, as_json: bool) -> None:
    """Print deliveries."""
    found: list[Delivery] = []
    async with open_service(data, SERVICE) as service:
        token = ""
        while len(found) < limit:
            asked = ListDeliveriesRequest(selection=wanted, limit=min(_PAGE, limit - len(found)), token=token)
            page: ListDeliveriesResponse = await service.ListDeliveries(asked)
            found.extend(page.deliveries)
            token = page.token
            if not token:
                break
    if as_json:
        typer.echo(json.dumps([_document(delivery) for delivery in found], ensure_ascii=False))
    elif not found:
        typer.echo("No deliveries.")
    else:
        Console().print(_table(found))


async def retried(data: Path, wanted: DeliverySelection, *, as_json: bool) -> None:
    """Have parked ones tried again."""
    async with open_service(data, SERVICE) as service:
        count: int = (await service.RetryDeliveries(RetryDeliveriesRequest(selection=wanted))).count
    typer.echo(json.dumps({"retried": count}) if as_json else f"{count} are tried again.")


async def replayed(data: Path, wanted: DeliverySelection, *, as_json: bool) -> None:
    """Deliver a range once more."""
    async with open_service(data, SERVICE) as service:
        count: int = (await service.ReplayDeliveries(ReplayDeliveriesRequest(selection=wanted))).count
    typer.echo(json.dumps({"replayed": count}) if as_json else f"{count} are delivered again.")


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def _document(delivery: Delivery) -> dict[str, object]:
    return MessageToDict(delivery, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _table(deliveries: list[Delivery]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("queued", "sink", "execution", "event", "state", "tries", "to", "next try", "last error"):
        table.add_column(name, justify="right" if name == "tries" else "left", overflow="fold")
    for one in deliveries:
        execution = one.execution_id
        table.add_row(
            _local(one.created_at),
            one.sink,
            f"{execution.project}/{execution.domain}/{execution.name}",
            one.event,
            one.state,
            str(one.tries),
            ", ".join(one.recipients),
            _local(one.next_try_at) if one.HasField("next_try_at") else "",
            one.last_error,
        )
    return table


def _local(stamp: Timestamp) -> str:
    return f"{stamp.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"
