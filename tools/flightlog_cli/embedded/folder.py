"""The data folder of an embedded stack: who may use it, the ports and passwords of its parts.

<folder>/lock              held by the one process that runs the stack
<folder>/credentials.json  passwords and keys, made once, readable by the owner alone
<folder>/ports.json        the ports of the last run, used again when they are free
<folder>/nats postgres objects tasks logs run   one folder per part
"""

import fcntl
import json
import os
import random
import secrets
import socket
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from .child import StackError

# Below the range from which systems take the ports of outgoing connections: a port stays ours while we are down.
_PORTS = range(20_000, 32_000)
# The kernel allows 107 bytes for the path of a unix socket; Postgres appends "/.s.PGSQL.5432".
_SOCKET_FOLDER_BYTES = 90


@dataclass(frozen=True)
class Credentials:
    """Names and secrets of the parts of one data folder."""

    nats_user: str
    nats_password: str
    postgres_user: str
    postgres_password: str
    s3_access_key: str
    s3_secret_key: str


class DataFolder:
    """The folder of one stack, locked for this process until `release`.

    Raises `StackError` when another process has the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            os.close(self._lock)
            raise StackError(
                f"{self.path} is in use by another `flightlog up` (process {holder or 'unknown'}). "
                "Stop that one, or choose another folder with --data."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._lock)

    def part(self, name: str) -> Path:
        """Sub-folder of one part, made when missing."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        """File that takes what a part prints."""
        return self.part("logs") / f"{name}.log"

    def socket_folder(self) -> Path:
        """Folder for unix sockets: in the data folder where that path is short enough, else in the temporary folder."""
        inside = self.part("run") / "postgres"
        inside.mkdir(mode=0o700, exist_ok=True)
        if len(os.fsencode(inside)) <= _SOCKET_FOLDER_BYTES:
            return inside
        digest = sha256(os.fsencode(self.path)).hexdigest()[:12]
        outside = Path(tempfile.gettempdir()) / f"flightlog-{os.geteuid()}-{digest}"
        outside.mkdir(mode=0o700, exist_ok=True)
        if outside.is_symlink() or (os.geteuid() != 0 and outside.stat().st_uid != os.geteuid()):
            raise StackError(f"{outside} belongs to somebody else. Choose a data folder with a shorter path.")
        return outside

    def credentials(self) -> Credentials:
        """The folder's credentials, generated at first use."""
        path = self.path / "credentials.json"
        if not path.exists():
            write_private(
                path,
                json.dumps(
                    {
                        "nats_user": "flightlog",
                        "nats_password": secrets.token_urlsafe(24),
                        "postgres_user": "flightlog",
                        "postgres_password": secrets.token_urlsafe(24),
                        "s3_access_key": secrets.token_hex(10),
                        "s3_secret_key": secrets.token_urlsafe(30),
                    },
                    indent=1,
                ),
            )
        return Credentials(**json.loads(path.read_text()))

    def port(self, name: str, host: str) -> int:
        """A free port for a part: where possible the one it had last time, so that those who know it find it again."""
        path = self.path / "ports.json"
        ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        port = ports.get(name, 0)
        if not (port and is_free(host, port)):
            taken = set(ports.values())
            port = next(p for p in random.SystemRandom().sample(_PORTS, 1000) if p not in taken and is_free(host, p))
            write_private(path, json.dumps({**ports, name: port}, indent=1))
        return port


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read; readers see the old text or the new one, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
