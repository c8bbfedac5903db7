"""The process that forks services, as the supervisor sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flightlog_cli.embedded.forking import Forker


async def test_who_no_longer_waits_for_a_start_leaves_others_their_ends(tmp_path: Path) -> None:
    """A stack may be stopped at the very moment when a part is started again."""
    forker, log = Forker(tmp_path / "forker.log"), tmp_path / "service.log"
    # Without settings it says so, and ends.
    first = await forker.start("services.history", {}, log)
    await asyncio.wait_for(first.wait(), 60)
    given_up = asyncio.create_task(forker.start("services.history", {}, log))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    second = await asyncio.wait_for(forker.start("services.history", {}, log), 60)
    assert await asyncio.wait_for(second.wait(), 60) == first.returncode
    await forker.close()
