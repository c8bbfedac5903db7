"""How many processes may work beside this one."""

from __future__ import annotations

from pathlib import Path

from flightlog_service.machine import CONTROL_GROUPS, memory_bytes, processors


def processes(most: int, *, each_bytes: int, own_bytes: int, groups: Path = CONTROL_GROUPS) -> int:
    """As many as there are processors and there is memory for, at least one and at most `most`.

    Args:
        each_bytes: what one of them takes.
        own_bytes: what this process takes.
    """
    limit = memory_bytes(groups)
    room = most if limit is None else (limit - own_bytes) // each_bytes
    return max(1, min(most, round(processors(groups)), room))
