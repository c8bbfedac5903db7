"""Exporting: an execution's envelopes, what led to them, and what its decisions looked at, as one file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from typing import Final

from google.protobuf.message import Message

from flightlog_blobs import BlobRefused, BlobStore
from flightlog_log import Log, Recorded, stream_of
from flightlog_protos.execution.v1.facts_pb2 import ChildExecutionRequested, ExecutionCreated
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from services.execution import subjects
from services.execution.deciding import engine_settings
from services.execution.history.files.format import (
    CAUSE,
    EXECUTION,
    REGISTERED,
    Manifest,
    StoredEnvelope,
    StoredObject,
    Writer,
)
from services.execution.history.files.references import references
from services.execution.history.files.withholding import without_data as envelope_without_data
from services.execution.history.replay.encoding import encoded
from services.execution.history.replay.looking import Looked, LookingDriver, LookingSubjects
from services.execution.history.replay.pasts import Past, past_of
from services.execution.history.replay.replaying import Replaying
from services.execution.lookup import Lookup
from services.execution.settings import ExecutionSettings
from services.execution.subjects import ExecutionKey

_PIECE: Final = 256 * 1024
_ERROR: Final = "error"
"""Beginning of the names of what attempts say of their failure: facts repeat it."""


class NoSuchExecution(Exception):
    """There is no execution of this name."""


@dataclass(slots=True)
class _Collected:
    """What goes into the file, by name."""

    pasts: list[Past] = field(default_factory=list[Past])
    looked: Looked = field(default_factory=Looked)
    uris: set[str] = field(default_factory=set[str])
    kept: set[str] = field(default_factory=set[str])
    """Objects without data of users."""


class Exporting:
    """Exports executions of a log."""

    def __init__(self, log: Log, blobs: BlobStore, settings: ExecutionSettings) -> None:
        self._log = log
        self._blobs = blobs
        self._settings = settings

    async def export(self, key: ExecutionKey, *, children: bool, without_data: bool) -> AsyncIterator[bytes]:
        """The file, piece by piece; nothing comes before all of it has been collected.

        Args:
            children: with the executions that it started, and those that these did.
            without_data: inputs, outputs and values are replaced by their hashes.

        Raises:
            NoSuchExecution: the log has none of this name.
            LogError: the log cannot be read, or has not all of it.
            BlobError: the object store cannot be reached.
        """
        collected = await self._collect(key, children=children)
        held = bytearray()
        async for piece in self._pieces(collected, without_data=without_data):
            held += piece
            if len(held) >= _PIECE:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)

    async def _collect(self, key: ExecutionKey, *, children: bool) -> _Collected:
        collected = _Collected()
        waiting = [key]
        known = {key}
        while waiting:
            past = await past_of(self._log, waiting.pop(0))
            if past is None:
                if not collected.pasts:
                    raise NoSuchExecution("/".join(key))
                continue
            collected.pasts.append(past)
            await self._look(past, collected)
            if children:
                begun = [child for child in _children(past) if child not in known]
                known.update(begun)
                waiting += begun
        return collected

    async def _look(self, past: Past, collected: _Collected) -> None:
        """Decides everything again, to see what is looked at."""
        looked = collected.looked
        blobs = self._blobs.through(lambda driver: LookingDriver(driver, looked))
        lookup = Lookup(LookingSubjects(self._log, looked), self._settings.domains)
        async for one in Replaying(blobs, lookup, self._settings, looked).replay(past):
            collected.uris.update(ref.uri for ref in references(one.record.facts))
            if one.decision is not None:
                collected.uris.update(blob.uri for blob in one.decision.blobs)
            # Deciding asks nobody; whoever else is served here must have a turn.
            await asyncio.sleep(0)
        created = past.records[0].facts[0]
        if isinstance(created, ExecutionCreated):
            collected.kept |= {created.closure.uri, created.recovery.uri}

    async def _pieces(self, collected: _Collected, *, without_data: bool) -> AsyncIterator[bytes]:
        writer = Writer()
        offloading = self._settings.offloading
        limits = {
            "read_bytes": self._settings.read_bytes,
            "futures_bytes": self._settings.futures_bytes,
            "offloaded_bytes": offloading.read_bytes,
        }
        settings = encoded(engine_settings(self._settings))
        keys = [past.key for past in collected.pasts]
        bucket = self._blobs.settings.bucket
        yield writer.manifest(Manifest(keys, version("flightlog"), bucket, settings, limits, without_data))
        async for stored in self._envelopes(collected):
            shown = await self._without_data(stored) if without_data else stored
            if not shown.redacted and (payload := _payload(shown)):
                collected.uris.add(payload)
                collected.kept.add(payload)
            yield writer.envelope(shown)
        looked = collected.looked
        for uri in sorted(collected.uris | looked.read | looked.absent | looked.there.keys()):
            found = await self._object(uri, collected)
            if found is None:
                yield writer.absent(uri)
            elif without_data and found.data is not None and not _is_kept(uri, collected):
                yield writer.object(StoredObject(uri, found.size, found.sha256))
            else:
                yield writer.object(found)
        for folder, entries in sorted(looked.folders.items()):
            yield writer.folder(folder, [(entry.name, entry.size) for entry in entries])
        yield writer.end()

    async def _envelopes(self, collected: _Collected) -> AsyncIterator[StoredEnvelope]:
        own: set[str] = set()
        for past in collected.pasts:
            own |= {record.event_id for record in past.records}
            async for stored in self._all(past.records[0].subject, EXECUTION, past.records[-1].sequence):
                yield stored
        causes = {record.event_id: record for past in collected.pasts for record in past.causes.values()}
        for record in sorted(causes.values(), key=lambda record: (record.subject, record.event_id)):
            if record.event_id not in own:
                yield await self._one(record)
        for subject in sorted(collected.looked.subjects):
            async for stored in self._all(subject, REGISTERED, None):
                yield stored

    async def _all(self, subject: str, role: str, until: int | None) -> AsyncIterator[StoredEnvelope]:
        async for raw in self._log.stored(subject):
            if until is not None and raw.sequence > until:
                return
            yield _stored(role, subject, raw.data)

    async def _one(self, record: Recorded) -> StoredEnvelope:
        (raw,) = await self._log.stored_after(stream_of(record.subject), record.subject, record.sequence - 1, 1)
        return _stored(CAUSE, record.subject, raw.data)

    async def _without_data(self, stored: StoredEnvelope) -> StoredEnvelope:
        envelope = Envelope.FromString(stored.data)
        payload = await self._blobs.get_or_none(envelope.offloaded.uri) if envelope.HasField("offloaded") else None
        return envelope_without_data(stored, payload)

    async def _object(self, uri: str, collected: _Collected) -> StoredObject | None:
        looked = collected.looked
        if uri in looked.there and uri not in looked.read and uri not in collected.uris:
            return StoredObject(uri, looked.there[uri])
        try:
            data = await self._blobs.get_or_none(uri)
        except BlobRefused:
            # Facts may name what is in no object store.
            return None
        return None if data is None else StoredObject(uri, len(data), sha256(data).digest(), data)


def _stored(role: str, subject: str, data: bytes) -> StoredEnvelope:
    names = dict.fromkeys(fact.type_url.rpartition(".")[2] for fact in Envelope.FromString(data).facts)
    return StoredEnvelope(role, subject, sha256(data).digest(), data, facts=tuple(names))


def _payload(stored: StoredEnvelope) -> str:
    envelope = Envelope.FromString(stored.data)
    return envelope.offloaded.uri if envelope.HasField("offloaded") else ""


def _is_kept(uri: str, collected: _Collected) -> bool:
    return uri in collected.kept or uri.rpartition("/")[2].startswith(_ERROR)


def _children(past: Past) -> list[ExecutionKey]:
    facts: Iterable[Message] = (fact for record in past.records for fact in record.facts)
    return [subjects.key_of(fact.execution_id) for fact in facts if isinstance(fact, ChildExecutionRequested)]
