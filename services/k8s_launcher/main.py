"""`python -m services.k8s_launcher`: the launcher with the process runtime.

SIGTERM and SIGINT stop the launcher, not the tasks: they go on, and the launcher started next on the same folder adopts
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

import structlog
import uvloop

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_telemetry import configure, shut_down
from services.k8s_launcher.plans import Planner
from services.k8s_launcher.process.runtime import ProcessRuntime
from services.k8s_launcher.settings import Settings
from services.k8s_launcher.shell import DURABLE, SERVICE, Launcher, Observer

_log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Run the launcher until it is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    blobs = BlobStore.open(settings.blobs)
    log = await Log.connect(settings.log, blobs, name=SERVICE)
    try:
        defaults = settings.task_defaults()
        planner = Planner(
            blobs,
            environment=defaults,
            gpu_resource=settings.launcher.gpu_resource,
            offload_literals_mb=settings.launcher.offload_literals_mb,
        )
        runtime = await ProcessRuntime.open(settings.process, planner, Observer(log).report, task_defaults=defaults)
        if runtime.is_new:
            # It has a record of nothing, so whatever is under way must be looked at again.
            await log.forget("EXECUTION", DURABLE)
            runtime.begin()
        await runtime.adopt()
        launcher = Launcher(log, runtime, max_in_flight=settings.launcher.max_in_flight)
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(runtime.run()), tasks.create_task(launcher.run())]
            _write_ready(settings.ready_file, settings.telemetry.metrics_port)
            _log.info("service.ready", directory=str(settings.process.directory))
            await stop.wait()
            _log.info("service.stopping")
            for task in working:
                task.cancel()
    finally:
        await log.close()
        await blobs.close()
        shut_down()


def _write_ready(path: Path | None, metrics_port: int | None) -> None:
    if path is None:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps({"pid": os.getpid(), "grpc": None, "metrics": metrics_port}))
    partial.replace(path)


def main() -> None:
    settings = Settings()  # pyright: ignore[reportCallIssue]  # filled from the environment
    configure(SERVICE, settings.telemetry)
    _log.info("service.starting", settings=settings.model_dump(mode="json"))
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(run(settings))


if __name__ == "__main__":
    main()
