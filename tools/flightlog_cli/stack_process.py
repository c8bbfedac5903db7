"""`flightlog up` as a process of its own, started and steered from Python: the demo and the tests use it.

Example:

    with StackProcess(Path("data"), port=0) as stack:
        print(stack.grpc)
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import psutil

from .embedded.child import StackError
from .embedded.services import S3_CLIENT
from .embedded.stack import ENDPOINTS, PARTS


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """`flightlog <arguments>` in this environment, with what it printed; raises `TimeoutExpired` after `seconds`."""
    command = [sys.executable, "-P", "-m", "flightlog_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=environment)


class StackProcess:
    """A stack on a data folder. It is started by `start` (or `with`), and can be started again after it ended.

    Raises `StackError` when it does not become ready.
    """

    run_command: ClassVar[Callable[[Sequence[str], Mapping[str, str], float], subprocess.CompletedProcess[str]]] = (
        staticmethod(run_command)
    )
    """How `cli` runs a command; whoever runs hundreds puts something in its place that imports once."""

    def __init__(
        self, data: Path, *, host: str = "127.0.0.1", port: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        self.data = data
        self._host = host
        self._port = port
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[str] | None = None
        self.endpoints: dict[str, Any] = {}
        """Content of endpoints.json."""

    def __enter__(self) -> "StackProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def grpc(self) -> str:
        """The public gRPC endpoint, `host:port`."""
        return self.endpoints["grpc"]

    @property
    def pid(self) -> int:
        """Process id of the supervisor, 0 when none runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by part: nats, postgres, s3 and the services. 0 for one that does not run now."""
        parts: dict[str, Any] = json.loads((self.data / PARTS).read_text())["parts"]
        return {name: part["pid"] for name, part in parts.items()}

    @property
    def client_environment(self) -> dict[str, str]:
        """What an unmodified flytekit or pyflyte on this machine needs to reach the stack."""
        credentials = self.endpoints["credentials"]
        return {
            "FLYTE_PLATFORM_URL": self.grpc,
            "FLYTE_PLATFORM_INSECURE": "true",
            "FLYTE_AWS_ENDPOINT": self.endpoints["s3"],
            "FLYTE_AWS_ACCESS_KEY_ID": credentials["s3_access_key"],
            "FLYTE_AWS_SECRET_ACCESS_KEY": credentials["s3_secret_key"],
            **S3_CLIENT,
        }

    def start(self, timeout: float = 90.0) -> None:
        """Start and return when the stack serves; `timeout` in seconds."""
        self.data.mkdir(parents=True, exist_ok=True)
        output = (self.data / "up.log").open("ab")
        with output:
            where = ("--data", self.data, "--host", self._host, "--port", str(self._port))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "flightlog_cli", "up", *where],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        watchdog = threading.Timer(timeout, self._process.kill)
        watchdog.start()
        try:
            assert self._process.stdout is not None
            ready = any(line.startswith("ready") for line in iter(self._process.stdout.readline, ""))
        finally:
            watchdog.cancel()
        if not ready:
            self._process.wait()
            raise StackError(f"`flightlog up` ended before it was ready:\n{self.output()}")
        self.endpoints = json.loads((self.data / ENDPOINTS).read_text())

    def output(self, lines: int = 40) -> str:
        """The end of what the supervisor printed."""
        return "\n".join((self.data / "up.log").read_text(errors="replace").splitlines()[-lines:])

    def stop(self, timeout: float = 20.0) -> None:
        """SIGTERM, and SIGKILL after `timeout` seconds."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill_all()

    def kill_all(self) -> None:
        """kill -9 the supervisor and every part: what a power cut leaves of a stack."""
        processes: list[psutil.Process] = []
        for pid in (self.pid, *self.pids.values()):
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.append(psutil.Process(pid))
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
        # Nobody but the supervisor may collect the others; whoever inherits them does it in its own time.
        psutil.wait_procs(processes, timeout=10)

    def restart(self) -> None:
        """Stop cleanly and start again on the same folder and ports."""
        self.stop()
        self.start()

    def kill(self, part: str) -> int:
        """kill -9 one part (`supervisor` too) and wait until it is gone; returns its process id.

        The supervisor starts the part again by itself; `wait_for_part` tells when it serves.
        """
        if part == "supervisor":
            pid, process = self.pid, self._process
            assert process is not None, "not started"
            process.kill()
            process.wait()
            return pid
        pid = self.pids[part]
        try:
            victim = psutil.Process(pid)
            victim.kill()
        except psutil.NoSuchProcess:
            # It died a moment ago and is just being started again: the new one is meant.
            self.wait_for_part(part, after=pid)
            return self.kill(part)
        victim.wait(10)
        return pid

    def wait_for_part(self, part: str, *, after: int, timeout: float = 60.0) -> int:
        """Wait until a part serves again as another process than `after`; returns its process id."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            pid = self.pids[part]
            if pid not in (0, after):
                return pid
            time.sleep(0.02)
        raise StackError(f"{part} was not started again within {timeout:.0f} s:\n{self.output()}")

    def cli(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """`flightlog <arguments> --data <folder>`, with what it printed."""
        environment = {**os.environ, "COLUMNS": "200"}
        return StackProcess.run_command([*arguments, "--data", str(self.data)], environment, timeout)

    def cli_json(self, *arguments: str) -> Any:
        """The one JSON document that `flightlog <arguments> --json` prints, whatever its exit code."""
        result = self.cli(*arguments, "--json")
        try:
            return json.loads(result.stdout)
        except ValueError:
            raise StackError(
                f"flightlog {' '.join(arguments)} printed no JSON:\n{result.stdout}{result.stderr}"
            ) from None
