"""How many processes may work beside this one: by processors, and by the memory that a container may use.

A container sees all of its machine's processors, and is killed for using more memory than it was given.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Of version 2 and version 1 of Linux' control groups."""


def processes(most: int, *, each_bytes: int, own_bytes: int, cgroups: Path = _CGROUPS) -> int:
    """As many as there are processors and there is memory for, at least one and at most `most`.

    Args:
        each_bytes: what one of them takes.
        own_bytes: what this process takes.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _memory_limit(cgroups)
    room = most if limit is None else (limit - own_bytes) // each_bytes
    return max(1, min(most, usable, room))


def _memory_limit(cgroups: Path) -> int | None:
    """Bytes that this container may use; None: as many as there are."""
    for name in _LIMITS:
        try:
            text = (cgroups / name).read_text().strip()
        except OSError:
            continue  # another version, or no container
        return int(text) if text.isdecimal() else None
    return None
