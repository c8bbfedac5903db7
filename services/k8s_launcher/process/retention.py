"""Removes records and output of ended attempts, when they are old or too many.

An attempt that is not over is never touched. One that is, and whose record is gone, is not started again: the launcher
asks the log about orders from before it began (`shell.Launcher`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from flightlog_types import quantities
from services.k8s_launcher.process.attempts import attempt_directories
from services.k8s_launcher.settings import ProcessSettings

_ROUND_SECONDS = 3600.0
_DAY_SECONDS = 86400.0

_log = structlog.get_logger(__name__)


async def keep_tidy(settings: ProcessSettings) -> None:
    """Look once an hour, until cancelled."""
    while True:
        try:
            removed = await asyncio.to_thread(
                tidy,
                settings.directory,
                oldest=time.time() - settings.keep_ended_days * _DAY_SECONDS,
                most_bytes=int(quantities.parse(settings.keep_ended_bytes)),
            )
            _log.info("attempts.tidied", removed=removed)
        except OSError as error:
            _log.warning("attempts.not_tidied", error=repr(error))
        await asyncio.sleep(_ROUND_SECONDS)


@dataclass(frozen=True)
class _Ended:
    directory: Path
    ended_at: float
    size: int


def tidy(data: Path, *, oldest: float, most_bytes: int) -> int:
    """Remove what ended before `oldest` (Unix time), then the oldest until `most_bytes` are left; returns how many."""
    ended = sorted(_ended(data), key=lambda item: item.ended_at)
    total = sum(item.size for item in ended)
    removed = 0
    for item in ended:
        if item.ended_at >= oldest and total <= most_bytes:
            break
        _remove(item.directory, data / "attempts")
        total -= item.size
        removed += 1
    return removed


def _ended(data: Path) -> Iterator[_Ended]:
    for directory in attempt_directories(data):
        status = [entry.stat(follow_symlinks=False) for entry in os.scandir(directory)]
        yield _Ended(directory, max((s.st_mtime for s in status), default=0.0), sum(s.st_size for s in status))


def _remove(directory: Path, root: Path) -> None:
    for file in directory.iterdir():
        file.unlink(missing_ok=True)
    # Up to the first folder that holds something else.
    with contextlib.suppress(OSError):
        while directory != root:
            directory.rmdir()
            directory = directory.parent
