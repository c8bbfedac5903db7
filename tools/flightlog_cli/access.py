"""The log, the tables and the object store of the stack that a command is about.

Normally those of the `flightlog up` on the data folder. Where the environment names them (`FLIGHTLOG_LOG__NATS_URL` and
its fellows, as for the services), those: so the same commands work inside a production deployment.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from flightlog_archive import ArchivedEvents
from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.embedded.stack import Endpoints
from flightlog_log import Log, LogSettings, PersonalDataSettings
from flightlog_read import Database, DatabaseSettings


class Access(BaseSettings):
    """What a command needs to know of a deployment; a subset of the services' settings."""

    model_config = SettingsConfigDict(env_prefix="FLIGHTLOG_", env_nested_delimiter="__", extra="ignore")

    log: LogSettings
    blobs: BlobSettings
    database: DatabaseSettings

    @staticmethod
    def of(folder: Path) -> "Access":
        """Of the environment if it names a log, else of the stack on the folder. Raises `StackError` when none runs."""
        if "FLIGHTLOG_LOG__NATS_URL" in os.environ:
            return Access()  # pyright: ignore[reportCallIssue]  # filled from the environment
        endpoints = Endpoints.read(folder)
        credentials = endpoints.credentials
        return Access.model_validate(
            {
                "log": {
                    "nats_url": endpoints.nats,
                    "user": credentials["nats_user"],
                    "password": credentials["nats_password"],
                    "personal_data": _Log().personal_data,
                },
                "blobs": {
                    "driver": "directory",
                    "bucket": endpoints.bucket,
                    "endpoint": endpoints.s3,
                    "access_key": credentials["s3_access_key"],
                    "secret_key": credentials["s3_secret_key"],
                    "directory": endpoints.object_directory,
                },
                "database": {"dsn": endpoints.postgres, "pool_min": 0, "pool_max": 4},
            }
        )


class _Log(BaseSettings):
    """What a stack is given by the environment, and commands that read its log need too: master keys."""

    model_config = SettingsConfigDict(env_prefix="FLIGHTLOG_LOG__", env_nested_delimiter="__", extra="ignore")

    personal_data: PersonalDataSettings = PersonalDataSettings()


@asynccontextmanager
async def open_log(access: Access) -> AsyncGenerator[Log]:
    """The log, with the object store its large payloads are in."""
    blobs = BlobStore.open(access.blobs)
    try:
        log = await Log.connect(access.log, blobs, name="flightlog-cli", cold=ArchivedEvents(blobs))
        try:
            yield log
        finally:
            await log.close()
    finally:
        await blobs.close()


@asynccontextmanager
async def open_database(access: Access) -> AsyncGenerator[Database]:
    """The read models' database."""
    database = await Database.connect(access.database)
    try:
        yield database
    finally:
        await database.close()
