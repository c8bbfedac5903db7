"""What follows from one envelope, done side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

_AT_ONCE: Final = 64
"""Reactions to one envelope at the same time: a map may ask for thousands of child executions and alarms."""


async def side_by_side(reactions: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Begins all of them, some at once; raises the first failure once all are through, so that none is left running."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def run(reaction: Callable[[], Awaitable[None]]) -> None:
        async with places:
            await reaction()

    for outcome in await asyncio.gather(*map(run, reactions), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
