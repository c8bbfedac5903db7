"""The history service as a process that a test kills and starts again."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from flightlog_blobs import BlobSettings
from flightlog_log import LogSettings
from flightlog_read import DatabaseSettings


class HistoryProcess:
    """`python -m services.history` on one port, killed and started again."""

    def __init__(self, log: LogSettings, blobs: BlobSettings, database: DatabaseSettings, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self._ready = folder / "ready.json"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLIGHTLOG_")}
        self._environment = inherited | {
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
            "FLIGHTLOG_RPC__PORT": str(self.port),
            "FLIGHTLOG_READY_FILE": str(self._ready),
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it serves."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.history", env=self._environment
        )
        while not self._ready.exists() or json.loads(self._ready.read_text())["pid"] != self._process.pid:
            assert self._process.returncode is None, "the service ended before it served"
            await asyncio.wait([asyncio.ensure_future(self._process.wait())], timeout=0.05)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
