"""What the tests of the history service share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from flightlog_read import Database, DatabaseSettings


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_settings: DatabaseSettings) -> AsyncIterator[Database]:
    from flightlog_read import Database

    opened = await Database.connect(database_settings)
    yield opened
    await opened.close()
