"""The registry service: `python -m services.registry`, or `run(settings)` inside another loop.

Order of starting: object store, log, database; the projector; the default projects; then the gRPC port. Stopping is the
reverse: the port stops taking calls and finishes those it has, then the projector ends, then the connections close.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
import uvloop

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_rpc import RpcServer
from flightlog_telemetry import configure, shut_down
from services.registry.api import methods
from services.registry.projection.apply import RegistryProjection
from services.registry.projection.queries import Queries
from services.registry.settings import Settings
from services.registry.store import Store

SERVICE = "registry"
GRACE_SECONDS = 5.0
"""How long calls under way may take when the service stops."""

logger = structlog.get_logger(__name__)


async def run(settings: Settings, *, ready: Callable[[int], None] | None = None) -> None:
    """Serves until cancelled.

    Args:
        settings: all of the service's settings.
        ready: called with the gRPC port once calls are answered.
    """
    logger.info("service.starting", settings=settings.model_dump(mode="json"))
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE)
        stack.push_async_callback(log.close)
        database = await Database.connect(settings.database)
        stack.push_async_callback(database.close)
        projector = Projector(database, log, RegistryProjection())
        store = Store(log, blobs, projector, Queries(database), settings.registry)
        await stack.enter_async_context(_running(projector))
        await store.register_default_projects()
        await projector.wait_until_serving()
        server = RpcServer(settings.rpc, SERVICE, methods(store))
        port = await server.start()
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        logger.info("service.ready", grpc=port)
        _write_ready_file(settings, port)
        if ready is not None:
            ready(port)
        await asyncio.Event().wait()


@asynccontextmanager
async def _running(projector: Projector) -> AsyncGenerator[None]:
    """The projector's task, owned by the block. It ends with it, and ends it by failing."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(projector.run(), name="projector")
        try:
            yield
        finally:
            task.cancel()


def _write_ready_file(settings: Settings, port: int) -> None:
    """Tells a supervisor that calls are answered, and where."""
    if settings.ready_file is None:
        return
    path = Path(settings.ready_file)
    content = {"pid": os.getpid(), "grpc": port, "metrics": settings.telemetry.metrics_port or None}
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_text(json.dumps(content))
    written.replace(path)


async def _until_stopped(settings: Settings) -> None:
    configure(SERVICE, settings.telemetry)
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel if task is not None else loop.stop)
    try:
        await run(settings)
    except asyncio.CancelledError:
        logger.info("service.stopped")
    finally:
        shut_down()


def main() -> None:
    """Entry of the process."""
    uvloop.run(_until_stopped(Settings()))  # type: ignore[call-arg]  # from the environment
