"""`python -m services.history`: reads the log and writes the archive; stopping it loses nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database
from flightlog_rpc import RpcServer
from flightlog_service import Ready, run_until_stopped
from services.history import events
from services.history.settings import Settings

SERVICE = "history"


async def run(settings: Settings, ready: Ready) -> None:
    """Serves until cancelled."""
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE)
        stack.push_async_callback(log.close)
        database = await Database.connect(settings.database)
        stack.push_async_callback(database.close)
        methods = {
            **events.methods(log, settings.history),
        }
        server = RpcServer(settings.rpc, SERVICE, methods)
        port = await server.start()
        stack.push_async_callback(server.stop)
        ready(port)
        await asyncio.Event().wait()


def main() -> None:
    """Entry of the process."""
    run_until_stopped(SERVICE, Settings, run)
