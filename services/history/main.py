"""`python -m services.history`: reads the log and writes the archive; stopping it loses nothing."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

from flightlog_archive import Archive, ArchivedEvents
from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_read.shredding import Shredding
from flightlog_rpc import RpcServer
from flightlog_service import Ready, run_until_stopped, running
from services.history import archiving, audit, events, verification
from services.history.archiving.archiver import Archiver
from services.history.settings import Settings

SERVICE = "history"


async def run(settings: Settings, ready: Ready) -> None:
    """Serves until cancelled."""
    # What it does can wait; executions that run beside it cannot.
    os.nice(settings.history.niceness)
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE, cold=ArchivedEvents(blobs))
        stack.push_async_callback(log.close)
        database = await Database.connect(settings.database)
        stack.push_async_callback(database.close)
        archive = Archive(blobs)
        if settings.history.archive.enabled:
            archiver = Archiver(log, archive, database, settings.history.archive)
            await stack.enter_async_context(running(archiver.run()))
        projectors = [(one.stream, Projector(database, log, one)) for one in audit.projections()]
        shredding = Shredding(log, database, SERVICE, audit.projections())
        await stack.enter_async_context(running(*(one.run() for _, one in projectors), shredding.run()))
        for _, projector in projectors:
            await projector.wait_until_serving()
        methods = {
            **events.methods(log, settings.history),
            **audit.methods(log, database, projectors),
            **archiving.methods(log, archive),
            **verification.methods(log, blobs, archive, database),
        }
        server = RpcServer(settings.rpc, SERVICE, methods, audit=log)
        port = await server.start()
        stack.push_async_callback(server.stop)
        ready(port)
        await asyncio.Event().wait()


def main() -> None:
    """Entry of the process."""
    run_until_stopped(SERVICE, Settings, run)
