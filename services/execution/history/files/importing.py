"""Importing: an exported history put on this log, as something that happened elsewhere. Nothing of it is run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flightlog_blobs import BlobError, BlobRefused, BlobStore, BlobTooLarge
from flightlog_log import Conflict, Head, Log, Subject
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from flightlog_rpc import RpcError, already_exists, failed_precondition, internal, invalid
from services.execution import subjects
from services.execution.history.files.checking import check, object_key, state_of
from services.execution.history.files.format import CAUSE, EXECUTION, BadFile, StoredEnvelope, StoredObject, read
from services.execution.history.files.reading import HistoryFile
from services.execution.subjects import ExecutionKey

_OBSERVING: Final = frozenset({subjects.LAUNCHER, subjects.CATALOG})
"""Streams of what others told an execution, in subjects of its own."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_AT_ONCE: Final = 32
_RACES: Final = 20


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    keys: Sequence[ExecutionKey]
    envelopes: int
    """That were put on the log; those that were there already are not counted."""


class Importing:
    """Imports into a log and the object store beside it.

    Args:
        limit: most bytes that a file may have unpacked.
    """

    def __init__(self, log: Log, blobs: BlobStore, limit: int) -> None:
        self._log = log
        self._blobs = blobs
        self._limit = limit

    async def put(self, data: bytes) -> Imported:
        """Puts what a file holds where it belongs. Doing it again, or going on with what was cut off, is harmless.

        Raises:
            RpcError: INVALID_ARGUMENT when it is no whole and unaltered history; FAILED_PRECONDITION when it is not
                over, lacks its data, or the object store has no place for it; ALREADY_EXISTS when there is another
                history, or another object, by a name in it.
            LogUnavailable, BlobError: the log or the object store cannot be reached.
        """
        # Others are served meanwhile.
        file = await asyncio.to_thread(self._read, data)
        exported = file.exported
        by_subject: dict[str, list[StoredEnvelope]] = {}
        for stored in exported.envelopes:
            if stored.role == EXECUTION:
                by_subject.setdefault(stored.subject, []).append(stored)
        for subject, envelopes in by_subject.items():
            await self._place(subject, envelopes)
        await self._put_objects(exported.objects)
        written = 0
        for subject, envelopes in by_subject.items():
            written += await self._put_envelopes(subject, envelopes)
        written += await self._put_observations(exported.envelopes, {past.key for past in file.pasts.values()})
        return Imported(tuple(file.pasts), written)

    def _read(self, data: bytes) -> HistoryFile:
        """A file that may be put on this log. Raises `RpcError`."""
        try:
            file = HistoryFile(read(data, self._limit))
            if file.exported.manifest.without_data:
                raise failed_precondition("this was exported without its data: it can be replayed, but not imported")
            check(file)
            for past in file.pasts.values():
                if not state_of(past).phase.terminal:
                    name = "/".join(past.key)
                    raise failed_precondition(
                        f"execution {name} was not over when it was exported: it could only go on where it runs"
                    )
        except BadFile as error:
            raise invalid(f"this cannot be imported: {error}") from None
        return file

    async def _place(self, subject: str, envelopes: Sequence[StoredEnvelope]) -> tuple[Head, int]:
        """The end of what is there of an execution, and how many envelopes that is. Raises `RpcError`."""
        head, there = Head.EMPTY, 0
        async for raw in self._log.stored(subject):
            if there < len(envelopes) and raw.data != envelopes[there].data:
                name = "/".join(Subject.parse(subject).parts)
                raise already_exists(f"there is another execution {name} on this log")
            there += 1
            if there <= len(envelopes):
                head = Head(raw.sequence, there, envelopes[there - 1].sha256)
        return head, there

    async def _put_envelopes(self, subject: str, envelopes: Sequence[StoredEnvelope]) -> int:
        written = 0
        for _ in range(_RACES):
            head, there = await self._place(subject, envelopes)
            try:
                for stored in envelopes[there:]:
                    head = await self._log.put_back(subject, stored.data, head=head)
                    written += 1
            except Conflict:
                # Somebody imports the same.
                continue
            # What the server may have taken for something it had already is not there.
            if (await self._place(subject, envelopes))[1] < len(envelopes):
                raise internal(f"{subject}: the log does not have what was put on it")
            return written
        raise internal(f"{subject} is changed by others all the time")

    async def _put_observations(self, envelopes: Sequence[StoredEnvelope], keys: set[ExecutionKey]) -> int:
        """What the launcher saw and the catalog answered, so that whoever asks for reasons finds them here, too."""
        written = 0
        there: dict[str, set[bytes]] = {}
        told = {str(subject) for key in keys for subject in subjects.told_of(key) if subject.stream in _OBSERVING}
        for stored in envelopes:
            if stored.role != CAUSE or stored.subject not in told or Envelope.FromString(stored.data).position:
                continue
            if stored.subject not in there:
                there[stored.subject] = {raw.data async for raw in self._log.stored(stored.subject)}
            if stored.data not in there[stored.subject]:
                await self._log.publish_back(stored.subject, stored.data)
                written += 1
        return written

    async def _put_objects(self, objects: Mapping[str, StoredObject]) -> None:
        """Writes the objects that are not there. Raises `RpcError` before any is written, if one cannot be."""
        missing: list[tuple[str, bytes]] = []
        for uri, found in objects.items():
            if found.data is None:
                continue
            self._allow(uri, found.sha256)
            if await self._is_missing(uri, found.data):
                missing.append((uri, found.data))
        for start in range(0, len(missing), _AT_ONCE):
            try:
                await self._blobs.put_many(missing[start : start + _AT_ONCE])
            except BlobRefused as error:
                raise _no_place(error) from None

    def _allow(self, uri: str, digest: bytes) -> None:
        try:
            name = object_key(uri).rpartition("/")[2]
        except BadFile as error:
            raise invalid(f"this cannot be imported: {error}") from None
        # Whoever is about to write something under its hash takes for it what is there.
        if _HASH.fullmatch(name) and name != digest.hex():
            raise invalid(f"this cannot be imported: {uri} is named by the hash of something else")

    async def _is_missing(self, uri: str, data: bytes) -> bool:
        """Raises `RpcError` when something else is there."""
        try:
            there = await self._blobs.get_or_none(uri, limit=len(data))
        except BlobRefused as error:
            raise _no_place(error) from None
        except BlobTooLarge:
            there = b""
        if there is not None and there != data:
            raise already_exists(f"there is another object {uri} in this object store")
        return there is None


def _no_place(error: BlobError) -> RpcError:
    return failed_precondition(f"the objects of this history have no place here: {error}")
