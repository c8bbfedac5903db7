"""The execution service as a process: the public edge, the shell around the engine, reactions, read model."""

import asyncio
import gc
import json
import os
import signal
from pathlib import Path

import structlog
import uvloop

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_rpc import RpcServer
from flightlog_telemetry import configure, shut_down
from services.execution.api import methods
from services.execution.lookup import Lookup
from services.execution.projection.projection import ExecutionProjection
from services.execution.projection.queries import Reads
from services.execution.reactions import Reactions
from services.execution.settings import Settings
from services.execution.shell import Shell

_log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. What runs goes on: at the next start the log says where everything stood."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    blobs = BlobStore.open(settings.blobs)
    log = await Log.connect(settings.log, blobs, name="execution")
    database = await Database.connect(settings.database)
    try:
        await _serve(settings, blobs, log, database, stop)
    finally:
        await database.close()
        await log.close()
        await blobs.close()


async def _serve(settings: Settings, blobs: BlobStore, log: Log, database: Database, stop: asyncio.Event) -> None:
    execution = settings.execution
    projector = Projector(database, log, ExecutionProjection())
    shell = Shell(log, blobs, execution)
    reads = Reads(log, database, projector)
    server = RpcServer(
        settings.rpc, "execution", methods(shell, Lookup(log, execution.domains), reads, blobs, execution)
    )
    reactions = Reactions(log, shell)
    async with asyncio.TaskGroup() as group:
        working = [group.create_task(part.run()) for part in (projector, reactions)]
        await projector.wait_until_serving()
        port = await server.start()
        _write_ready_file(settings.ready_file, port, settings.telemetry.metrics_port)
        _log.info("service.ready", grpc=port, metrics=settings.telemetry.metrics_port)
        await stop.wait()
        _log.info("service.stopping")
        await server.stop()
        for task in working:
            task.cancel()


def _write_ready_file(path: str | None, grpc: int, metrics: int | None) -> None:
    if not path:
        return
    ready = Path(path)
    written = ready.with_name(f"{ready.name}.{os.getpid()}")
    written.write_text(json.dumps({"pid": os.getpid(), "grpc": grpc, "metrics": metrics}))
    written.replace(ready)


def main() -> None:
    """Reads the settings from the environment and serves."""
    settings = Settings()  # pyright: ignore[reportCallIssue]  # its fields come from the environment
    configure("execution", settings.telemetry)
    # Folded states and parsed programs are many small objects that live long: looking through them over and over would
    # cost more than anything else here. What has been imported by now lives for ever.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    _log.info("service.starting", settings=settings.model_dump(mode="json"))
    try:
        uvloop.run(run(settings))
    finally:
        shut_down()
