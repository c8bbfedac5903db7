"""Files that inputs name by a web address. What serves them is none of ours, so nothing is signed."""

from __future__ import annotations

import asyncio
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from services.k8s_launcher.copying.failures import INPUTS, CopyingFailed

_TIMEOUT_SECONDS: Final = 60.0
_CHUNK_BYTES: Final = 1 << 20


async def fetch_from_web(address: str, path: Path) -> None:
    """Write what an `http(s)://` address answers to a file. Raises `CopyingFailed`."""
    try:
        await asyncio.to_thread(_fetch, address, path)
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
        raise CopyingFailed(INPUTS, f"{address} cannot be fetched: {error}") from None


def _fetch(address: str, path: Path) -> None:
    # The scheme was looked at by the caller; a redirect to another one than these is refused by urllib itself.
    with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file, _CHUNK_BYTES)
        expected = answer.headers.get("Content-Length")
        if expected is not None and int(expected) != file.tell():
            raise ConnectionError(f"{file.tell()} of {expected} bytes arrived")
