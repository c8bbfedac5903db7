"""Service processes without the price of their imports: one process loads what all of them share, and forks.

What services share (gRPC, NATS, Postgres, our libraries) takes most of a service's start. A fork of a process that has
it loaded takes some milliseconds; the service's own modules are imported in its own process, so nothing of one service
is in another. The processes are as separate as any: own ids, sessions, environments and logs.

The loaded process is this module as a program. It is told what to start by lines of JSON on its standard input, and
answers on its standard output: `{"started": <number>, "pid": …}` and `{"ended": <pid>, "code": …}`. When its input ends
it ends, and on Linux its services end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

_LOADED = (
    "flightlog_blobs",
    "flightlog_compiler",
    "flightlog_log",
    "flightlog_read",
    "flightlog_rpc",
    "flightlog_service",
    "flightlog_telemetry",
    "flightlog_types",
)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_KILLED = -signal.SIGKILL


class Forked:
    """A process that was forked; used like `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Waits for its end; the exit code."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Raises `ProcessLookupError` when it has ended."""
        if self._ended.done():
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL. Raises `ProcessLookupError` when it has ended."""
        self.send_signal(signal.SIGKILL)

    def end(self, code: int) -> None:
        """It is over."""
        if not self._ended.done():
            self._ended.set_result(code)


class Forker:
    """The loaded process, started when it is first needed, and again when it died."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._numbers = count(1)
        self._starting: dict[int, asyncio.Future[Forked]] = {}
        self._running: dict[int, Forked] = {}
        self._lock = asyncio.Lock()

    async def start(self, module: str, environment: Mapping[str, str], log: Path) -> Forked:
        """A process that runs `python -m <module>` with this environment and its output behind the end of `log`.

        Raises `OSError` when it cannot be made.
        """
        async with self._lock:
            process = self._process
            if process is None or self._reading is None or self._reading.done():
                process = await self._load()
            number = next(self._numbers)
            started = self._starting[number] = asyncio.get_running_loop().create_future()
            order = {"number": number, "module": module, "environment": dict(environment), "log": str(log)}
            assert process.stdin is not None
            process.stdin.write(json.dumps(order).encode() + b"\n")
        return await started

    async def close(self) -> None:
        """Ends the loaded process. Services that still run end with it."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _load(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # -P: a folder `services` in the directory where `flightlog up` was typed must not hide ours.
                "-P",
                "-m",
                __name__,
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._process = process
        self._reading = asyncio.create_task(self._read(process))
        return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            answer: dict[str, int] = json.loads(line)
            if "started" in answer:
                forked = self._running[answer["pid"]] = Forked(answer["pid"])
                starting = self._starting.pop(answer["started"])
                if starting.cancelled():
                    with contextlib.suppress(ProcessLookupError):
                        forked.kill()  # nobody else would end it
                else:
                    starting.set_result(forked)
            else:
                self._running.pop(answer["ended"]).end(answer["code"])
        # It died, and its services with it.
        for starting in self._starting.values():
            if not starting.cancelled():
                starting.set_exception(OSError(f"the process that forks services ended; see {self._log}"))
        for forked in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(forked.pid, signal.SIGKILL)
            forked.end(_KILLED)
        self._starting.clear()
        self._running.clear()


# --- the loaded process --------------------------------------------------------------------------------------------


def main(supervisor: int) -> None:
    """Load, then fork as told until the input ends or the supervisor is gone."""
    _die_with_parent(supervisor, signal.SIGTERM)
    for module in _LOADED:
        importlib.import_module(module)
    # A collection in a child would copy every page it looks at.
    gc.collect()
    gc.freeze()
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pending = b""
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            _reap()
        if 0 in readable:
            received = os.read(0, 1 << 16)
            if not received:
                return
            *orders, pending = (pending + received).split(b"\n")
            for order in orders:
                _fork(json.loads(order), (woken, waking))


def _fork(order: Mapping[str, Any], own: tuple[int, int]) -> None:
    loaded = os.getpid()
    pid = os.fork()
    if pid:
        _say({"started": order["number"], "pid": pid})
        return
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in own:
            os.close(descriptor)
        os.setsid()
        _stand_on(Path(order["log"]))
        _die_with_parent(loaded, signal.SIGTERM)
        code = _run(order["module"], order["environment"])
    except BaseException:  # noqa: BLE001 - the edge of a process: it must not go on as the one that forks
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(module: str, environment: Mapping[str, str]) -> int:
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, module.rpartition(".")[2].encode()[:15], 0, 0, 0)
    try:
        importlib.import_module(f"{module}.main").main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _stand_on(log: Path) -> None:
    """Nothing comes in; what is printed goes behind the end of the log."""
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, standard)
    os.close(nothing)
    os.close(output)


def _die_with_parent(parent: int, number: signal.Signals) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _say(answer: Mapping[str, int]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
