"""The registry service: `python -m services.registry`, or `run(settings)` inside another loop.

Order of starting: object store, log, database; the projector; the default projects; then the gRPC port. Stopping is the
reverse: the port stops taking calls and finishes those it has, then the projector ends, then the connections close.
"""

import asyncio
from contextlib import AsyncExitStack

from flightlog_archive import ArchivedEvents
from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_read.shredding import Shredding
from flightlog_rpc import RpcServer
from flightlog_service import Ready, run_until_stopped, running
from services.registry.api import methods
from services.registry.projection.apply import RegistryProjection
from services.registry.projection.queries import Queries
from services.registry.settings import Settings
from services.registry.store import Store

SERVICE = "registry"


async def run(settings: Settings, ready: Ready) -> None:
    """Serves until cancelled."""
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE, cold=ArchivedEvents(blobs))
        stack.push_async_callback(log.close)
        database = await Database.connect(settings.database)
        stack.push_async_callback(database.close)
        projector = Projector(database, log, RegistryProjection())
        store = Store(log, blobs, projector, Queries(database), settings.registry)
        shredding = Shredding(log, database, SERVICE, [RegistryProjection()], [store.forget])
        await stack.enter_async_context(running(projector.run(), shredding.run()))
        await store.register_default_projects()
        await projector.wait_until_serving()
        server = RpcServer(settings.rpc, SERVICE, methods(store), audit=log)
        port = await server.start()
        stack.push_async_callback(server.stop)
        ready(port)
        await asyncio.Event().wait()


def main() -> None:
    """Entry of the process."""
    run_until_stopped(SERVICE, Settings, run)
