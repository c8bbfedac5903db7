"""An exported file as a log and an object store: what a replay needs, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobEntry, BlobSettings, BlobStat, BlobStore, BlobTooLarge, ReadOnlyDriver
from flightlog_log import BrokenChain, Head, LogError, Recorded, Subject, recorded_of
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope
from services.execution.deciding import engine_settings
from services.execution.engine import EngineSettings
from services.execution.history.files.format import CAUSE, EXECUTION, REGISTERED, BadFile, Exported, StoredEnvelope
from services.execution.history.replay.encoding import decoded
from services.execution.history.replay.looking import Looked
from services.execution.history.replay.pasts import Past
from services.execution.history.replay.replaying import Replaying
from services.execution.lookup import Lookup
from services.execution.settings import ExecutionSettings, OffloadingSettings
from services.execution.subjects import ExecutionKey

_NO_TIME = datetime.fromtimestamp(0, UTC)


class FileDriver(ReadOnlyDriver):
    """The objects of a file. What it has only the hash of, or knows nothing about, is noted as withheld."""

    def __init__(self, exported: Exported, looked: Looked) -> None:
        self._exported = exported
        self._looked = looked

    async def get(self, bucket: str, key: str, limit: int | None) -> bytes | None:
        uri = f"s3://{bucket}/{key}"
        found = self._exported.objects.get(uri)
        if found is not None and limit is not None and found.size > limit:
            raise BlobTooLarge(f"{uri} has {found.size} bytes, more than {limit}")
        if found is None or found.data is None:
            self._missing(uri)
            return None
        return found.data

    async def stat(self, bucket: str, key: str) -> BlobStat | None:
        uri = f"s3://{bucket}/{key}"
        found = self._exported.objects.get(uri)
        if found is None:
            self._missing(uri)
            return None
        return BlobStat(found.size, "", _NO_TIME)

    async def entries(self, bucket: str, folder: str) -> list[BlobEntry]:
        uri = f"s3://{bucket}/{folder}"
        if uri not in self._exported.folders:
            self._missing(uri)
        return [BlobEntry(name, size) for name, size in self._exported.folders.get(uri, ())]

    def _missing(self, uri: str) -> None:
        if uri in self._exported.absent:
            return
        found = self._exported.objects.get(uri)
        size, digest = (found.size, found.sha256) if found is not None else (0, b"")
        self._looked.withheld[uri] = DataRef(uri=uri, sha256=digest, size_bytes=size)


class FileSubjects:
    """What the file has of the registry."""

    def __init__(self, exported: Exported) -> None:
        self._records: dict[str, list[Recorded]] = {}
        for place, stored in enumerate(exported.envelopes, 1):
            if stored.role == REGISTERED:
                self._records.setdefault(stored.subject, []).append(_recorded(stored, place, exported))

    async def load(self, subject: Subject | str, *, after: Head = Head.EMPTY) -> list[Recorded]:
        return [record for record in self._records.get(str(subject), ()) if record.sequence > after.sequence]

    async def last_sequence(self, subject: Subject | str) -> int:
        records = self._records.get(str(subject))
        return records[-1].sequence if records else 0


class HistoryFile:
    """A file that has been read, and whose envelopes follow one another.

    Raises:
        BadFile: they do not.
    """

    def __init__(self, exported: Exported) -> None:
        self.exported = exported
        self._settings = _settings(exported)
        self._engine = _engine(exported)
        try:
            self.pasts = {past.key: past for past in _pasts(exported)}
            self._subjects = FileSubjects(exported)
        except BadFile:
            raise
        except (LogError, DecodeError, ValueError) as error:
            raise BadFile(str(error)) from error

    def replaying(self, *, settings: ExecutionSettings | None = None) -> Replaying:
        """Decides the file's executions again; with other settings than those they ran with where they are given."""
        looked = Looked(redacted=any(stored.redacted for stored in self.exported.envelopes))
        # Nothing is read over the network: only the bucket's name counts.
        where = BlobSettings.model_validate(
            {"bucket": self.exported.manifest.bucket, "endpoint": "", "access_key": "", "secret_key": ""}
        )
        blobs = BlobStore(where, FileDriver(self.exported, looked))
        chosen = settings or self._settings
        engine = self._engine if settings is None else engine_settings(settings)
        return Replaying(blobs, Lookup(self._subjects, chosen.domains), chosen, looked, engine)


def _engine(exported: Exported) -> EngineSettings:
    try:
        found = decoded(exported.manifest.settings)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, ParseError) as error:
        raise BadFile(f"the file has no settings of the engine: {error!r}") from error
    if not isinstance(found, EngineSettings):
        raise BadFile("the file has no settings of the engine")
    return found


def _settings(exported: Exported) -> ExecutionSettings:
    limits = exported.manifest.limits
    try:
        offloading = OffloadingSettings(read_bytes=limits["offloaded_bytes"])
        return ExecutionSettings(
            read_bytes=limits["read_bytes"], futures_bytes=limits["futures_bytes"], offloading=offloading
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"the file has no limits of what was read: {error}") from error


def _pasts(exported: Exported) -> Iterator[Past]:
    by_subject: dict[str, list[Recorded]] = {}
    causes: dict[str, Recorded] = {}
    heads: dict[str, Head] = {}
    for place, stored in enumerate(exported.envelopes, 1):
        if stored.role == EXECUTION:
            record = _recorded(stored, place, exported)
            heads[stored.subject] = _follows(stored, record.envelope, heads.get(stored.subject, Head.EMPTY), place)
            by_subject.setdefault(stored.subject, []).append(record)
            causes[record.event_id] = record
        elif stored.role == CAUSE:
            record = _recorded(stored, place, exported)
            causes[record.event_id] = record
    for key in exported.manifest.executions:
        records = by_subject.get(str(Subject.of("EXECUTION", *key)))
        if not records:
            raise BadFile(f"the file has no envelopes of {'/'.join(key)}")
        yield Past(_key(records[0]), records, causes)


def _follows(stored: StoredEnvelope, envelope: Envelope, head: Head, place: int) -> Head:
    """The head behind an envelope. Raises `BrokenChain`."""
    if envelope.subject != stored.subject:
        raise BrokenChain(stored.subject, envelope.position, f"the envelope belongs to {envelope.subject}")
    if envelope.position != head.position + 1:
        raise BrokenChain(stored.subject, head.position + 1, f"found position {envelope.position} instead")
    if envelope.previous_hash != head.hash:
        raise BrokenChain(stored.subject, envelope.position, "its predecessor is not the one it was appended after")
    return Head(place, envelope.position, stored.sha256)


def _recorded(stored: StoredEnvelope, place: int, exported: Exported) -> Recorded:
    envelope = Envelope.FromString(stored.data)
    payload = exported.objects.get(envelope.offloaded.uri) if envelope.HasField("offloaded") else None
    return recorded_of(stored.subject, place, stored.data, payload.data if payload is not None else None)


def _key(record: Recorded) -> ExecutionKey:
    project, domain, name = Subject.parse(record.subject).parts
    return project, domain, name
