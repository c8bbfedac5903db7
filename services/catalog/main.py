"""`python -m services.catalog`: the catalog as a process. All it has is on the log; stopping it loses nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from flightlog_archive import ArchivedEvents
from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_rpc import RpcServer
from flightlog_service import Ready, run_until_stopped, running
from services.catalog import api
from services.catalog.keeping import SERVICE, Entries
from services.catalog.lineage import calls as lineages
from services.catalog.lineage.calls import LineageCalls
from services.catalog.lineage.index import Index
from services.catalog.lineage.projection import LineageProjection
from services.catalog.lineage.publishing import Publisher
from services.catalog.looking import calls
from services.catalog.looking.nodes import Nodes
from services.catalog.looking.reading import Reads
from services.catalog.projection import queries
from services.catalog.projection.projection import CatalogProjection
from services.catalog.reservations import Reservations
from services.catalog.settings import Settings
from services.catalog.shell import Catalog


async def run(settings: Settings, ready: Ready) -> None:
    """Answers until cancelled."""
    catalog = settings.catalog
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE, cold=ArchivedEvents(blobs))
        stack.push_async_callback(log.close)
        database = await Database.connect(settings.database)
        stack.push_async_callback(database.close)
        entries = Entries(log, catalog.rules, at_once=catalog.entries_at_once)
        reservations = Reservations(log, entries)
        answering = Catalog(log, entries, reservations, max_in_flight=catalog.max_in_flight)
        await stack.enter_async_context(running(answering.run()))
        projector = Projector(database, log, CatalogProjection())
        await stack.enter_async_context(running(projector.run()))
        await projector.wait_until_serving()
        looking = calls.methods(log, entries, Reads(log, database, projector), Nodes(log, blobs))
        served = api.methods(log, blobs, entries, reservations, queries.Reads(log, database, projector))
        index = Projector(database, log, LineageProjection())
        await stack.enter_async_context(running(index.run()))
        await index.wait_until_serving()
        lineage = lineages.methods(LineageCalls(log, blobs, Index(log, database, index), catalog.lineage))
        if catalog.openlineage.enabled:
            publisher = Publisher(log, blobs, catalog.openlineage, service=SERVICE)
            await stack.enter_async_context(running(publisher.run()))
        server = RpcServer(settings.rpc, SERVICE, {**served, **looking, **lineage}, audit=log)
        port = await server.start()
        stack.push_async_callback(server.stop)
        ready(port)
        await asyncio.Event().wait()


def main() -> None:
    """Entry of the process."""
    run_until_stopped(SERVICE, Settings, run)
