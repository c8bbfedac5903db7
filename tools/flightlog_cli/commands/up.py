"""`flightlog up`: run the stack until SIGTERM or Ctrl-C; a second one ends it at once."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import typer

from flightlog_cli import logs
from flightlog_cli.embedded.stack import Endpoints, run_stack


async def up(data: Path, *, host: str, port: int, as_json: bool) -> None:
    """Start everything, say `ready`, supervise. Raises `StackError` when the stack cannot start."""
    logs.to_stderr(logging.INFO)
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(_serve(data, host, port, as_json))

    def stop() -> None:
        if work.cancelling():
            # Said twice: whoever did wants it now. The parts end with this process or at the next start.
            os._exit(130)
        typer.echo("stopping", err=True)
        work.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _serve(data: Path, host: str, port: int, as_json: bool) -> None:
    begun = time.monotonic()
    typer.echo(f"starting on {data}", err=True)
    async with run_stack(data, host=host, port=port) as stack:
        typer.echo(_ready_line(stack.endpoints, time.monotonic() - begun, as_json))
        sys.stdout.flush()
        await stack.supervise()


def _ready_line(endpoints: Endpoints, seconds: float, as_json: bool) -> str:
    """One line without secrets; endpoints.json has those."""
    postgres = endpoints.postgres.partition("?host=")[2].partition("&")[0]
    shown = {"grpc": endpoints.grpc, "nats": endpoints.nats, "postgres": f"unix:{postgres}", "s3": endpoints.s3}
    if as_json:
        return json.dumps({"ready": True, "seconds": round(seconds, 2), **shown})
    return "ready  " + "  ".join(f"{name}={value}" for name, value in shown.items()) + f"  ({seconds:.1f} s)"
