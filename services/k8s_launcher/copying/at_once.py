"""Work done at the same time, whose first failure is the failure of all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")


async def all_of(works: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """The results in order. What fails first is raised, once the others have been cancelled and are over."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
