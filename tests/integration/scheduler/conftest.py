"""A log, a receiver of webhooks, and a world whose clock is the test's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Log, LogSettings
from tests.integration.scheduler.receivers import (
    Receiver,
    web_server,
)
from tests.integration.scheduler.simulated import SimulatedLog, World


@pytest_asyncio.fixture(loop_scope="session")
async def blobs(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def log(log_settings: LogSettings, blobs: BlobStore) -> AsyncIterator[Log]:
    log = await Log.connect(log_settings, blobs, name="test")
    yield log
    await log.close()


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with web_server() as receiver:
        yield receiver


@pytest_asyncio.fixture(loop_scope="session")
async def world(log: Log, blobs: BlobStore) -> World:
    """No schedule yet, on the first of March."""
    found = World(SimulatedLog(log), blobs)
    await found.register_project()
    return found
