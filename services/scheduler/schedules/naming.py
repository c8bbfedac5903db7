"""Names of the executions that follow from ticks. Two schedulers give one tick the same name, so it runs once."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

from flyteidl.core.identifier_pb2 import Identifier

_OFFSET_BASIS: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3
_MASK: Final = 0xFFFFFFFFFFFFFFFF


def tick_name(launch_plan: Identifier, due: datetime) -> str:
    """The name of a tick's execution, the one that Flyte's scheduler gives it (admin-contract §5.6).

    Args:
        due: nominal time of the tick; parts of a second do not count.
    """
    return _tick_name(
        launch_plan.project, launch_plan.domain, launch_plan.name, launch_plan.version, int(due.timestamp())
    )


@lru_cache(maxsize=16384)
def _tick_name(project: str, domain: str, name: str, version: str, due: int) -> str:
    hashed = _OFFSET_BASIS
    for byte in f"{project}:{domain}:{name}:{version}:{due}".encode():
        hashed = hashed * _PRIME & _MASK ^ byte  # FNV-1, which multiplies first
    return f"f{hashed.to_bytes(8, 'little').hex()}000"


def rerun_name(launch_plan: Identifier, backfill: str, due: datetime) -> str:
    """The name of a tick's execution in a backfill that overwrites: of its own in each backfill."""
    key = (launch_plan.project, launch_plan.domain, backfill, str(int(due.timestamp())))
    return "b" + sha256("\0".join(key).encode()).hexdigest()[:19]
