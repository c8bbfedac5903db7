"""What decisions look at: objects and registered entities, noted as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flightlog_blobs import BlobEntry, BlobStat, BlobTooLarge, Driver, ReadOnlyDriver
from flightlog_log import Head, Recorded, Subject
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.lookup import Subjects


@dataclass(slots=True)
class Looked:
    """What was looked at: objects by their addresses, subjects of the registry."""

    read: set[str] = field(default_factory=set[str])
    """Their content was read."""
    there: dict[str, int] = field(default_factory=dict[str, int])
    """Only whether they are there was asked, and they are; their sizes."""
    absent: set[str] = field(default_factory=set[str])
    folders: dict[str, Sequence[BlobEntry]] = field(default_factory=dict[str, Sequence[BlobEntry]])
    """What lay in folders."""
    subjects: set[str] = field(default_factory=set[str])
    withheld: dict[str, DataRef] = field(default_factory=dict[str, DataRef])
    """They were looked for in a file that has only their hashes."""
    redacted: bool = False
    """Facts are without the values that were in them."""


class LookingDriver(ReadOnlyDriver):
    """A way to objects that notes what is read."""

    def __init__(self, driver: Driver, looked: Looked) -> None:
        self._driver = driver
        self._looked = looked

    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None:
        try:
            data = await self._driver.get(bucket, key, limit)
        except BlobTooLarge:
            await self.stat(bucket, key)
            raise
        (self._looked.absent if data is None else self._looked.read).add(f"s3://{bucket}/{key}")
        return data

    async def stat(self, bucket: str, key: str) -> BlobStat | None:
        uri = f"s3://{bucket}/{key}"
        found = await self._driver.stat(bucket, key)
        if found is None:
            self._looked.absent.add(uri)
        else:
            self._looked.there[uri] = found.size
        return found

    async def entries(self, bucket: str, folder: str) -> list[BlobEntry]:
        found = await self._driver.entries(bucket, folder)
        self._looked.folders[f"s3://{bucket}/{folder}"] = found
        return found


class LookingSubjects:
    """Subjects of a log, noting which are read."""

    def __init__(self, subjects: Subjects, looked: Looked) -> None:
        self._subjects = subjects
        self._looked = looked

    async def load(self, subject: Subject | str, *, after: Head = Head.EMPTY) -> list[Recorded]:
        self._looked.subjects.add(str(subject))
        return await self._subjects.load(subject, after=after)

    async def last_sequence(self, subject: Subject | str) -> int:
        self._looked.subjects.add(str(subject))
        return await self._subjects.last_sequence(subject)
