"""Orders that cannot be kept now."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from flightlog_log import LogUnavailable, Subject
from services.k8s_launcher.runtime import AttemptKey, Origin, Scheduled
from services.k8s_launcher.shell import Launcher


class Disk:
    """A runtime that fails to keep orders, as one does whose disk is in trouble."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def launch(self, scheduled: Scheduled, *, ran: bool = False) -> None:
        raise OSError(self._number, "trouble")

    async def abort(self, key: AttemptKey, reason: str, origin: Origin) -> None:
        raise OSError(self._number, "trouble")

    async def adopt(self) -> None: ...

    async def run(self) -> None: ...


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, LogUnavailable), (errno.EIO, OSError)])
async def test_order_that_finds_the_disk_full_waits_and_is_not_parked(
    executions: Any, number: int, expected: type[Exception]
) -> None:
    """A message whose handler says `LogUnavailable` is tried until it works; other failures are counted."""
    fact = await executions.attempt(executions.program("true"))
    await executions.append(fact.execution_id.name, fact)
    (recorded,) = await executions.log.load(
        Subject.of("EXECUTION", "flytesnacks", "development", fact.execution_id.name)
    )
    with pytest.raises(expected):
        await Launcher(executions.log, Disk(number)).take(recorded)
