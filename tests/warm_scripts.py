"""The installed `pyflyte` and `flightlog`, run by processes that have imported what they need: a second less a call."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, Self

_SERVER = Path(__file__).with_name("warm_server.py")
_SCRIPTS = Path(sys.executable).parent


class _WarmScript:
    """Runs one script of the virtual environment in copies of warm processes."""

    NAME: ClassVar[str]
    MODULES: ClassVar[Sequence[str]]
    """What is imported beforehand."""

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        self._script = _SCRIPTS / self.NAME
        self._folder = folder
        self._servers = servers

    @classmethod
    @contextmanager
    def open(cls) -> Generator[Self]:
        # Paths of sockets have at most 107 bytes.
        with tempfile.TemporaryDirectory(prefix="warm-") as folder, ExitStack() as servers:
            yield cls(Path(folder), servers)

    def _ask(
        self,
        path: str,
        arguments: Sequence[str | Path],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None,
        seconds: float,
    ) -> subprocess.CompletedProcess[str]:
        command = [str(argument) for argument in arguments]
        asked = {"arguments": command, "cwd": str(cwd), "environment": environment, "seconds": seconds}
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as errors,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            connection.connect(path)
            socket.send_fds(connection, [json.dumps(asked).encode()], [out.fileno(), errors.fileno()])
            answer = connection.recv(64)
            assert answer, f"{self._script.name} {command}: the warm process died"
            printed: list[str] = []
            for stream in (out, errors):
                stream.seek(0)
                printed.append(stream.read().decode())
        return subprocess.CompletedProcess([str(self._script), *command], int(json.loads(answer)), *printed)

    def _serving(self, name: str, environment: Mapping[str, str]) -> str:
        """The socket of a new warm process with this environment."""
        path = str(self._folder / f"{name}.sock")
        server = subprocess.Popen(
            [sys.executable, _SERVER, path, self._script, *self.MODULES],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Leaving a Popen closes its pipes, which ends the server, and waits for it.
        self._servers.enter_context(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        return path


class WarmPyflyte(_WarmScript):
    """The unmodified `pyflyte`. flytekit reads its environment when it is imported: each has a process of its own."""

    NAME = "pyflyte"
    MODULES = ("flytekit.clis.sdk_in_container.pyflyte", "flytekit.remote.remote")

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        super().__init__(folder, servers)
        self._sockets: dict[frozenset[tuple[str, str]], str] = {}

    def run(
        self, arguments: Sequence[str | Path], *, cwd: Path, environment: Mapping[str, str], seconds: int = 240
    ) -> subprocess.CompletedProcess[str]:
        """Like `subprocess.run` of it with its output captured; killed by SIGALRM after so many seconds."""
        key = frozenset(environment.items())
        if key not in self._sockets:
            self._sockets[key] = self._serving(str(len(self._sockets)), environment)
        return self._ask(self._sockets[key], arguments, cwd=cwd, environment=None, seconds=seconds)


class WarmFlightlog(_WarmScript):
    """The `flightlog` command, which reads its environment when it runs: one process serves all."""

    NAME = "flightlog"
    MODULES = tuple(f"flightlog_cli.commands.{name}" for name in ("events", "rebuild", "verify", "why"))

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        super().__init__(folder, servers)
        self._socket = ""

    def __call__(
        self, arguments: Sequence[str], environment: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """As `flightlog_cli.stack_process.run_command`, which it stands in for."""
        self._socket = self._socket or self._serving("flightlog", os.environ)
        return self._ask(self._socket, arguments, cwd=Path.cwd(), environment=environment, seconds=seconds)
