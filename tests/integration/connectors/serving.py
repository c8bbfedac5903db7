"""A connector server of flytekit, as a process of its own, and what it wrote down."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

TASKS = Path(__file__).parent / "tasks"


class ConnectorServer:
    """`pyflyte serve connector` on a port that stays the same over restarts. Use it in `with`.

    `folder` gets the calls, and what jobs wait for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._metrics_port = _free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ConnectorServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start; `wait` says when it serves."""
        (self.folder / "calls").touch()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLYTE", "_F_"))}
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("pyflyte")),
                    *("serve", "connector", "--modules", "jobs"),
                    *("--port", str(self.port), "--prometheus_port", str(self._metrics_port)),
                ],
                cwd=TASKS,
                env={**inherited, "JOBS": str(self.folder), "FLYTECTL_CONFIG": "/dev/null"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        """Return when it serves. Raises when it ends instead."""
        with grpc.insecure_channel(self.address) as channel:
            ready = grpc.channel_ready_future(channel)
            while self._process is not None and self._process.poll() is None:
                try:
                    ready.result(timeout=0.5)
                    return
                except grpc.FutureTimeoutError:
                    continue
        raise RuntimeError((self.folder / "output").read_text())

    def stop(self) -> None:
        """Kill it: what it has promised remains in the folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

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
