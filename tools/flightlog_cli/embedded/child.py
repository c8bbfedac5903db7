"""One program of the embedded stack: start it, wait until it serves, stop it, notice that it died.

A `Child` is restarted in place: the same command, the same log file, a new process. Everything it prints goes to its
log file, whose end is quoted when it does not come up.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .forking import Forker

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.01
_START_ATTEMPTS = 6


class StackError(Exception):
    """The embedded stack cannot do what was asked; the message is meant for the person who asked."""


@dataclass(frozen=True)
class Account:
    """A system user to run a program as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Program:
    """What to run and how to know that it serves.

    `command` is a command line, or the name of a package of ours whose `main.main` runs it. `ready` is asked every few
    milliseconds with the process id until it says yes. `stop_signal` asks for a clean stop.
    """

    name: str
    command: Sequence[str | Path] | str
    log: Path
    ready: Callable[[int], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 30.0
    stop_seconds: float = 15.0


class Process(Protocol):
    """A process of this machine, as `asyncio.subprocess` has it."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def send_signal(self, signal: int, /) -> None: ...

    def kill(self) -> None: ...

    async def wait(self) -> int: ...


class Child:
    """A program and the process that runs it now. `forker` makes the processes of packages of ours.

    Raises `StackError` from `start` when the program does not serve within `start_seconds`.
    """

    def __init__(self, program: Program, forker: Forker | None = None) -> None:
        self.program = program
        self._forker = forker
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Process id of the running process, 0 when there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        """Start the process and return when it serves.

        A process that ends at once is started again a few times: after a crash the dying parts of its predecessor may
        hold the port, the shared memory or the lock for some moments more. Not so one that says its settings are wrong.
        """
        deadline = asyncio.get_running_loop().time() + self.program.start_seconds
        outcome = ""
        for attempt in range(_START_ATTEMPTS):
            self._process = await self._spawn()
            if await self._serves(self._process, deadline):
                return
            if self._process.returncode is None:
                await self.kill()
                outcome = f"did not serve within {self.program.start_seconds:.0f} s"
                break
            outcome = f"ended with exit code {self._process.returncode}"
            if self._process.returncode == os.EX_CONFIG:
                break
            await asyncio.sleep(0.1 * 2**attempt)
        raise StackError(
            f"{self.program.name} does not start: it {outcome}. The end of {self.program.log}:\n{self._log_tail()}"
        )

    async def wait(self) -> int:
        """Wait for the process to end; returns its exit code (negative: killed by that signal)."""
        assert self._process is not None, "not started"
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask for a clean stop, and kill when it takes longer than `stop_seconds`."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.program.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.program.stop_seconds)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def restart(self) -> None:
        """Start again after the process died or was killed."""
        await self.kill()
        await self.start()

    async def _spawn(self) -> Process:
        program = self.program
        program.log.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(program.command, str):
            assert self._forker is not None, f"{program.name} is a package: a forker runs it"
            try:
                return await self._forker.start(program.command, {**os.environ, **program.environment}, program.log)
            except OSError as error:
                raise StackError(f"{program.name} does not start: {error}") from error
        account = program.account
        uid, gid = (account.uid, account.gid) if account is not None else (-1, -1)
        with program.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                _LAUNCH,
                str(os.getpid()),
                str(int(program.stop_signal)),
                str(uid),
                str(gid),
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **program.environment},
                # A Ctrl-C in the terminal must reach the supervisor alone: it stops the parts in order.
                start_new_session=True,
            )

    async def _serves(self, process: Process, deadline: float) -> bool:
        while process.returncode is None and asyncio.get_running_loop().time() < deadline:
            if await self.program.ready(process.pid):
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def _log_tail(self, lines: int = 15) -> str:
        try:
            return "\n".join(self.program.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"


async def accepts_connections(host: str, port: int) -> bool:
    """Whether something listens on the TCP port."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
