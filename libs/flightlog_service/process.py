"""Running a service until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from flightlog_telemetry import configure, shut_down

from .settings import ServiceSettings

Ready = Callable[[int | None], None]
"""To be called once the service serves, with its gRPC port if it has one."""

ALIVE_SECONDS = 10.0
"""How often a process that gets round to its work touches its `alive_file`."""

_Settings = TypeVar("_Settings", bound=ServiceSettings)

logger = structlog.get_logger(__name__)


def without_data_frames() -> None:
    """From now on pandas is not there for this process, installed or not.

    pyarrow imports it at its first array if it can, which takes a second of CPU and many megabytes. We have no data
    frames.
    """
    sys.meta_path.insert(0, _WithoutPandas())


class _WithoutPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("this process has no data frames", name=fullname)


def run_until_stopped(
    service: str, settings_type: type[_Settings], run: Callable[[_Settings, Ready], Awaitable[None]]
) -> None:
    """Run `run(settings, ready)` in this process, with settings from the environment.

    SIGTERM and SIGINT cancel it; its own clean-up is waited for. Logs, traces and metrics are set up before and closed
    after. What `run` raises otherwise ends the process. Settings that are wrong end it with exit code 78 (EX_CONFIG):
    starting it again changes nothing.
    """
    try:
        settings = settings_type()  # pyright: ignore[reportCallIssue]  # filled from the environment
    except (ValidationError, SettingsError) as error:
        print(f"{service}: the settings are wrong: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
    without_data_frames()
    configure(service, settings.telemetry)
    # Folded states, caches and classes are many small objects that live long: looking through them over and over would
    # cost more than it finds. What has been imported by now lives for ever.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    logger.info("service.starting", settings=settings.model_dump(mode="json"))
    if settings.ready_file is not None:
        # Of a former process at this place, whose files outlived it.
        settings.ready_file.unlink(missing_ok=True)
    try:
        uvloop.run(_cancelled_by_signals(settings, run))
        logger.info("service.stopped")
    finally:
        shut_down()


async def _cancelled_by_signals(settings: _Settings, run: Callable[[_Settings, Ready], Awaitable[None]]) -> None:
    serving = asyncio.ensure_future(run(settings, lambda port: _announce(settings, port)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    async with AsyncExitStack() as stack:
        if settings.alive_file is not None:
            await stack.enter_async_context(running(_touching(settings.alive_file)))
        try:
            await serving
        except asyncio.CancelledError:
            if not serving.cancelled():
                raise


async def _touching(path: Path) -> None:
    """Touches a file for as long as the loop gets round to it."""
    while True:
        path.touch()  # noqa: ASYNC240 - as quick as it gets
        await asyncio.sleep(ALIVE_SECONDS)


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Work that goes on beside the block. It ends with the block, and ends it by failing."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def _announce(settings: ServiceSettings, port: int | None) -> None:
    metrics = settings.telemetry.metrics_port or None
    logger.info("service.ready", grpc=port, metrics=metrics)
    if settings.ready_file is not None:
        written = settings.ready_file.with_name(f".{settings.ready_file.name}.{os.getpid()}")
        written.write_text(json.dumps({"pid": os.getpid(), "grpc": port, "metrics": metrics}))
        written.replace(settings.ready_file)
