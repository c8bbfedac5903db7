"""`python -m services.scheduler`: the scheduler as a process. All it has is on the log; stopping it loses nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from flightlog_archive import ArchivedEvents
from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database
from flightlog_read.shredding import Shredding
from flightlog_rpc import RpcServer
from flightlog_service import Ready, run_until_stopped, running
from services.scheduler.deliveries.projection import DeliveryProjection
from services.scheduler.deliveries.service import Deliveries
from services.scheduler.schedules.service import Schedules
from services.scheduler.settings import Settings

SERVICE = "scheduler"


async def run(settings: Settings, ready: Ready) -> None:
    """Serves until cancelled."""
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE, cold=ArchivedEvents(blobs))
        stack.push_async_callback(log.close)
        database = await Database.connect(settings.database)
        stack.push_async_callback(database.close)
        schedules = Schedules(log, database, settings.scheduler.schedules)
        deliveries = Deliveries(log, database, settings.scheduler.deliveries)
        await deliveries.begin()
        shredding = Shredding(log, database, SERVICE, [DeliveryProjection()], [deliveries.forget])
        await stack.enter_async_context(running(schedules.run(), deliveries.run(), shredding.run()))
        await schedules.projector.wait_until_serving()
        await deliveries.projector.wait_until_serving()
        server = RpcServer(settings.rpc, SERVICE, {**schedules.methods(), **deliveries.methods()}, audit=log)
        port = await server.start()
        stack.push_async_callback(server.stop)
        ready(port)
        await asyncio.Event().wait()


def main() -> None:
    """Entry of the process."""
    run_until_stopped(SERVICE, Settings, run)
