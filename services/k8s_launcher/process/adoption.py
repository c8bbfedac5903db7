"""Knowing processes that are not our children: is it still the one, when is it gone, make it go.

A process is named by its id, its start time and the boot of the machine, because ids are used again. On Linux its end
is awaited through a pidfd; elsewhere by asking a few times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil

from services.k8s_launcher.process import shepherd
from services.k8s_launcher.process.attempts import Claim

_POLL_SECONDS = 0.2
_GONE_SECONDS = 5.0


def is_alive(pid: int, start: int, boot: str) -> bool:
    """Whether the process that was started then is still there. A zombie is not."""
    if boot != shepherd.boot_id():
        return False
    if sys.platform == "linux":
        return shepherd.start_time(pid) == start and not _is_zombie(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def wait_gone(pid: int, start: int, boot: str) -> None:
    """Return when the process has ended."""
    if sys.platform != "linux":
        while is_alive(pid, start, boot):  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(_POLL_SECONDS)
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Asked after opening: from here on the handle means this process, whatever becomes of the id.
        if not is_alive(pid, start, boot):
            return
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(handle, lambda: gone.done() or gone.set_result(None))
        try:
            await gone
        finally:
            loop.remove_reader(handle)
    finally:
        os.close(handle)


def signal_task(claim: Claim, number: signal.Signals) -> None:
    """Send a signal to the task's process group, if the task is still there."""
    if claim.boot != shepherd.boot_id() or shepherd.start_time(claim.task) != claim.task_start:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(claim.task, number)


async def stop(claim: Claim, grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL after the grace time; returns when the shepherd has written how it ended, and is gone."""
    signal_task(claim, signal.SIGTERM)
    gone = asyncio.ensure_future(wait_gone(claim.shepherd, claim.shepherd_start, claim.boot))
    try:
        await asyncio.wait_for(asyncio.shield(gone), grace_seconds)
    except TimeoutError:
        signal_task(claim, signal.SIGKILL)
        await gone
    finally:
        gone.cancel()


async def end_orphan(claim: Claim, work: Path) -> None:
    """A task whose shepherd is gone has nobody to say how it ended: kill it, so that a retry does not run beside it."""
    if claim.boot != shepherd.boot_id():
        return
    left = await asyncio.to_thread(_left_of, claim, work)
    signal_task(claim, signal.SIGKILL)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()  # of this process and no other that has its id by now: psutil looks at the start time
    await asyncio.to_thread(psutil.wait_procs, left, _GONE_SECONDS)
    await wait_gone(claim.task, claim.task_start, claim.boot)


def _left_of(claim: Claim, work: Path) -> list[psutil.Process]:
    """What a task started, as far as that can still be told: its descendants, and what works in its directory."""
    left: list[psutil.Process] = []
    if shepherd.start_time(claim.task) == claim.task_start:
        with contextlib.suppress(psutil.Error):
            left = psutil.Process(claim.task).children(recursive=True)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(work):
                left.append(process)
    return left


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True
