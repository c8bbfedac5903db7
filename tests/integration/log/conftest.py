"""A nats-server of the log tests' own: they kill it, and put on its streams what no other test should have to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
import pytest_asyncio

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.embedded.child import Child
from flightlog_cli.embedded.folder import DataFolder
from flightlog_cli.embedded.nats import nats_program
from flightlog_log import Log, LogSettings, Subject
from flightlog_telemetry import TelemetrySettings, configure
from tests.integration.log.shared import OwnNats


@pytest.fixture(scope="session", autouse=True)
def quiet_logs() -> None:
    """The default of structlog draws each traceback with all its variables, which takes longer than the tests."""
    configure("test", TelemetrySettings(log_format="json"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnNats]:
    folder = DataFolder(tmp_path_factory.mktemp("own_nats"))
    program, url = nats_program(folder)
    child = Child(program)
    await child.start()
    credentials = folder.credentials()
    settings = LogSettings.model_validate(
        {
            "nats_url": url,
            "user": credentials.nats_user,
            "password": credentials.nats_password,
            "redelivery_first_seconds": 0.001,
            "redelivery_longest_seconds": 0.01,
        }
    )
    yield OwnNats(child, settings)
    await child.stop()
    folder.release()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def blobs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BlobStore]:
    """A store that is a folder; what is served over S3 matters to the tests of the store alone."""
    settings = BlobSettings.model_validate(
        {
            "driver": "directory",
            "bucket": "test",
            "endpoint": "http://127.0.0.1:1",
            "access_key": "nobody-needs-this-key",
            "secret_key": "secret",
            "directory": tmp_path_factory.mktemp("blobs"),
        }
    )
    store = BlobStore.open(settings)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def log(own_nats: OwnNats, blobs: BlobStore) -> AsyncIterator[Log]:
    log = await Log.connect(own_nats.settings, blobs, name="test")
    yield log
    await log.close()


@pytest.fixture
def subject() -> Subject:
    """An aggregate that no other test knows."""
    return Subject.of("EXECUTION", "tests", "development", uuid4().hex)


@pytest.fixture
def spoilt_subject() -> Subject:
    """An aggregate for what cannot be read, on a stream that the tests of sound envelopes do not use."""
    return Subject.of("REGISTRY", "tests", "development", uuid4().hex)


@pytest_asyncio.fixture(loop_scope="session")
async def background() -> AsyncIterator[Callable[..., asyncio.Task[None]]]:
    """Runs coroutines beside the test, and ends them with it."""
    tasks: list[asyncio.Task[None]] = []

    def start(coroutine: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        tasks.append(task)
        return task

    yield start
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
