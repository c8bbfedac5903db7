"""Work on an attempt that ends when the attempt's abort is ordered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Aborted(Exception):
    """The abort came before the work was done."""


async def until_abort(abort: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`; raises `Aborted` when the event is set first, and then the work is cancelled."""
    if abort.is_set():
        work.close()
        raise Aborted
    doing = asyncio.ensure_future(work)
    aborted = asyncio.ensure_future(abort.wait())
    try:
        await asyncio.wait((doing, aborted), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise Aborted
    finally:
        aborted.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait((doing,))
