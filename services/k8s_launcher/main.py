"""`python -m services.k8s_launcher`: the launcher with the runtime that the settings name.

SIGTERM and SIGINT stop the launcher, not the tasks: they go on, and the launcher started next adopts them: one on the
same folder, or any other of the same cluster.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from flightlog_archive import ArchivedEvents
from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_service import Ready, run_until_stopped, running
from services.k8s_launcher.connectors.requests import Requests
from services.k8s_launcher.dispatching import CONTAINER_TYPES, with_connectors
from services.k8s_launcher.process.plans import Planner
from services.k8s_launcher.process.runtime import ProcessRuntime
from services.k8s_launcher.settings import Settings
from services.k8s_launcher.shell import DURABLE, SERVICE, Launcher, Observer
from services.k8s_launcher.task_templates import TaskTemplates


async def run(settings: Settings, ready: Ready) -> None:
    """Launches and watches until cancelled."""
    async with AsyncExitStack() as stack:
        blobs = BlobStore.open(settings.blobs)
        stack.push_async_callback(blobs.close)
        log = await Log.connect(settings.log, blobs, name=SERVICE, cold=ArchivedEvents(blobs))
        stack.push_async_callback(log.close)
        if settings.launcher.runtime == "kubernetes":
            # The client of Kubernetes' API takes longer to import than all else of a launcher.
            from services.k8s_launcher.kubernetes.service import run_on_kubernetes

            await run_on_kubernetes(settings, log, blobs, ready)
            return
        assert settings.process is not None
        defaults = settings.task_defaults()
        planner = Planner(
            blobs,
            environment=defaults,
            base_environment=settings.task_base(),
            gpu_resource=settings.launcher.gpu_resource,
        )
        runtime = await ProcessRuntime.open(
            settings.process,
            planner,
            Observer(log).report,
            task_defaults=defaults,
            secrets=settings.launcher.secrets,
        )
        if runtime.is_new:
            # It has a record of nothing, so whatever is under way must be looked at again.
            await log.forget("EXECUTION", DURABLE)
            runtime.begin()
        requests = Requests(TaskTemplates(blobs), namespace_template="{project}-{domain}")
        whole = await stack.enter_async_context(
            with_connectors(
                settings.launcher.connectors,
                runtime,
                CONTAINER_TYPES,
                requests,
                log=log,
                blobs=blobs,
                report=Observer(log).report,
            )
        )
        await whole.adopt()
        launcher = Launcher(log, whole, max_in_flight=settings.launcher.max_in_flight)
        await stack.enter_async_context(running(whole.run(), launcher.run()))
        ready(None)
        await asyncio.Event().wait()


def main() -> None:
    """Entry of the process."""
    run_until_stopped(SERVICE, Settings, run)
