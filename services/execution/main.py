"""The execution service as a process: the public edge, the shell around the engine, reactions, read model."""

import asyncio
from contextlib import AsyncExitStack

from flightlog_archive import ArchivedEvents
from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_read.shredding import Shredding
from flightlog_rpc import RpcServer
from flightlog_service import Ready, run_until_stopped, running
from services.execution.admission.admission import Admission
from services.execution.admission.queues import Queues
from services.execution.api import methods
from services.execution.children import Children
from services.execution.deletion.calls import DeletionCalls
from services.execution.deletion.erasing import Erasing
from services.execution.deletion.retention import Retention
from services.execution.history.calls import methods as history_methods
from services.execution.lookup import Lookup
from services.execution.projection.projection import ExecutionProjection
from services.execution.projection.queries import Reads
from services.execution.reactions import Reactions
from services.execution.requests import Requests
from services.execution.settings import Settings
from services.execution.shell import Shell
from services.execution.starting import Starter

SERVICE = "execution"


async def run(settings: Settings, ready: Ready) -> None:
    """Serves until cancelled. What runs goes on: at the next start the log says where everything stood."""
    execution = settings.execution
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE, cold=ArchivedEvents(blobs))
        stack.push_async_callback(log.close)
        database = await Database.connect(settings.database)
        stack.push_async_callback(database.close)
        projector = Projector(database, log, ExecutionProjection())
        lookup = Lookup(log, execution.domains)
        shell = Shell(log, blobs, lookup, execution)
        reads = Reads(log, database, projector)
        admission = Admission(log, shell, Queues(log))
        starter = Starter(shell, lookup, admission, blobs, execution)
        reactions = Reactions(log, shell, Children(shell, starter, blobs), admission)
        requests = Requests(log, shell, starter)
        erasing = Erasing(log, blobs, execution.domains, execution.retention.longest_wait)
        retention = Retention(log, database, shell, lookup, execution.retention)
        forgetting = [shell.forget, lookup.forget, reads.forget]
        shredding = Shredding(log, database, SERVICE, [ExecutionProjection()], forgetting)
        await stack.enter_async_context(
            running(projector.run(), reactions.run(), requests.run(), erasing.run(), shredding.run())
        )
        await projector.wait_until_serving()
        await stack.enter_async_context(running(retention.run()))
        served = {
            **methods(shell, starter, reads, blobs, admission, execution),
            **DeletionCalls(shell).methods(),
            **history_methods(log, blobs, shell, reads, admission, execution),
        }
        server = RpcServer(settings.rpc, SERVICE, served, audit=log)
        port = await server.start()
        stack.push_async_callback(server.stop)
        ready(port)
        await asyncio.Event().wait()


def main() -> None:
    """Entry of the process."""
    run_until_stopped(SERVICE, Settings, run)
