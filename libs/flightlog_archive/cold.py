"""The archive as the log's other half: what was trimmed is read from here as if it still lay on the log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from flightlog_blobs import BlobError, BlobStore
from flightlog_log import EventsMissing, LogUnavailable, Raw, stream_of
from flightlog_log.cold import matches

from .archive import Archive
from .errors import ArchiveError
from .segments import Archived


class ArchivedEvents:
    """What `Log.connect` takes as `cold`. Costs nothing while nothing is trimmed."""

    def __init__(self, blobs: BlobStore, root: str = "") -> None:
        self._archive = Archive(blobs, root, remembers=True)

    async def messages(self, stream: str, *, after: int, until: int, subjects: str) -> AsyncGenerator[list[Raw]]:
        """See `flightlog_log.Cold`. Raises `EventsMissing` when the archive is damaged."""
        try:
            async for batch in self._archive.read(stream, after=after, until=until):
                found = [one for one in _raw(batch) if matches(subjects, one.subject)]
                if found:
                    yield found
        except BlobError as error:
            raise LogUnavailable(f"{stream}: its trimmed events cannot be reached: {error}") from error
        except ArchiveError as error:
            raise EventsMissing(str(error)) from error

    async def subject(self, subject: str, *, after: int, until: int) -> list[Raw]:
        """See `flightlog_log.Cold`. Raises `EventsMissing` when the archive is damaged."""
        try:
            return _raw(await self._archive.subject(subject, stream_of(subject), after=after, until=until))
        except BlobError as error:
            raise LogUnavailable(f"{subject}: its trimmed events cannot be reached: {error}") from error
        except ArchiveError as error:
            raise EventsMissing(str(error)) from error


def _raw(messages: Sequence[Archived]) -> list[Raw]:
    """Without those that were erased: they are gone here as they are on the log."""
    return [Raw(one.subject, one.sequence, one.data, one.headers) for one in messages if one.data is not None]
