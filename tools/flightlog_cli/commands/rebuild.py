"""`flightlog rebuild`: every table anew from the log, compared with the live one, then put in its place."""

import importlib
import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from flightlog_cli.access import Access, open_database, open_log
from flightlog_cli.embedded.child import StackError
from flightlog_cli.rebuild_progress import progress_on
from flightlog_read import Projection, RebuildResult, TableDigest, rebuild_together

PROJECTIONS = {
    "registry": ("services.registry.projection.apply", "RegistryProjection"),
    "execution": ("services.execution.projection.projection", "ExecutionProjection"),
    "catalog": ("services.catalog.projection.projection", "CatalogProjection"),
    "lineage": ("services.catalog.lineage.projection", "LineageProjection"),
    "schedules": ("services.scheduler.schedules.projection.apply", "SchedulesProjection"),
    "deliveries": ("services.scheduler.deliveries.projection", "DeliveryProjection"),
    "audit_registry": ("services.history.audit.projection", "of_registry"),
    "audit_execution": ("services.history.audit.projection", "of_execution"),
    "audit_catalog": ("services.history.audit.projection", "of_catalog"),
    "audit_scheduler": ("services.history.audit.projection", "of_scheduler"),
    "audit_audit": ("services.history.audit.projection", "of_refusals"),
}


async def rebuild(data: Path, service: str | None, *, as_json: bool) -> int:
    """Rebuild one or all projections; 0 when every table came out as it was.

    Raises `StackError` for a service that has no tables.
    """
    if service is not None and service not in PROJECTIONS:
        raise StackError(f"{service} has no tables. Those that have: {', '.join(PROJECTIONS)}.")
    access = Access.of(data)
    results: list[RebuildResult] = []
    async with open_log(access) as log, open_database(access) as database:
        for together in by_stream([service] if service else list(PROJECTIONS)):
            with progress_on(Console(stderr=True)) as report:
                results += await rebuild_together(database, log, together, report)
    if as_json:
        typer.echo(json.dumps([_document(result) for result in results]))
    else:
        _print(results)
    return 0 if all(result.identical for result in results) else 1


def load(name: str) -> Projection:
    """The projection of a service."""
    module, attribute = PROJECTIONS[name]
    return getattr(importlib.import_module(module), attribute)()


def by_stream(names: list[str]) -> list[list[Projection]]:
    """Those made from the same stream go together: it is read once for all of them."""
    streams: dict[str, list[Projection]] = {}
    for name in names:
        projection = load(name)
        streams.setdefault(projection.stream, []).append(projection)
    return list(streams.values())


def _document(result: RebuildResult) -> dict[str, Any]:
    return {
        "name": result.projection,
        "equal": result.identical,
        "sequence": result.sequence,
        "compared_at": result.compared_at,
        "seconds": round(result.seconds, 3),
        "tables": [
            {
                "table": table.table,
                "equal": table.identical,
                "live_rows": table.live.rows if table.live else None,
                "rebuilt_rows": table.rebuilt.rows if table.rebuilt else None,
                "live_checksum": table.live.checksum if table.live else None,
                "rebuilt_checksum": table.rebuilt.checksum if table.rebuilt else None,
            }
            for table in result.tables
        ],
        "skipped": [{"sequence": sequence, "reason": reason} for sequence, reason in result.skipped],
    }


def _print(results: list[RebuildResult]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("table", "rows before", "rows now", ""):
        table.add_column(name, justify="right" if "rows" in name else "left")
    for result in results:
        for one in result.tables:
            verdict = "[green]the same[/]" if one.identical else "[red]different[/]"
            table.add_row(f"{result.projection}.{one.table}", _rows(one.live), _rows(one.rebuilt), verdict)
    console.print(table)
    for result in results:
        compared = "nothing to compare with" if result.compared_at is None else f"compared at {result.compared_at}"
        console.print(f"{result.projection}: {result.sequence} messages, {result.seconds:.1f} s, {compared}")
        for sequence, reason in result.skipped:
            console.print(f"[yellow]skipped {sequence}: {reason}[/]")


def _rows(digest: TableDigest | None) -> str:
    return "" if digest is None else str(digest.rows)
