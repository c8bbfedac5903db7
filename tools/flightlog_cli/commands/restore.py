"""`flightlog restore`: an empty log is filled from its archive. Nothing else may use the log meanwhile.

For a data folder whose stack is down, a nats-server is started for it, and nothing else. Where the environment names a
log (`FLIGHTLOG_LOG__NATS_URL` and its fellows), that one is filled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import typer
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from flightlog_archive import FOLDER, Archive, ArchiveError
from flightlog_archive.restoring import RestoredStream, RestoreProgress
from flightlog_archive.restoring import restore as restore_log
from flightlog_blobs import BlobError, BlobSettings, BlobStore
from flightlog_cli.embedded.child import Child, StackError
from flightlog_cli.embedded.folder import DataFolder
from flightlog_cli.embedded.nats import nats_program
from flightlog_cli.embedded.object_store import BUCKET
from flightlog_log import LogError, LogSettings, Restoration

_OBJECTS = "objects"


class _Target(BaseSettings):
    """The log that is to be filled, and the object store it belongs to."""

    model_config = SettingsConfigDict(env_prefix="FLIGHTLOG_", env_nested_delimiter="__", extra="ignore")

    log: LogSettings
    blobs: BlobSettings


async def restore(data: Path, source: str, *, as_json: bool) -> None:
    """Fill the log. Raises `StackError` with a sentence when it is not empty, or the archive cannot be read."""
    async with _target(data, source) as target:
        blobs = BlobStore.open(target.blobs)
        try:
            archive, elsewhere = _archive(source, blobs)
            try:
                restored = await _restore(target.log, archive, blobs)
            finally:
                if elsewhere is not None:
                    await elsewhere.close()
        except (ArchiveError, BlobError, LogError) as error:
            raise StackError(f"The log was not restored: {error}") from error
        finally:
            await blobs.close()
    _print(restored, as_json=as_json)


async def _restore(settings: LogSettings, archive: Archive, blobs: BlobStore) -> list[RestoredStream]:
    restoration = await Restoration.open(settings, name="flightlog-restore")
    try:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bars: dict[str, TaskID] = {}

            def report(step: RestoreProgress) -> None:
                if step.stream not in bars:
                    bars[step.stream] = progress.add_task(step.stream, total=step.target)
                progress.update(bars[step.stream], completed=step.sequence)

            return await restore_log(archive, restoration, blobs, report)
    finally:
        await restoration.close()


def _archive(source: str, blobs: BlobStore) -> tuple[Archive, BlobStore | None]:
    """The archive, and the object store to be closed with it if it is not the log's own."""
    if not source or source.startswith("s3://"):
        return Archive(blobs, source), None
    objects = Path(source).expanduser() / _OBJECTS
    if not (objects / BUCKET / FOLDER).is_dir():
        raise StackError(f"There is no archive in {source}: {objects / BUCKET / FOLDER} is missing.")
    other = BlobStore.open(blobs.settings.model_copy(update={"driver": "directory", "directory": objects}))
    return Archive(other, f"s3://{BUCKET}/{FOLDER}"), other


@asynccontextmanager
async def _target(data: Path, source: str) -> AsyncGenerator[_Target]:
    if "FLIGHTLOG_LOG__NATS_URL" in os.environ:
        yield _Target()  # pyright: ignore[reportCallIssue]  # filled from the environment
        return
    folder = DataFolder(data)
    try:
        if source and not source.startswith("s3://"):
            _take_objects(source, folder.path)
        program, url = nats_program(folder)
        nats = Child(program)
        await nats.start()
        try:
            credentials = folder.credentials()
            yield _Target.model_validate(
                {
                    "log": {
                        "nats_url": url,
                        "user": credentials.nats_user,
                        "password": credentials.nats_password,
                    },
                    "blobs": {
                        "driver": "directory",
                        "bucket": BUCKET,
                        "endpoint": "http://127.0.0.1",
                        "access_key": credentials.s3_access_key,
                        "secret_key": credentials.s3_secret_key,
                        "directory": folder.part(_OBJECTS),
                    },
                }
            )
        finally:
            await nats.stop()
    finally:
        folder.release()


def _take_objects(source: str, target: Path) -> None:
    """A data folder without objects takes those of the folder that it is restored from: the log names them."""
    given, own = Path(source).expanduser().resolve() / _OBJECTS, target / _OBJECTS
    if given.is_dir() and not own.exists():
        shutil.copytree(given, own)


def _print(restored: list[RestoredStream], *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "stream": one.stream,
                        "sequence": one.sequence,
                        "messages": one.messages,
                        "erased": one.erased,
                        "payloads": one.payloads,
                    }
                    for one in restored
                ]
            )
        )
        return
    table = Table(box=None, pad_edge=False)
    for name in ("stream", "messages", "up to", "erased"):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for one in restored:
        table.add_row(one.stream, str(one.messages), str(one.sequence), str(one.erased or ""))
    Console(highlight=False).print(table)
