"""`flightlog status`: the parts of the stack, its endpoints, how far log and tables are."""

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from flightlog_cli.access import Access, open_log
from flightlog_cli.embedded.child import StackError
from flightlog_cli.embedded.stack import PARTS, Endpoints
from flightlog_log import LogError

STREAMS = ("REGISTRY", "EXECUTION", "LAUNCHER", "CATALOG")


@dataclass(frozen=True)
class PartStatus:
    """One process of the stack."""

    name: str
    up: bool
    pid: int
    up_seconds: float
    restarts: int
    memory_bytes: int


@dataclass(frozen=True)
class LogStatus:
    """Messages so far on each stream, messages parked, and what the tables lack."""

    reachable: bool
    streams: dict[str, int]
    parked: int
    projection_lag: dict[str, int]


async def status(data: Path, *, as_json: bool) -> int:
    """Print the status; 0 when everything is up. Raises `StackError` when nothing runs on the folder."""
    endpoints = Endpoints.read(data)
    parts = _parts(data)
    log = await _log_status(data, endpoints)
    well = log.reachable and all(part.up for part in parts)
    if as_json:
        shown = {"grpc": endpoints.grpc, "nats": endpoints.nats, "s3": endpoints.s3, "metrics": endpoints.metrics}
        document = {"up": well, "endpoints": shown, "parts": [asdict(part) for part in parts], "log": asdict(log)}
        typer.echo(json.dumps(document))
    else:
        _print(endpoints, parts, log)
    return 0 if well else 1


def _parts(data: Path) -> list[PartStatus]:
    try:
        recorded: dict[str, dict[str, Any]] = json.loads((data.expanduser() / PARTS).read_text())["parts"]
    except (OSError, ValueError, KeyError):
        raise StackError(f"No stack runs on {data}. Start one with `flightlog up --data {data}`.") from None
    return [_part(name, part) for name, part in recorded.items()]


def _part(name: str, recorded: dict[str, Any]) -> PartStatus:
    restarts = int(recorded["restarts"])
    try:
        process = psutil.Process(recorded["pid"])
        if process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - recorded["created"]) > 1:
            raise psutil.NoSuchProcess(process.pid)
        memory = sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return PartStatus(name, up=False, pid=0, up_seconds=0.0, restarts=restarts, memory_bytes=0)
    return PartStatus(name, True, process.pid, time.time() - process.create_time(), restarts, memory)


async def _log_status(data: Path, endpoints: Endpoints) -> LogStatus:
    lag = await _projection_lag(endpoints)
    try:
        async with asyncio.timeout(5), open_log(Access.of(data)) as log:
            streams = {stream: await log.stream_sequence(stream) for stream in STREAMS}
            parked = [entry.sequence async for entry in log.parked()]
    except (LogError, TimeoutError):
        return LogStatus(reachable=False, streams={}, parked=0, projection_lag=lag)
    return LogStatus(reachable=True, streams=streams, parked=len(parked), projection_lag=lag)


async def _projection_lag(endpoints: Endpoints) -> dict[str, int]:
    """Messages that each projection has still to apply, by the services' own account."""
    lag: dict[str, int] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        for url in endpoints.metrics.values():
            try:
                async with session.get(url) as response:
                    text = await response.text()
            except (aiohttp.ClientError, TimeoutError):
                continue
            for family in text_string_to_metric_families(text):
                if family.name == "flightlog_projection_lag":
                    lag |= {sample.labels["projection"]: int(sample.value) for sample in family.samples}
    return lag


def _print(endpoints: Endpoints, parts: list[PartStatus], log: LogStatus) -> None:
    table = Table(box=None, pad_edge=False)
    for name, justify in (("part", "left"), ("", "left"), ("pid", "right"), ("up", "right"), ("memory", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("restarts", justify="right")
    for part in parts:
        table.add_row(
            part.name,
            "[green]up[/]" if part.up else "[red]down[/]",
            str(part.pid or ""),
            _span(part.up_seconds) if part.up else "",
            f"{part.memory_bytes / 2**20:.0f} MB" if part.up else "",
            str(part.restarts),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"grpc {endpoints.grpc}   s3 {endpoints.s3}   nats {endpoints.nats}", soft_wrap=True)
    if not log.reachable:
        console.print("[red]The log does not answer.[/]")
        return
    messages = "   ".join(f"{stream.lower()} {count}" for stream, count in log.streams.items())
    behind = "   ".join(f"{name} {count} behind" for name, count in sorted(log.projection_lag.items()))
    console.print(f"log: {messages}   tables: {behind or 'unknown'}", soft_wrap=True)
    if log.parked:
        console.print(f"[yellow]{log.parked} messages are parked: see `flightlog parked`.[/]")


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
