"""A log and a database for tests of the read models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from flightlog_blobs import BlobSettings
    from flightlog_log import Log, LogSettings, Subject
    from flightlog_read import Database, DatabaseSettings


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def log(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Log]:
    from flightlog_blobs import BlobStore
    from flightlog_log import Log

    blobs = BlobStore.open(blob_settings)
    opened = await Log.connect(log_settings, blobs, name="read-tests")
    yield opened
    await opened.close()
    await blobs.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_settings: DatabaseSettings) -> AsyncIterator[Database]:
    from flightlog_read import Database

    opened = await Database.connect(database_settings)
    yield opened
    await opened.close()


@pytest.fixture
def schema() -> str:
    """A schema of this test's own; also the first part of its words."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def subject(schema: str) -> Subject:
    from flightlog_log import Subject

    return Subject.of("REGISTRY", "word", schema)
