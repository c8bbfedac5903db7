"""`python -m flightlog_bench`: start an embedded stack in a scratch folder, measure it, print and write the table."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from flightlog_bench import measures, rebuilds, report
from flightlog_bench.client import Client
from flightlog_bench.long_log import Template
from flightlog_bench.measures import Measure
from flightlog_bench.workflows import DOMAIN, PROJECT, VERSION

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def own_stack() -> Generator[tuple[Path, dict[str, Any]]]:
    """`flightlog up` on a fresh folder; yields the folder and its endpoints.json."""
    with tempfile.TemporaryDirectory(prefix="flightlog-bench-") as folder:
        command = [sys.executable, "-m", "flightlog_cli.main", "up", "--data", folder, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if "ready" in line:
                        break
                else:
                    raise SystemExit("`flightlog up` ended before it was ready")
                yield Path(folder), json.loads((Path(folder) / "endpoints.json").read_text())
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()


def register_noop(endpoint: str) -> None:
    """Register the Python tasks with the unmodified pyflyte."""
    environment = os.environ | {"FLYTE_PLATFORM_URL": endpoint, "FLYTE_PLATFORM_INSECURE": "true"}
    command = [
        str(Path(sys.executable).with_name("pyflyte")),
        *("register", "--project", PROJECT, "--domain", DOMAIN, "--version", VERSION),
        *("--image", "localhost/flytekit:1", "noop.py"),
    ]
    subprocess.run(command, cwd=Path(__file__).parent, env=environment, check=True, stdout=subprocess.DEVNULL)


async def measure(endpoint: str, only: str | None) -> list[Measure]:
    console = Console(stderr=True)
    client = Client(endpoint)
    taken: list[Measure] = []
    registered = False
    try:
        for function in measures.ALL:
            if only and only not in function.__name__:
                continue
            console.print(f"measuring {function.__name__.replace('_', ' ')} …")
            if function in measures.OF_TASKS and not registered:
                registered = True
                await asyncio.to_thread(register_noop, endpoint)
            taken.append(await function(client))
            console.print(f"  p50 {taken[-1].p50:.4g} {taken[-1].unit}")
    finally:
        await client.close()
    return taken


async def made_of(endpoint: str, folder: Path) -> list[Template]:
    """What a long log is made of."""
    client = Client(endpoint)
    try:
        await asyncio.to_thread(register_noop, endpoint)
        return await rebuilds.templates(client, folder)
    finally:
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", help="measure what listens there (host:port) instead of an own stack")
    parser.add_argument("--only", help="measure only the rows whose name contains this; nothing is written")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "benchmarks.md", help="where the page goes")
    parser.add_argument(
        "--envelopes", type=int, default=1_000_000, help="how long a log tables are rebuilt from; 0: none are"
    )
    arguments = parser.parse_args()
    rebuilding = arguments.envelopes and not arguments.endpoint and (arguments.only or "") in "rebuild"
    templates: list[Template] = []
    with contextlib.ExitStack() as stack:
        if arguments.endpoint:
            endpoint = arguments.endpoint
        else:
            folder, endpoints = stack.enter_context(own_stack())
            endpoint = endpoints["grpc"]
            if rebuilding:
                templates = uvloop.run(made_of(endpoint, folder))
        taken = uvloop.run(measure(endpoint, arguments.only))
    if rebuilding:
        console = Console(stderr=True)
        console.print("measuring rebuild …")
        taken += uvloop.run(rebuilds.measure(templates, arguments.envelopes, console.print))
    if not (arguments.only or arguments.endpoint):
        report.write(taken, arguments.write)
    print(report.render(taken, report.date.today()))


if __name__ == "__main__":
    main()
