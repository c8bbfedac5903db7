"""Prints the table and writes `docs/benchmarks.md`."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import psutil

from flightlog_bench.measures import Measure

_PAGE = """\
# Benchmarks

Made by `make bench` on {date}: {machine}.
Everything runs on that one machine: NATS (fsync on every append), Postgres, the object store, all services and the
measuring client.

{table}

Chains, fans and loads consist of `echo` tasks, which the engine runs itself. A figure is the time from the create call
to the first `GetExecution` answer that says SUCCEEDED, polled every 4 ms. For the rate, the p95 column holds the
slowest sample. The Flyte and Temporal columns were measured on a machine of the same size: Flyte with its echo plugin
(no pods) and Postgres, Temporal with SQLite in memory, so nothing durable.

A task's run includes what starting it costs: a process forked from a warm Python, flytekit's entrypoint, inputs and
outputs over S3. It is measured first, because the embedded S3 server gets slower with thousands of executions in one
folder (about 0.3 s a task at 3,000; see `FLIGHTLOG_EXECUTION__METADATA_PREFIX` in operations.md).

Tables are filled and rebuilt from a log of real executions under many names, small workflows of Python tasks (three
facts and 1.4 KB an envelope, nine rows to ten envelopes in the tables of executions, and those of lineage and audit),
on servers of their own; as `flightlog rebuild` does it for one stream, from the first message read to the switch. The
log is filled without a disk sync for each append, and before the rebuild the live tables are vacuumed, as those of a
stack that runs have been.

The machines are shared and noisy; figures of two days differ by tens of per cent. No test asserts a time.
"""


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f}{unit}" if unit == "/s" else f"{value:.3f} {unit}"


def _rows(measures: Sequence[Measure]) -> list[str]:
    header = "| work | p50 | p95 | samples | Flyte 1.16.8 | Temporal 1.31 | target |"
    rows = [header, "|---|---|---|---|---|---|---|"]
    for measure in measures:
        # For a rate the slow end is the low one.
        low = min(measure.samples) if measure.unit == "/s" else measure.p95
        cells = [
            measure.name,
            _figure(measure.p50, measure.unit),
            _figure(low, measure.unit),
            str(len(measure.samples)),
            measure.flyte,
            measure.temporal,
            measure.target,
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def machine() -> str:
    """One line about where the figures come from."""
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}"


def render(measures: Sequence[Measure], today: date) -> str:
    """The page, in Markdown."""
    return _PAGE.format(date=today.isoformat(), machine=machine(), table="\n".join(_rows(measures)))


def write(measures: Sequence[Measure], path: Path) -> None:
    path.write_text(render(measures, date.today()))
