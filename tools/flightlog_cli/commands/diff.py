"""`flightlog diff`: where two executions went different ways."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flightlog_cli.admin import open_admin, open_service
from flightlog_cli.named_executions import identify
from flightlog_cli.why import one_line
from flightlog_protos.history.v1.differences_pb2 import Difference, DiffExecutionsRequest, DiffExecutionsResponse

_HISTORY = "flightlog.history.v1.HistoryService"


async def diff(data: Path, before: str, after: str, *, as_json: bool) -> None:
    """Print what differs. Raises `StackError` when there is none of such a name, or several."""
    async with open_admin(data) as admin, open_service(data, _HISTORY) as history:
        request = DiffExecutionsRequest(before=await identify(admin, before), after=await identify(admin, after))
        found: DiffExecutionsResponse = await history.DiffExecutions(request)
    if as_json:
        documents: list[dict[str, Any]] = [
            MessageToDict(one, preserving_proto_field_name=True) for one in found.differences
        ]
        typer.echo(json.dumps(documents, ensure_ascii=False))
        return
    if not found.differences:
        typer.echo("They went the same way.")
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(request.before.name, request.after.name, found.differences))
    console.print("> is where they parted: nothing that is told before explains it.", style="dim", markup=False)


def _table(before: str, after: str, found: Sequence[Difference]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("", "node", "what", before, after):
        table.add_column(title, overflow="fold")
    for one in found:
        what = f"{one.kind} {one.name}" if one.name else one.kind
        texts = (">" if one.first else "", one.node, what, one.before, one.after)
        table.add_row(*(Text(one_line(text)) for text in texts), style="bold" if one.first else None)
    return table
