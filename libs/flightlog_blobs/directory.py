"""Objects as files of a folder that an S3 server serves at the same time."""

# Small files are read and written within the event loop, by plain paths: a thread or a Path costs more than the file.
# ruff: noqa: PTH102, PTH105, PTH108, PTH113, PTH116, PTH120, PTH123, ASYNC230, ASYNC240

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path

from .driver import BlobEntry, BlobStat
from .errors import BlobError, BlobMissing, BlobTooLarge

_INLINE_BYTES = 256 * 1024
_KNOWN_FOLDERS = 20_000
# After so many, some milliseconds' worth, others have their turn on the event loop.
_WRITES_IN_A_ROW = 32
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


class DirectoryDriver:
    """Objects are files. A put is a rename, so that a reader sees the old object or the new one, never a part."""

    def __init__(self, root: Path, *, sync: bool) -> None:
        self._root = root
        self._sync = sync
        self._folders: set[str] = set()
        self._writes = itertools.count()

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        try:
            if len(data) <= _INLINE_BYTES and not self._sync:
                self._write(self._file(bucket, key), data)
            else:
                await asyncio.to_thread(self._write, self._file(bucket, key), data)
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be written: {error}") from error

    async def put_many(self, objects: Sequence[tuple[str, str, bytes]]) -> None:
        # A thread would write beside the event loop, but each of these short calls would hand the interpreter over and
        # back: measured, that doubles the work.
        for number, (bucket, key, data) in enumerate(objects, 1):
            await self.put(bucket, key, data)
            if number % _WRITES_IN_A_ROW == 0:
                await asyncio.sleep(0)

    def _write(self, file: str, data: bytes) -> None:
        folder = os.path.dirname(file)
        # Beside the target, where the rename stays within one file system; the S3 server hides nothing, so the name
        # says what it is.
        partial = f"{file}.{os.getpid():x}-{next(self._writes):x}.partial"
        descriptor = self._open_in(folder, partial)
        try:
            with open(descriptor, "wb", buffering=0) as stream:
                view = memoryview(data)
                while view:
                    view = view[stream.write(view) :]
                if self._sync:
                    os.fsync(descriptor)
            os.replace(partial, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
        if self._sync:
            _sync_folder(folder)

    def _open_in(self, folder: str, file: str) -> int:
        if folder in self._folders:
            with contextlib.suppress(FileNotFoundError):  # somebody removed a folder that we knew
                return os.open(file, _WRITE, 0o644)
        self._make(folder)
        return os.open(file, _WRITE, 0o644)

    def _make(self, folder: str) -> None:
        """Like `os.makedirs`, without a look at every folder above that is known to be there."""
        try:
            os.mkdir(folder)
        except FileExistsError:
            pass
        except FileNotFoundError:
            self._make(os.path.dirname(folder))
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
        if len(self._folders) >= _KNOWN_FOLDERS:
            self._folders.clear()
        self._folders.add(folder)

    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None:
        file = self._file(bucket, key)
        try:
            with open(file, "rb", buffering=0) as stream:
                size = os.fstat(stream.fileno()).st_size
                if limit is not None and size > limit:
                    raise BlobTooLarge(f"s3://{bucket}/{key} has {size} bytes, more than {limit}")
                if size <= _INLINE_BYTES:
                    return stream.readall()
                return await asyncio.to_thread(stream.readall)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be read: {error}") from error

    async def has(self, bucket: str, key: str, size: int) -> bool:
        try:
            return os.stat(self._file(bucket, key)).st_size == size
        except OSError:
            return False

    async def has_any(self, bucket: str, folder: str) -> bool:
        try:
            return await asyncio.to_thread(_holds_a_file, self._file(bucket, folder))
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{folder} cannot be read: {error}") from error

    async def stat(self, bucket: str, key: str) -> BlobStat | None:
        file = self._file(bucket, key)
        try:
            found = os.stat(file)
            if not os.path.isfile(file):
                return None
            etag = await asyncio.to_thread(_md5_of, file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be read: {error}") from error
        return BlobStat(found.st_size, etag, datetime.fromtimestamp(found.st_mtime, UTC))

    async def delete(self, bucket: str, key: str) -> None:
        try:
            os.unlink(self._file(bucket, key))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be deleted: {error}") from error

    async def entries(self, bucket: str, folder: str) -> list[BlobEntry]:
        try:
            return await asyncio.to_thread(_files_below, self._file(bucket, folder))
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{folder} cannot be read: {error}") from error

    async def fetch(self, bucket: str, key: str, path: Path, limit: int | None) -> int:
        file = self._file(bucket, key)
        try:
            size = os.stat(file).st_size
            if limit is not None and size > limit:
                raise BlobTooLarge(f"s3://{bucket}/{key} has {size} bytes, more than {limit}")
            await asyncio.to_thread(shutil.copyfile, file, path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if path.parent.is_dir() and not path.is_dir():
                raise BlobMissing(f"s3://{bucket}/{key} does not exist") from error
            raise
        return size

    async def send(self, bucket: str, key: str, path: Path) -> int:
        try:
            return await asyncio.to_thread(self._copy, path, self._file(bucket, key))
        except OSError as error:
            raise BlobError(f"s3://{bucket}/{key} cannot be written: {error}") from error

    def _copy(self, source: Path, file: str) -> int:
        folder = os.path.dirname(file)
        partial = f"{file}.{os.getpid():x}-{next(self._writes):x}.partial"
        try:
            with open(self._open_in(folder, partial), "wb") as stream, source.open("rb") as original:
                shutil.copyfileobj(original, stream, 1 << 20)
                stream.flush()
                if self._sync:
                    os.fsync(stream.fileno())
                size = stream.tell()
            os.replace(partial, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
        if self._sync:
            _sync_folder(folder)
        return size

    async def close(self) -> None:
        return

    def _file(self, bucket: str, key: str) -> str:
        if any(part in ("", ".", "..") for part in (bucket, *key.split("/"))):
            raise BlobError(f"s3://{bucket}/{key}: a folder cannot hold an object of that name")
        return f"{self._root}/{bucket}/{key}"


def _holds_a_file(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))


def _files_below(folder: str) -> list[BlobEntry]:
    found: list[BlobEntry] = []
    for root, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(root, name)  # noqa: PTH118
            if not name.endswith(".partial"):
                found.append(BlobEntry(os.path.relpath(file, folder), os.stat(file).st_size))
    return sorted(found, key=lambda entry: entry.name.encode())


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _md5_of(file: str) -> str:
    digest = md5(usedforsecurity=False)
    with open(file, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
