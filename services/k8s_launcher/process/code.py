"""Code distributions of fast-registered tasks, unpacked once and copied to each task that runs them.

flytekit has every task fetch its code from the object store and unpack it. Here the launcher does that once for each
content; a task's process copies the result into its own directory, where the task may do with it what it likes. What
cannot be had this way the task fetches itself, as flytekit does.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import structlog

from flightlog_blobs import BlobError, BlobStore

FAST_EXECUTE = "pyflyte-fast-execute"
_OPTION = "--additional-distribution"
_DESTINATION = "--dest-dir"
_ARCHIVE_BYTES = 64 << 20
_KEPT_BYTES = 1 << 30
_UNPACK_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class CodeCache:
    """Unpacked distributions in a folder of ours, those used last up to a gigabyte.

    It starts empty: what lies there from before may have been cut short by whatever ended the last launcher.
    """

    def __init__(self, folder: Path, blobs: BlobStore) -> None:
        self._folder = folder
        self._blobs = blobs
        self._unpacked: OrderedDict[str, asyncio.Task[int]] = OrderedDict()
        shutil.rmtree(folder, ignore_errors=True)

    async def directory_for(self, argv: Sequence[str]) -> Path | None:
        """Where the code that a command would fetch lies unpacked; None when it asks for none, or we cannot have it."""
        uri = distribution_of(argv)
        if not uri.startswith("s3://") or not uri.endswith(".tar.gz"):
            return None
        try:
            found = await self._blobs.stat(uri)
            if found is None or found.size > _ARCHIVE_BYTES:
                return None
            key = sha256(f"{uri}\n{found.size}\n{found.etag}".encode()).hexdigest()[:32]
            target = self._folder / key
            unpacking = self._unpacked.get(key)
            if unpacking is None:
                unpacking = self._unpacked[key] = asyncio.create_task(self._unpack(uri, target))
            self._unpacked.move_to_end(key)
            # Shielded: the one who began may be aborted while others wait for the same code.
            await asyncio.shield(unpacking)
        except (BlobError, OSError, subprocess.SubprocessError) as error:
            self._unpacked = OrderedDict((k, t) for k, t in self._unpacked.items() if not _failed(t))
            _log.warning("code.not_cached", distribution=uri, error=repr(error))
            return None
        await self._make_room(key)
        return target

    async def _unpack(self, uri: str, target: Path) -> int:
        content = await self._blobs.get(uri, limit=_ARCHIVE_BYTES)
        return await asyncio.to_thread(_unpack, content, uri.rpartition("/")[2], target)

    async def _make_room(self, used: str) -> None:
        done = {key: task.result() for key, task in self._unpacked.items() if task.done() and not _failed(task)}
        total = sum(done.values())
        for key, size in done.items():
            if total <= _KEPT_BYTES:
                return
            if key != used:
                total -= size
                del self._unpacked[key]
                # A task that is copying it right now fetches the code itself.
                await asyncio.to_thread(shutil.rmtree, self._folder / key, ignore_errors=True)


def distribution_of(argv: Sequence[str]) -> str:
    """Where flytekit's fast-execute command is told to fetch the code from; "" for other commands."""
    if Path(argv[0]).name != FAST_EXECUTE:
        return ""
    own = list(argv[: argv.index("--")] if "--" in argv else argv)
    return own[own.index(_OPTION) + 1] if _OPTION in own[:-1] else ""


def with_own_destination(argv: Sequence[str]) -> list[str]:
    """The command, which unpacks its code in the attempt's own directory where it names a folder of its image.

    By default pyflyte registers `/root`. Here that would be the machine's, where tasks would take one another's code.
    """
    own = list(argv)
    if Path(own[0]).name == FAST_EXECUTE:
        end = own.index("--") if "--" in own else len(own)
        for at in range(1, end - 1):
            if own[at] == _DESTINATION and own[at + 1].startswith(("/", "~")):
                own[at + 1] = "."
    return own


def _unpack(content: bytes, name: str, target: Path) -> int:
    """What flytekit leaves where it unpacks: the archive and its files. Returns its size in bytes."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        archive = partial / name
        archive.write_bytes(content)
        subprocess.run(
            ["tar", "-xf", archive, "-C", partial],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_UNPACK_SECONDS,
        )
        size = sum(path.lstat().st_size for path in partial.rglob("*"))
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return size


def _failed(task: asyncio.Task[int]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
