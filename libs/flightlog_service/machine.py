"""How much of its machine a process may use: a container sees all processors and all memory, and may not have them.

Limits are those of Linux' control groups, of version 2 and version 1 (kernel.org, admin-guide/cgroup-v2 and -v1).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")


def processors(groups: Path = CONTROL_GROUPS) -> float:
    """How many processors this process may keep busy; a part of one is possible."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _numbers(groups / "cpu.max") or [
        *_numbers(groups / "cpu/cpu.cfs_quota_us"),
        *_numbers(groups / "cpu/cpu.cfs_period_us"),
    ]
    return min(usable, limit[0] / limit[1]) if len(limit) == 2 else usable


def memory_bytes(groups: Path = CONTROL_GROUPS) -> int | None:
    """What this container may use at most; None: all that there is. A process that uses more is killed."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        if found := _numbers(groups / name):
            return found[0]
    return None


def _numbers(file: Path) -> list[int]:
    """What a file says; nothing where there is none, or no limit (`max`, -1)."""
    try:
        words = file.read_text().split()
    except OSError:
        return []
    return [int(word) for word in words] if all(word.isdecimal() for word in words) else []
