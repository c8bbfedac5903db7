"""How long the tables of a long log take: filled for the first time, and rebuilt beside the live ones with comparison.

The log is made of real executions (`long_log`), on servers of its own, which nothing else uses. It holds what the
stream EXECUTION holds after some tens of thousands of small workflows of Python tasks; all projections of that stream
are measured, as `flightlog rebuild` treats them.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from flyteidl.core import identifier_pb2

from flightlog_bench.client import Client
from flightlog_bench.long_log import Template, fill
from flightlog_bench.measures import Measure
from flightlog_bench.workflows import identifier
from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.access import Access, open_log
from flightlog_cli.embedded.servers import Servers, run_servers
from flightlog_log import Log, LogSettings, Recorded
from flightlog_read import Database, DatabaseSettings, Projection, RebuildResult, rebuild_together
from services.catalog.lineage.projection import LineageProjection
from services.execution.projection.projection import ExecutionProjection
from services.history.audit.projection import of_execution

_WORKFLOWS = ("one_task", "five_tasks", "ten_elements")
_TARGET_ENVELOPES = 1_000_000

Say = Callable[[str], None]


async def templates(client: Client, folder: Path) -> list[Template]:
    """Runs each of the workflows once on the stack of a folder, and takes its envelopes.

    `flightlog_bench.noop` must be registered.
    """
    for name in _WORKFLOWS:
        await client.run(identifier(identifier_pb2.LAUNCH_PLAN, f"flightlog_bench.noop.{name}"), {})
    recorded: defaultdict[str, list[Recorded]] = defaultdict(list)
    async with open_log(Access.of(folder)) as log:
        async for batch in log.follow("EXECUTION", after=0, live=False):
            for one in batch:
                if isinstance(one, Recorded):
                    recorded[one.subject].append(one)
    found = {_workflow(records): records for records in recorded.values()}
    return [Template.of(found[name]) for name in _WORKFLOWS]


def _workflow(records: list[Recorded]) -> str:
    created = records[0].facts[0]
    return str(getattr(created, "workflow_id").name).rpartition(".")[2]  # noqa: B009  # facts have no common type


async def measure(made_of: list[Template], count: int, say: Say) -> list[Measure]:
    """Makes a log of `count` envelopes and measures on it."""
    with tempfile.TemporaryDirectory(prefix="flightlog-bench-") as folder:
        async with run_servers(Path(folder)) as servers:
            _sync_rarely(Path(folder))
            await servers.restart("nats")
            blobs = BlobStore.open(_blobs(servers))
            settings = LogSettings(
                nats_url=servers.nats_url,
                user=servers.nats_user,
                password=servers.nats_password,  # pyright: ignore[reportArgumentType]  # made a secret there
            )
            log = await Log.connect(settings, blobs, name="bench")
            database = await Database.connect(DatabaseSettings(dsn=servers.dsn))
            try:
                began = time.perf_counter()
                executions = await fill(settings, made_of, count, lambda _: None)
                say(f"  {count:,} envelopes of {executions:,} executions in {time.perf_counter() - began:.0f} s")
                return await _measured(database, log, count, say)
            finally:
                await database.close()
                await log.close()
                await blobs.close()


async def _measured(database: Database, log: Log, count: int, say: Say) -> list[Measure]:
    projections: list[Projection] = [ExecutionProjection(), LineageProjection(), of_execution()]
    first = await rebuild_together(database, log, projections)
    say(f"  filled in {first[0].seconds:.1f} s")
    # The live tables of a stack that runs have been vacuumed long ago: it is not to happen while we measure.
    async with database.dedicated("bench", on_loss=lambda: None) as connection:
        await connection.execute("VACUUM (ANALYZE)")
    again = await rebuild_together(database, log, projections)
    say(f"  rebuilt in {again[0].seconds:.1f} s")
    if not all(result.identical and result.compared_at == count for result in again):
        raise SystemExit("the rebuilt tables are not those that were there")
    rows = sum(table.rebuilt.rows for result in again for table in result.tables if table.rebuilt)
    target = "60 s" if count == _TARGET_ENVELOPES else "–"
    return [
        _seconds(f"first filling of the tables from {count:,} envelopes", first, "–"),
        _seconds(f"rebuild from {count:,} envelopes beside the live tables, compared", again, target),
        _rate("… envelopes", count / again[0].seconds),
        _rate("… rows", rows / again[0].seconds),
    ]


def _seconds(name: str, results: tuple[RebuildResult, ...], target: str) -> Measure:
    return Measure(name, "s", (results[0].seconds,), "–", "–", target)


def _rate(name: str, rate: float) -> Measure:
    return Measure(name, "/s", (rate,), "–", "–", "–")


def _sync_rarely(folder: Path) -> None:
    """Nothing that is measured here is written to the log: a disk sync for each of so many appends is not worth it."""
    (configuration,) = folder.rglob("nats.conf")
    configuration.write_text(configuration.read_text().replace('"always"', '"10s"'))


def _blobs(servers: Servers) -> BlobSettings:
    return BlobSettings.model_validate(
        {
            "driver": "directory",
            "bucket": servers.bucket,
            "endpoint": servers.s3_endpoint,
            "access_key": servers.s3_access_key,
            "secret_key": servers.s3_secret_key,
            "directory": servers.object_directory,
        }
    )
