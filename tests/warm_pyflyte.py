"""The installed `pyflyte`, run by a process that has imported flytekit already: some two seconds less a call."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_SERVER = Path(__file__).with_name("pyflyte_server.py")
_SCRIPT = Path(sys.executable).with_name("pyflyte")


class WarmPyflyte:
    """Runs `pyflyte` in copies of warm processes, one for each environment, from `open` on."""

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        self._folder = folder
        self._servers = servers
        self._sockets: dict[frozenset[tuple[str, str]], str] = {}

    @classmethod
    @contextmanager
    def open(cls) -> Generator[WarmPyflyte]:
        # Paths of sockets have at most 107 bytes.
        with tempfile.TemporaryDirectory(prefix="pyflyte-") as folder, ExitStack() as servers:
            yield cls(Path(folder), servers)

    def run(
        self, arguments: Sequence[str | Path], *, cwd: Path, environment: Mapping[str, str], seconds: int = 240
    ) -> subprocess.CompletedProcess[str]:
        """Like `subprocess.run` of it with its output captured; killed by SIGALRM after so many seconds."""
        command = [str(argument) for argument in arguments]
        asked = json.dumps({"arguments": command, "cwd": str(cwd), "seconds": seconds}).encode()
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as errors,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            connection.connect(self._socket(environment))
            socket.send_fds(connection, [asked], [out.fileno(), errors.fileno()])
            answer = connection.recv(64)
            assert answer, f"pyflyte {command}: the warm process died"
            printed: list[str] = []
            for stream in (out, errors):
                stream.seek(0)
                printed.append(stream.read().decode())
        return subprocess.CompletedProcess([str(_SCRIPT), *command], int(json.loads(answer)), *printed)

    def _socket(self, environment: Mapping[str, str]) -> str:
        key = frozenset(environment.items())
        if key not in self._sockets:
            path = str(self._folder / f"{len(self._sockets)}.sock")
            server = subprocess.Popen(
                [sys.executable, _SERVER, path, _SCRIPT],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            # Leaving a Popen closes its pipes, which ends the server, and waits for it.
            self._servers.enter_context(server)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            self._sockets[key] = path
        return self._sockets[key]
