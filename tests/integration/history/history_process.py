"""The history service as a process that a test kills and starts again: forked, as an embedded stack does it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

from flightlog_blobs import BlobSettings
from flightlog_cli.embedded.forking import Forked, Forker
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
        self._log = folder / "history.log"
        self._forker = Forker(self._log)
        self._process: Forked | None = None

    async def start(self) -> None:
        """Returns when it serves."""
        self._log.touch()
        self._process = await self._forker.start("services.history", self._environment, self._log)
        while not self._ready.exists() or json.loads(self._ready.read_text())["pid"] != self._process.pid:
            assert self._process.returncode is None, f"it ended before it served: {self._log.read_text()}"
            await asyncio.wait([asyncio.ensure_future(self._process.wait())], timeout=0.05)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """Ends all that was started."""
        await self.kill()
        await self._forker.close()
