"""`flightlog parked`: what no consumer could digest, why, and another try."""

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from flightlog_cli.access import Access, open_log
from flightlog_cli.embedded.child import StackError
from flightlog_log import LogError, ParkedEntry


async def parked(data: Path, *, redrive: int | None, as_json: bool) -> None:
    """List the parked messages, or hand one in again. Raises `StackError` when there is no such message."""
    async with open_log(Access.of(data)) as log:
        if redrive is not None:
            try:
                await log.redrive(redrive)
            except LogError as error:
                raise StackError(f"{redrive} cannot be handed in again: {error}") from None
            typer.echo(json.dumps({"redriven": redrive}) if as_json else f"{redrive} was handed in again.")
            return
        entries = [entry async for entry in log.parked()]
    if as_json:
        typer.echo(json.dumps([_document(entry) for entry in entries], ensure_ascii=False))
    elif not entries:
        typer.echo("Nothing is parked.")
    else:
        Console().print(_table(entries))
        typer.echo("Hand one in again with `flightlog parked --redrive SEQ`.")


def _document(entry: ParkedEntry) -> dict[str, object]:
    return {
        "sequence": entry.sequence,
        "stream": entry.stream,
        "subject": entry.subject,
        "original_sequence": entry.original_sequence,
        "consumer": entry.consumer,
        "reason": entry.reason,
        "deliveries": entry.deliveries,
        "parked_at": entry.parked_at.isoformat(),
        "size_bytes": len(entry.message),
    }


def _table(entries: list[ParkedEntry]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("seq", "parked", "consumer", "subject", "at", "tries", "reason"):
        table.add_column(name, justify="right" if name in ("seq", "at", "tries") else "left", overflow="fold")
    for entry in entries:
        table.add_row(
            str(entry.sequence),
            f"{entry.parked_at.astimezone():%Y-%m-%d %H:%M:%S}",
            entry.consumer,
            entry.subject,
            str(entry.original_sequence),
            str(entry.deliveries),
            entry.reason,
        )
    return table
