"""`flightlog archive`: how far each stream is archived, and what of it is not yet."""

import json
from datetime import UTC
from pathlib import Path

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from flightlog_cli.admin import open_service
from flightlog_protos.history.v1.archive_pb2 import ArchivedStream, GetArchiveRequest, GetArchiveResponse

_SERVICE = "flightlog.history.v1.HistoryService"


async def archive(data: Path, *, as_json: bool) -> None:
    """Print what is archived of each stream. Raises `StackError` when no stack runs on the folder."""
    async with open_service(data, _SERVICE) as service:
        found: GetArchiveResponse = await service.GetArchive(GetArchiveRequest())
    if as_json:
        typer.echo(json.dumps([MessageToDict(one, preserving_proto_field_name=True) for one in found.streams]))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("stream", "archived", "log ends at", "segments", "MB", "until"):
        table.add_column(name, justify="left" if name in ("stream", "until") else "right")
    for one in found.streams:
        table.add_row(
            one.stream, str(one.sequence), str(one.head), str(one.segments), f"{one.bytes / 1e6:.1f}", _until(one)
        )
    Console(highlight=False).print(table)


def _until(stream: ArchivedStream) -> str:
    """When the newest envelope that is archived was recorded, local time."""
    if not stream.HasField("recorded_at"):
        return ""
    return stream.recorded_at.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
