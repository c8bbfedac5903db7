"""The registry as a process: it says when it serves, goes on where it was, and stops when told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
from flyteidl.admin import common_pb2, project_pb2
from flyteidl.service import admin_pb2_grpc

if TYPE_CHECKING:
    from flightlog_blobs import BlobSettings
    from flightlog_log import LogSettings
    from flightlog_read import DatabaseSettings


def environment(log: LogSettings, blobs: BlobSettings, database: DatabaseSettings, ready_file: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLIGHTLOG_")}
    return inherited | {
        "FLIGHTLOG_LOG__NATS_URL": log.nats_url,
        "FLIGHTLOG_LOG__USER": log.user or "",
        "FLIGHTLOG_LOG__PASSWORD": log.password.get_secret_value() if log.password else "",
        "FLIGHTLOG_BLOBS__DRIVER": "directory",
        "FLIGHTLOG_BLOBS__BUCKET": blobs.bucket,
        "FLIGHTLOG_BLOBS__ENDPOINT": blobs.endpoint,
        "FLIGHTLOG_BLOBS__ACCESS_KEY": blobs.access_key,
        "FLIGHTLOG_BLOBS__SECRET_KEY": blobs.secret_key.get_secret_value(),
        "FLIGHTLOG_BLOBS__DIRECTORY": str(blobs.directory),
        "FLIGHTLOG_DATABASE__DSN": database.dsn,
        "FLIGHTLOG_RPC__PORT": "0",
        "FLIGHTLOG_READY_FILE": str(ready_file),
    }


def port_of(ready_file: Path, pid: int) -> int | None:
    """The port in the ready file of that process; None until it is ready."""
    content: dict[str, Any] = json.loads(ready_file.read_text()) if ready_file.exists() else {}
    return content["grpc"] if content.get("pid") == pid else None


@asynccontextmanager
async def process(settings: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A registry process that serves, and its port. Killed when left, if it still runs."""
    ready_file = Path(settings["FLIGHTLOG_READY_FILE"])
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.registry", env=settings, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert started.stderr is not None
        ended = asyncio.create_task(started.stderr.read())
        while (port := port_of(ready_file, started.pid)) is None:
            done, _ = await asyncio.wait([ended], timeout=0.05)
            assert not done, ended.result().decode()
        yield started, port
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
        await ended


async def test_a_killed_registry_goes_on_where_it_was_and_stops_when_told(
    log_settings: LogSettings,
    blob_settings: BlobSettings,
    database_settings: DatabaseSettings,
    tmp_path: Path,
    entities: Any,
) -> None:
    settings = environment(log_settings, blob_settings, database_settings, tmp_path / "ready.json")
    request = common_pb2.ResourceListRequest(
        id=common_pb2.NamedEntityIdentifier(project=entities.project, domain="development"), limit=10
    )
    async with process(settings) as (running, port), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await admin_pb2_grpc.AdminServiceStub(channel).CreateTask(entities.task("t"))
        running.kill()
    async with process(settings) as (running, port):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            admin = admin_pb2_grpc.AdminServiceStub(channel)
            assert [task.id.name for task in (await admin.ListTasks(request)).tasks] == ["t"]
            listed = await admin.ListProjects(project_pb2.ProjectListRequest())
            assert [one.id for one in listed.projects].count("flytesnacks") == 1
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 10) == 0
