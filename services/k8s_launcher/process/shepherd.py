"""Stands over one task process from its start to its end, and writes down how it ended.

The shepherd is the reason why a launcher may die while tasks run. It has a session of its own, so nothing that stops
the launcher reaches it, and it is the task's parent, so it alone learns the exit code. Over time:

1. It forks the task, which waits. The task gets a process group of its own, so that signals meant for the task and
   whatever it starts do not meet the shepherd. Both may wait like that for an order that is still to come.
2. It makes `claim.json` in the attempt's directory, with the ids of both processes. Making that file is what decides
   who runs an attempt: it is made once, by whoever comes first. Finding it there, the shepherd lets the task go unborn.
3. It says so to whoever ordered the task, and hands the task its order.
4. When the task ends, it kills what the task left behind, as the end of a container would, and writes `exit.json`.

Runs in two ways: as a script with an order on its standard input, for commands that are programs
(`python -I -S shepherd.py`); and forked by the zygote, for tasks that are Python code already loaded there. It imports
nothing but the standard library, because the zygote's Python may be any environment.
"""

# Every task pays for what is imported and built here, hence plain os calls.
# ruff: noqa: PTH104, PTH108, PTH118, PTH123

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

CLAIM = "claim.json"
EXIT = "exit.json"

_PR_SET_CHILD_SUBREAPER = 36
_LEFTOVERS_SECONDS = 2.0
_FULL_DISK_SECONDS = 600.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Signals that Python or asyncio ignore or catch; a program expects the defaults.
_RESET = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGXFSZ)


class Order:
    """What a shepherd is told: read from JSON, whose keys are the names below.

    `directory` is the attempt's directory, `work` the task's working directory. `environment` is complete.
    `held` is for the launcher alone: it is kept in the claim and tells a later launcher what the attempt occupies.
    `memory_limit` in bytes is enforced when above 0. `code` is where the code that the command would fetch lies
    already, or "".
    """

    def __init__(self, line: bytes) -> None:
        fields: dict[str, Any] = json.loads(line)
        self.line = line
        self.id: int = fields["id"]
        self.directory: str = fields["directory"]
        self.work: str = fields["work"]
        self.argv: list[str] = fields["argv"]
        self.environment: dict[str, str] = fields["environment"]
        self.held: dict[str, Any] = fields["held"]
        self.memory_limit: int = fields["memory_limit"]
        self.code: str = fields["code"]


def start_time(pid: int) -> int:
    """When a process started, in ticks since boot; 0 when there is no such process or the system does not tell.

    Together with the process id it names a process for good: ids are used again.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def boot_id() -> str:
    """Names this boot of the machine: ids and start times of processes mean something within it only."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def claim(directory: str, content: dict[str, Any]) -> bool:
    """Make the attempt's claim, whole or not at all. False when somebody was first."""
    partial = os.path.join(directory, f".claim.{os.getpid()}")
    _write(partial, content)
    try:
        os.link(partial, os.path.join(directory, CLAIM))
    except FileExistsError:
        return False
    finally:
        os.unlink(partial)
    return True


def tend(
    receive: Callable[[], Order | None],
    body: Callable[[Order], int],
    started: Callable[[dict[str, Any]], None],
    *,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Be the shepherd of one task, whose order `receive` waits for; None sends both home.

    `prepare` and then `body` run in the task's process, the first before there is an order; `body` gives the exit
    code, and may also exec. `started` is called once: with the claim, with `{"refused": True}` when the attempt belongs
    to somebody else, or with `{"error": …}`.
    """
    os.setsid()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        # What a task leaves behind becomes our child, and is killed with it.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gate_read, gate_write = os.pipe()
    task = os.fork()
    if task == 0:
        _be_task(gate_read, prepare, body)
    os.close(gate_read)
    with contextlib.suppress(OSError):  # the task does the same; whoever comes first
        os.setpgid(task, task)
    order = receive()
    if order is None:
        os.close(gate_write)
        os.waitpid(task, 0)
        return
    kills_before = _oom_kills()
    began = time.monotonic()
    content = {
        "shepherd": os.getpid(),
        "shepherd_start": start_time(os.getpid()),
        "task": task,
        "task_start": start_time(task),
        "boot": boot_id(),
        "started_at": time.time(),
        "held": order.held,
    }
    try:
        answer = {"claim": content} if claim(order.directory, content) else {"refused": True}
    except OSError as error:
        answer = {"error": str(error)}
    if "claim" in answer:
        started({"id": order.id, **answer})
        with contextlib.suppress(BrokenPipeError), open(gate_write, "wb") as gate:
            gate.write(order.line)
    else:
        os.close(gate_write)
        os.waitpid(task, 0)
        started({"id": order.id, **answer})
        return
    over_limit = _watch_memory(task, order.memory_limit) if order.memory_limit else 0
    _, status, usage = os.wait4(task, 0)
    wall = time.monotonic() - began
    _kill_leftovers(task)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    _write_exit(
        order.directory,
        {
            "code": 128 + number if number else os.WEXITSTATUS(status),
            "signal": number,
            "out_of_memory": bool(over_limit) or (number == signal.SIGKILL and _oom_kills() > kills_before),
            "peak_memory_bytes": max(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), over_limit),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "wall_seconds": wall,
            "ended_at": time.time(),
        },
    )


def _be_task(gate: int, prepare: Callable[[], None], body: Callable[[Order], int]) -> None:
    code = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        for name in _RESET:
            signal.signal(name, signal.SIG_DFL)
        # The shepherd's and the zygote's files are not the task's, and an open one would keep its other end waiting.
        gate = os.dup2(gate, 3, inheritable=False) if gate != 3 else gate
        os.closerange(4, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096))
        prepare()
        with open(gate, "rb") as orders:
            line = orders.read()
        if not line.endswith(b"\n"):
            os._exit(0)
        order = Order(line)
        null = os.open(os.devnull, os.O_RDONLY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        out = os.open(os.path.join(order.directory, "stdout"), flags, 0o600)
        err = os.open(os.path.join(order.directory, "stderr"), flags, 0o600)
        for number, descriptor in enumerate((null, out, err)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(order.work)
        code = body(order)
    except BaseException:  # noqa: BLE001 (the end of this process; the task's log is where its user looks)
        import traceback

        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(code)


def _kill_leftovers(task: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(task, signal.SIGKILL)
    deadline = time.monotonic() + _LEFTOVERS_SECONDS
    while time.monotonic() < deadline:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _watch_memory(task: int, limit: int) -> int:
    """Return when the task has ended (0), or after killing it for using more than `limit` bytes (what it used)."""
    handle = os.pidfd_open(task)
    try:
        while not select.select([handle], [], [], 1.0)[0]:
            used = _anonymous_memory(task)
            if used > limit:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(task, signal.SIGKILL)
                return used
    finally:
        os.close(handle)
    return 0


def _anonymous_memory(pid: int) -> int:
    """Bytes that a process and what it started hold for themselves (files in the page cache left out)."""
    total, pending = 0, [pid]
    while pending:
        current = pending.pop()
        try:
            with open(f"/proc/{current}/statm") as file:
                resident, shared = file.read().split()[1:3]
            with open(f"/proc/{current}/task/{current}/children") as file:
                pending.extend(int(word) for word in file.read().split())
        except OSError:
            continue
        total += (int(resident) - int(shared)) * _PAGE
    return total


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot: a hint at who sent a SIGKILL."""
    try:
        with open("/proc/vmstat", "rb") as file:
            return int(file.read().partition(b"\noom_kill ")[2].split(b"\n", 1)[0] or 0)
    except (OSError, ValueError):
        return 0


def _write_exit(directory: str, content: dict[str, Any]) -> None:
    partial = os.path.join(directory, f".exit.{os.getpid()}")
    deadline = time.monotonic() + _FULL_DISK_SECONDS
    while True:
        try:
            _write(partial, content)
            os.rename(partial, os.path.join(directory, EXIT))
            return
        except FileNotFoundError:  # whoever removed the attempt's directory does not want to know
            return
        except OSError:
            # Nobody else knows how it ended, and a disk that is full now may not be in a minute.
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _write(path: str, content: dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, json.dumps(content).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run_program(order: Order) -> int:
    """Become the ordered program. Returns only when that is impossible, with the code a shell would give."""
    try:
        os.execvpe(order.argv[0], order.argv, order.environment)
    except OSError as error:
        os.write(2, f"{order.argv[0]}: {error.strerror}\n".encode())
        return 127 if isinstance(error, FileNotFoundError) else 126


def _main() -> None:
    order = Order(sys.stdin.buffer.readline())
    answer = os.dup(1)
    os.set_inheritable(answer, False)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)

    def started(message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the launcher died in between; the claim tells its successor
            os.write(answer, json.dumps(message).encode() + b"\n")
        os.close(answer)

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    tend(lambda: order, _run_program, started)


if __name__ == "__main__":
    _main()
