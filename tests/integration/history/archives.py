"""Logs of the archive's tests: servers of their own, which are emptied, killed and filled again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from flightlog_archive import STREAMS, Archive, ArchivedEvents
from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.embedded.child import Child
from flightlog_cli.embedded.folder import DataFolder
from flightlog_cli.embedded.nats import nats_program
from flightlog_log import Cause, Head, Log, LogSettings, Raw, Subject
from flightlog_read import Database
from services.history.archiving.archiver import Archiver
from services.history.archiving.settings import ArchiveSettings
from services.history.verification.findings import Finding
from services.history.verification.stream import Voucher
from services.history.verification.verifying import Verification

CAUSE = Cause.request("somebody", "pyflyte", "127.0.0.1")
AT_ONCE = ArchiveSettings(close_seconds=0.01, look_seconds=0.01)


@asynccontextmanager
async def nats_server(folder: Path) -> AsyncGenerator[LogSettings]:
    """A nats-server with an empty store."""
    data = DataFolder(folder)
    program, url = nats_program(data)
    child = Child(program)
    await child.start()
    credentials = data.credentials()
    try:
        yield LogSettings.model_validate(
            {"nats_url": url, "user": credentials.nats_user, "password": credentials.nats_password}
        )
    finally:
        await child.stop()
        data.release()


def store_in(folder: Path) -> BlobStore:
    """An object store that is a folder."""
    settings = {"bucket": "b", "endpoint": "http://127.0.0.1:1", "access_key": "a", "secret_key": "s"}
    return BlobStore.open(BlobSettings.model_validate({"driver": "directory", "directory": folder, **settings}))


@asynccontextmanager
async def connected(settings: LogSettings, blobs: BlobStore) -> AsyncGenerator[Log]:
    """A log that reads what was trimmed from the archive."""
    log = await Log.connect(settings, blobs, name="archive-tests", cold=ArchivedEvents(blobs))
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def archiving(
    log: Log, blobs: BlobStore, database: Database, settings: ArchiveSettings = AT_ONCE
) -> AsyncGenerator[Archive]:
    """An archiver at work while the block is being run."""
    archive = Archive(blobs)
    task = asyncio.ensure_future(Archiver(log, archive, database, settings).run())
    try:
        yield archive
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def appended(log: Log, subject: Subject, *facts: Message) -> int:
    """Appends to the end of a subject; returns the sequence."""
    head: Head = await log.head(subject)
    return (await log.append(subject, facts, head=head, cause=CAUSE)).sequence


async def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first true answer of an awaitable condition: archiving tells nobody when it has come so far."""
    async with asyncio.timeout(seconds):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(0.01)
    raise AssertionError(what)


async def archived_up_to(archive: Archive, stream: str, sequence: int) -> None:
    """Returns when a stream is archived so far."""

    async def reached() -> bool:
        return (await archive.manifest(stream)).sequence >= sequence

    await until(reached, f"{stream} is archived up to {sequence}")


async def everything(log: Log) -> dict[str, list[tuple[int, str, bytes]]]:
    """All that can be read of all streams that are archived."""
    found: dict[str, list[tuple[int, str, bytes]]] = {}
    for stream in STREAMS:
        batches: list[list[Raw]] = [batch async for batch in log.follow_stored(stream, after=0, live=False)]
        found[stream] = [(one.sequence, one.subject, one.data) for batch in batches for one in batch]
    return found


async def wrong(log: Log, blobs: BlobStore) -> list[Finding]:
    """What a check finds, of the log alone and compared with the archive."""

    async def nobody(_stream: str) -> list[Voucher]:
        return []

    verification = Verification(log, blobs, Archive(blobs), nobody)
    checks = [verification.streams(archive=compared) for compared in (False, True)]
    return [one for check in checks async for one in check if isinstance(one, Finding)]
