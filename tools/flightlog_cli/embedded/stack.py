"""`flightlog up`: the servers and the services of one data folder, supervised until somebody says stop.

Order: the servers first, then all services at once. A part that dies is started again on the same ports with the same
settings, at first at once, then with growing pauses; the others stay up and find it again. On stop the services end
first, so that nothing writes when the servers go.

<folder>/endpoints.json  where clients find the stack; there while it serves, readable by its owner alone
<folder>/parts.json      process ids of all parts, for `flightlog status` and for the next start after a crash
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import structlog

from .child import Child, StackError
from .folder import DataFolder, is_free, write_private
from .forking import Forker
from .servers import Servers, servers_on
from .services import PUBLIC, SERVICES, ServicePorts, service_ports, service_program

ENDPOINTS = "endpoints.json"
PARTS = "parts.json"
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 10.0
# A part that ran this long before it died was well: its next restart is immediate again.
_WELL_SECONDS = 30.0

_log = structlog.stdlib.get_logger("flightlog.up")


@dataclass(frozen=True)
class Endpoints:
    """What a client of the stack must know. `postgres` and the credentials are secrets."""

    grpc: str
    nats: str
    postgres: str
    s3: str
    bucket: str
    object_directory: str
    credentials: dict[str, str]
    metrics: dict[str, str]

    @staticmethod
    def read(folder: Path) -> "Endpoints":
        """Endpoints of the stack that runs on the folder. Raises `StackError` when none does."""
        try:
            return Endpoints(**json.loads((folder.expanduser() / ENDPOINTS).read_text()))
        except (OSError, TypeError, ValueError):
            raise StackError(f"No stack runs on {folder}. Start one with `flightlog up --data {folder}`.") from None


@dataclass
class Part:
    """One supervised child and how often it had to be started again."""

    child: Child
    restarts: int = 0
    since: float = 0.0
    """Unix time of its last start."""


@dataclass
class Stack:
    """A running stack."""

    folder: DataFolder
    endpoints: Endpoints
    parts: dict[str, Part]

    def record(self) -> None:
        """Write the process ids of all parts."""
        parts = {
            name: {
                "pid": part.child.pid,
                "created": _created(part.child.pid),
                "since": part.since,
                "restarts": part.restarts,
                "log": str(part.child.program.log),
            }
            for name, part in self.parts.items()
        }
        text = json.dumps({"supervisor": os.getpid(), "parts": parts}, indent=1)
        write_private(self.folder.path / PARTS, text)

    async def supervise(self) -> None:
        """Start again whatever dies, until cancelled."""
        async with asyncio.TaskGroup() as watching:
            for name in self.parts:
                watching.create_task(self._watch(name))

    async def _watch(self, name: str) -> None:
        part = self.parts[name]
        pause = _FIRST_PAUSE_SECONDS
        while True:
            code = await part.child.wait()
            pause = _FIRST_PAUSE_SECONDS if time.time() - part.since > _WELL_SECONDS else pause
            _log.warning("part.died", part=name, exit_code=code, restart_in_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            part.since = time.time()
            try:
                await part.child.start()
            except StackError as error:
                _log.error("part.restart_failed", part=name, reason=str(error))
                continue
            part.restarts += 1
            self.record()
            _log.info("part.restarted", part=name, pid=part.child.pid)


@asynccontextmanager
async def run_stack(data: Path, *, host: str = "127.0.0.1", port: int = 8089) -> AsyncGenerator[Stack]:
    """Run everything on a data folder, which is made when missing; stop it on leaving.

    `host` is where clients reach the gRPC port and the S3 endpoint; `port` 0 takes the port of the last run, or a free
    one. The caller awaits `Stack.supervise`. Raises `StackError` with a sentence for the person who typed the command.
    """
    folder = DataFolder(data)
    try:
        _end_leftovers(folder.path)
        if port and not is_free(host, port):
            raise StackError(f"Port {port} on {host} is taken. Choose another with --port (0: any free one).")
        async with servers_on(folder, host=host) as servers:
            ports = service_ports(folder, host, port)
            forker = Forker(folder.log("services"))
            services = {
                name: Child(service_program(name, folder, servers, ports, host=host), forker) for name in SERVICES
            }
            stack = Stack(
                folder,
                _endpoints(servers, ports, host),
                {name: Part(child) for name, child in {**servers.children, **services}.items()},
            )
            try:
                # Written before the services start: a crash from here on leaves no process unknown.
                stack.record()
                await _start(services.values(), stack)
                write_private(folder.path / ENDPOINTS, json.dumps(asdict(stack.endpoints), indent=1))
                yield stack
            finally:
                (folder.path / ENDPOINTS).unlink(missing_ok=True)
                await asyncio.gather(*(child.stop() for child in services.values()))
                await forker.close()
    finally:
        (folder.path / PARTS).unlink(missing_ok=True)
        folder.release()


async def _start(children: Iterable[Child], stack: Stack) -> None:
    try:
        async with asyncio.TaskGroup() as starting:
            for child in children:
                starting.create_task(child.start())
    except* StackError as failures:
        raise failures.exceptions[0] from None
    for part in stack.parts.values():
        part.since = time.time()
    stack.record()


def _endpoints(servers: Servers, ports: ServicePorts, host: str) -> Endpoints:
    return Endpoints(
        grpc=f"{f'[{host}]' if ':' in host else host}:{ports.grpc[PUBLIC]}",
        nats=servers.nats_url,
        postgres=servers.dsn,
        s3=servers.s3_endpoint,
        bucket=servers.bucket,
        object_directory=str(servers.object_directory),
        credentials={
            "nats_user": servers.nats_user,
            "nats_password": servers.nats_password,
            "s3_access_key": servers.s3_access_key,
            "s3_secret_key": servers.s3_secret_key,
        },
        metrics={name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.metrics.items()},
    )


def _created(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time() if pid else 0.0
    except psutil.NoSuchProcess:
        return 0.0


def _end_leftovers(folder: Path) -> None:
    """End the parts of a stack whose supervisor was killed: they hold the ports and the files.

    On Linux they end by themselves with the supervisor; this waits for them, and kills what does not go.
    """
    try:
        parts = json.loads((folder / PARTS).read_text())["parts"].values()
    except (OSError, ValueError, KeyError):
        return
    processes: list[psutil.Process] = []
    for part in parts:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(part["pid"])
            # The same process id is not the same process: ids are used again.
            if part["pid"] and abs(process.create_time() - part["created"]) < 1.0:
                process.terminate()
                processes.append(process)
    _, alive = psutil.wait_procs(processes, timeout=3.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=3.0)
