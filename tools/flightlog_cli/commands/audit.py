"""`flightlog audit`: who asked for what, and whether it was done or refused."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flightlog_cli.admin import open_service
from flightlog_cli.embedded.child import StackError
from flightlog_cli.why import one_line
from flightlog_protos.history.v1.audit_pb2 import AuditEntry, ListAuditRequest, ListAuditResponse
from flightlog_rpc.moments import moment_of

_SERVICE = "flightlog.history.v1.HistoryService"
_PAGE = 1000
_AGO = re.compile(r"(\d{1,6})\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


async def audit(data: Path, request: ListAuditRequest, *, limit: int, as_json: bool) -> None:
    """Print up to `limit` entries, newest first; 0: all that there are."""
    console = Console(highlight=False, soft_wrap=True)
    shown = 0
    async with open_service(data, _SERVICE) as service:
        while True:
            request.limit = min(_PAGE, limit - shown) if limit else _PAGE
            page: ListAuditResponse = await service.ListAudit(request)
            if as_json:
                for entry in page.entries:
                    document: dict[str, Any] = MessageToDict(entry, preserving_proto_field_name=True)
                    typer.echo(json.dumps({"allowed": entry.allowed, **document}, ensure_ascii=False))
            elif page.entries:
                console.print(table_of(page))
            shown += len(page.entries)
            request.token = page.token
            if not page.token or (limit and shown >= limit):
                break
    if not shown and not as_json:
        typer.echo("Nobody asked for anything like that.")


def moment(text: str) -> Timestamp | None:
    """A time such as 2026-01-31T12:00:00Z, or how long ago it is: 90s, 15m, 2h, 7d. None for "".

    Raises `StackError` for anything else.
    """
    if not text:
        return None
    found = Timestamp()
    if (ago := _AGO.fullmatch(text)) is not None:
        try:
            found.FromDatetime(datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
        except OverflowError:
            raise StackError(f"{text!r} ago there was no time yet.") from None
        return found
    asked = moment_of(text)
    if asked is None or asked.time is None:
        raise StackError(f"{text!r} is no time: give one such as 2026-01-31T12:00:00Z, or 15m, 2h, 7d for so long ago.")
    return asked.time


def table_of(page: ListAuditResponse) -> Table:
    """Entries for people, one a row."""
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for entry in page.entries:
        at = f"{entry.at.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"
        outcome = Text("done", "green") if entry.allowed else Text(entry.code, "red")
        who, what, message = (Text(one_line(text)) for text in (_who(entry), _what(entry), entry.message))
        table.add_row(at, who, outcome, Text(entry.action), what, message)
    return table


def _who(entry: AuditEntry) -> str:
    actor = entry.actor
    if not (actor.subject or actor.client or actor.address):
        return "(erased)"
    name = actor.subject if actor.subject != actor.client else actor.client.partition(" ")[0]
    return f"{name or 'somebody'} from {actor.address}" if actor.address else name


def _what(entry: AuditEntry) -> str:
    path = "/".join(part for part in (entry.project, entry.domain, entry.name, entry.version) if part)
    return f"{entry.kind} {path}".strip()
