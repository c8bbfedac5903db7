"""The launcher's side of the processes that start tasks: zygotes (warm Python) and shepherds of plain programs.

A zygote is started with the launcher, once per Python environment in use, and started again when it dies; attempts that
wait for it wait on. Its death ends no task: those belong to their shepherds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from services.k8s_launcher.process import shepherd
from services.k8s_launcher.process.code import FAST_EXECUTE

_log = structlog.get_logger(__name__)

ENTRY_POINTS = frozenset({"pyflyte-execute", FAST_EXECUTE, "pyflyte-map-execute"})

# Read by the loader, the interpreter or a native library before any Python code runs: a fork is too late for them.
_START_VARIABLES = (
    *("LD_", "DYLD_", "MALLOC_", "GLIBC_TUNABLES", "GOMP_", "KMP_", "OMP_", "OPENBLAS_", "MKL_", "BLIS_"),
    *("NUMEXPR_", "VECLIB_", "ARROW_", "PYTHONHASHSEED", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS"),
    *("OPENSSL_", "SSLKEYLOGFILE", "SSL_CERT_"),
    *("PYTHONOPTIMIZE", "PYTHONUTF8", "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONNOUSERSITE", "PYTHONFAULTHANDLER"),
)
# A script: importing it would change our own import path.
_ZYGOTE = Path(__file__).with_name("zygote.py")
_LOADING_TRIES = 3
_LONGEST_ANSWER_BYTES = 16 << 20
_RESTART_SECONDS = (0.1, 0.5, 2.0, 10.0, 30.0)


class StartFailed(Exception):
    """The order may or may not have reached a shepherd; the claim tells."""


class EnvironmentBroken(Exception):
    """The Python environment cannot run flytekit tasks; the message has its traceback."""


def needs_own_process(environment: Mapping[str, str], machine: Mapping[str, str]) -> str:
    """The first variable that differs from the machine's and works only from a process's start; "" for none."""
    for name in sorted(environment):
        if name.startswith(_START_VARIABLES) and environment[name] != machine.get(name):
            return name
    return ""


def is_entry_point(argv: Sequence[str]) -> bool:
    """Whether a command is flytekit's, all the way down: a fast-execute may wrap a program of another kind."""
    if Path(argv[0]).name not in ENTRY_POINTS:
        return False
    if Path(argv[0]).name == FAST_EXECUTE and "--" in argv:
        return is_entry_point(argv[argv.index("--") + 1 :] or ["?"])
    return True


class Zygote:
    """One Python environment's warm process. `run` keeps it alive; `start` waits until it is there."""

    def __init__(self, python: Path, *, modules: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.python = python
        self._modules = tuple(modules)
        self._environment = dict(environment)
        self._log_file = log
        self._ready = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._broken = ""
        self._was_ready = False
        self.pid = 0

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set() and not self._broken

    async def start(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Have a task forked; returns the shepherd's answer. Raises `StartFailed` or `EnvironmentBroken`."""
        await self._ready.wait()
        if self._broken:
            raise EnvironmentBroken(self._broken)
        assert self._writer is not None
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[order["id"]] = answer
        try:
            self._writer.write(json.dumps(order).encode() + b"\n")
            await self._writer.drain()
            return _accepted(await answer)
        except OSError as error:
            raise StartFailed(f"the worker process of {self.python} is gone: {error}") from None
        finally:
            self._answers.pop(order["id"], None)

    async def run(self) -> None:
        """Start the process and start it again whenever it ends. An environment without flytekit is given up."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._live()
            except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
                self._give_up(str(error))
            except OSError as error:
                _log.warning("zygote.not_started", python=str(self.python), error=repr(error))
            else:
                if not self._broken and not self._was_ready and failures >= _LOADING_TRIES - 1:
                    self._give_up(f"{self.python} ended {failures + 1} times while loading; see {self._log_file}")
            if asyncio.get_running_loop().time() - began > 60:
                failures = 0
            delay = _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS) - 1)]
            failures += 1
            _log.warning("zygote.ended", python=str(self.python), restart_in=delay)
            await asyncio.sleep(delay)

    async def _live(self) -> None:
        ours, theirs = socket.socketpair()
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with theirs, self._log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                self.python,
                _ZYGOTE,
                str(theirs.fileno()),
                *self._modules,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_ANSWER_BYTES)
        self._was_ready = False
        self.pid = process.pid
        try:
            while line := await reader.readline():
                self._hear(json.loads(line), writer)
        finally:
            self.pid = 0
            if not self._broken:
                self._ready.clear()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(StartFailed(f"the worker process of {self.python} ended"))
            writer.close()
            # The closed socket would be sign enough, but not while it is still importing. The shepherds live on.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _give_up(self, reason: str) -> None:
        """Tell those who wait; the next one that becomes ready makes up for it."""
        self._broken = reason
        self._ready.set()
        _log.error("zygote.broken", python=str(self.python), error=reason)

    def _hear(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if "failed" in message:
            self._give_up(message["failed"])
        elif "ready" in message:
            self._broken, self._writer, self._was_ready = "", writer, True
            self._ready.set()
            _log.info("zygote.ready", python=str(self.python), pid=self.pid, missing=message["missing"])
        else:
            answer = self._answers.get(message["id"])
            if answer is None or answer.done():
                return
            if "over" in message:
                answer.set_exception(StartFailed("the shepherd ended before it answered"))
            else:
                answer.set_result(message)


async def start_program(order: Mapping[str, Any]) -> dict[str, Any]:
    """Have a program started by a shepherd of its own; returns the shepherd's answer. Raises `StartFailed`."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            shepherd.__file__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            start_new_session=False,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdin.drain()
        process.stdin.close()
        line = await process.stdout.readline()
    except OSError as error:
        raise StartFailed(f"no process could be started: {error}") from None
    if not line:
        raise StartFailed("the shepherd ended before it answered")
    return _accepted(json.loads(line))


def _accepted(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise StartFailed(answer["error"])
    return answer


def find_program(name: str, *, path: str, directory: Path) -> str | None:
    """Where a command is on this machine, as a shell in `directory` would find it; None when it is not."""
    if "/" not in name:
        return shutil.which(name, path=path)
    full = directory / name
    return str(full) if full.is_file() and os.access(full, os.X_OK) else None
