"""A connector server of flytekit, as a process of its own, and what it wrote down."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from tests.warm_scripts import WarmPyflyte

TASKS = Path(__file__).parent / "tasks"


class ConnectorServer:
    """`pyflyte serve connector` on a port that stays the same over restarts. Use it in `with`, and `start` it.

    `folder` gets the calls, and what jobs wait for.
    """

    def __init__(self, folder: Path, pyflyte: WarmPyflyte) -> None:
        self.folder = folder
        self.environment: Mapping[str, str] = {}
        """Of the process; `JOBS` must be the folder."""
        self.port, self._metrics_port = _free_ports()
        self._pyflyte = pyflyte
        self._pid = folder / "pid"
        self._process: Future[subprocess.CompletedProcess[str]] | None = None
        self._waiting = ThreadPoolExecutor(1)

    def __enter__(self) -> ConnectorServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._waiting.shutdown()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start; `wait` says when it serves."""
        (self.folder / "calls").touch()
        self._pid.unlink(missing_ok=True)
        ports = ("--port", str(self.port), "--prometheus_port", str(self._metrics_port))
        command = ("serve", "connector", "--modules", "jobs", *ports)
        self._process = self._waiting.submit(
            self._pyflyte.run, command, cwd=TASKS, environment=self.environment, seconds=3600
        )

    def wait(self) -> None:
        """Return when it serves. Raises when it ends instead."""
        assert self._process is not None
        with grpc.insecure_channel(self.address) as channel:
            ready = grpc.channel_ready_future(channel)
            while not self._process.done():
                try:
                    ready.result(timeout=0.5)
                    return
                except grpc.FutureTimeoutError:
                    continue
        raise RuntimeError(str(self._process.result()))

    def stop(self) -> None:
        """Kill it: what it has promised remains in the folder."""
        if self._process is not None:
            self.wait()
            os.kill(int(self._pid.read_text()), signal.SIGKILL)
            assert self._process.result().returncode == -signal.SIGKILL
            self._process = None

    def calls(self, call: str, **meta: str) -> list[Mapping[str, Any]]:
        """Calls of one kind, about jobs whose fields are `meta`."""
        found = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return [each for each in found if each["call"] == call and meta.items() <= each.get("meta", each).items()]

    def let(self, script: str) -> None:
        """Jobs that wait for this may end."""
        (self.folder / script).touch()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
