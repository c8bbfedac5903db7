"""From bytes on a stream to facts: decoding, offloaded payloads, look-ups by subject."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple

import structlog
from google.protobuf.message import Message
from nats.aio.msg import Msg

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing, BlobStore, BlobTooLarge
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope

from .cold import Cold, Trimmed, names_one
from .connection import ApiError, Connection, status_of
from .envelopes import Head, Recorded, Unreadable, head_after, parse_envelope, unpack, unpack_list
from .errors import LogUnavailable, PayloadMissing, Undecodable
from .keys import Keys
from .personal import put_back, unseal
from .streams import RESTORED, STREAMS
from .subjects import stream_of

_LOAD_BATCH = 512
_NO_MESSAGE = 10037
_UNAVAILABLE_SECONDS = 0.5
_log = structlog.get_logger(__name__)


class Raw(NamedTuple):
    """A stored message as it is."""

    subject: str
    sequence: int
    data: bytes
    headers: Mapping[str, str]


class Reader:
    """Reads single messages and whole subjects of the streams of one connection."""

    def __init__(self, connection: Connection, blobs: BlobStore, keys: Keys, cold: Cold | None = None) -> None:
        self._connection = connection
        self._blobs = blobs
        self._keys = keys
        self.cold = cold
        self.trimmed = Trimmed(connection)

    def decode_at_once(self, subject: str, sequence: int, data: bytes) -> Recorded | None:
        """An envelope that is all there, as most are; None for one that takes more than its own bytes, or has a fault.

        The reason for it is speed: to wait for nothing costs as much as a third of decoding.
        """
        try:
            envelope = parse_envelope(data)
            if envelope.HasField("offloaded") or envelope.HasField("sealed"):
                return None
            return Recorded(subject, sequence, envelope, unpack(envelope.facts), data)
        except Undecodable:
            return None

    async def decode(self, subject: str, sequence: int, data: bytes) -> Recorded:
        """Raises `Undecodable`, `PayloadMissing`, and `LogUnavailable` when the object store cannot be reached."""
        envelope = parse_envelope(data)
        if envelope.HasField("offloaded"):
            facts = await self._payload(envelope)
        else:
            facts = unpack(envelope.facts)
        if envelope.HasField("sealed"):
            facts = await self._opened(envelope, facts)
        return Recorded(subject, sequence, envelope, facts, data)

    async def _opened(self, envelope: Envelope, facts: tuple[Message, ...]) -> tuple[Message, ...]:
        """The facts with their personal data, if the key is there."""
        key = await self._keys.get(envelope.sealed.project, envelope.sealed.key_id)
        if key is None:
            return facts
        return put_back(unseal(envelope.sealed, key, envelope.event_id), envelope, facts)

    async def decode_or_unreadable(self, subject: str, sequence: int, data: bytes) -> Recorded | Unreadable:
        """Like `decode`, with what can never be read as a value, and waiting for an object store that is away."""
        while True:
            try:
                return await self.decode(subject, sequence, data)
            except (Undecodable, PayloadMissing) as error:
                return Unreadable(subject, sequence, f"{type(error).__name__}: {error}", data)
            except LogUnavailable as error:
                _log.warning("follower.waiting", subject=subject, sequence=sequence, reason=str(error))
                await asyncio.sleep(_UNAVAILABLE_SECONDS)

    async def _payload(self, envelope: Envelope) -> tuple[Message, ...]:
        offloaded = envelope.offloaded
        reference = DataRef(uri=offloaded.uri, sha256=offloaded.sha256, size_bytes=offloaded.size_bytes)
        try:
            data = await self._blobs.verified(reference)
        except (BlobMissing, BlobCorrupt, BlobTooLarge) as error:
            raise PayloadMissing(f"facts of event {envelope.event_id}: {error}") from error
        except BlobError as error:
            raise LogUnavailable(f"facts of event {envelope.event_id}: {error}") from error
        return unpack_list(data)

    async def last(self, subject: str) -> tuple[int, bytes] | None:
        """Sequence and bytes of a subject's last message."""
        stream = stream_of(subject)
        if self._connection.settings.replicas > 1:
            # Only the leader knows the newest message; any replica may answer a direct get.
            return await self._leader_get(stream, {"last_by_subj": subject})

        async def attempt() -> tuple[int, bytes] | None:
            answer = await self._connection.request(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"")
            return _found(answer)

        return await self._connection.patiently(attempt)

    async def first_record(self, subject: str) -> Recorded | None:
        """See `Log.first`."""
        found = await self.first_after(subject, 0)
        if found is None:
            return None
        return await self.decode(subject, int((found.headers or {})["Nats-Sequence"]), found.data)

    async def last_record(self, subject: str) -> Recorded | None:
        """See `Log.last`."""
        found = await self.last(subject)
        return None if found is None else await self.decode(subject, *found)

    async def head(self, subject: str) -> Head:
        found = await self.last(subject)
        if found is None:
            return Head.EMPTY
        sequence, data = found
        return head_after(sequence, parse_envelope(data), data)

    async def first_after(self, subject: str, sequence: int) -> Msg | None:
        """The first message on a subject behind a sequence. None: the replica that answered has none yet."""
        body = json.dumps({"seq": sequence + 1, "next_by_subj": subject}).encode()
        stream = stream_of(subject)

        async def attempt() -> Msg | None:
            answer = await self._connection.request(f"$JS.API.DIRECT.GET.{stream}", body)
            return None if _found(answer) is None else answer

        return await self._connection.patiently(attempt)

    async def message(self, stream: str, sequence: int) -> tuple[str, bytes] | None:
        """Subject and bytes of a message by its sequence."""
        body = json.dumps({"seq": sequence}).encode()

        async def attempt() -> tuple[str, bytes] | None:
            answer = await self._connection.request(f"$JS.API.DIRECT.GET.{stream}", body)
            return None if _found(answer) is None else ((answer.headers or {})["Nats-Subject"], answer.data)

        return await self._connection.patiently(attempt)

    async def load(self, subject: str, after: int, until: int | None = None) -> list[Recorded]:
        """All envelopes of a subject behind a sequence, up to another, in batches of many per request."""
        records: list[Recorded] = []
        verb = f"$JS.API.DIRECT.GET.{stream_of(subject)}"
        # The replica that answers may lag: what the leader had when we began is the least that belongs to "all".
        newest = await self.last(subject) if self._connection.settings.replicas > 1 else None
        while True:
            body = json.dumps({"seq": after + 1, "next_by_subj": subject, "batch": _LOAD_BATCH}).encode()

            async def attempt(body: bytes = body, after: int = after) -> list[Msg]:
                answers = await self._connection.request_many(verb, body, _is_control)
                if status_of(answers[-1]) == "503":
                    raise LogUnavailable("JetStream is not ready")
                if newest is not None and _is_last(answers) and _reached(answers, after) < newest[0]:
                    raise LogUnavailable(f"{subject}: the nearest replica lags")
                return answers

            answers = await self._connection.patiently(attempt)
            for message in answers[:-1]:
                after = int((message.headers or {})["Nats-Sequence"])
                if until is not None and after > until:
                    return records
                records.append(await self.decode(subject, after, message.data))
            if _is_last(answers):
                return records

    async def messages_after(self, stream: str, pattern: str, sequence: int, count: int) -> list[Raw]:
        """The first messages behind a sequence whose subjects a NATS filter matches, up to `count`; none at the end.

        None that was there when this was called is missing, however far a replica lags.
        """
        if self.cold is not None and sequence < (trimmed := await self.trimmed.up_to(stream)):
            archived = await self._archived_after(self.cold, stream, pattern, sequence, trimmed, count)
            if archived:
                return archived
            sequence = trimmed
        if self._connection.settings.replicas > 1:
            # Only the leader has them all for certain; one by one, as it answers no batches.
            found = await self._leader_message(stream, {"seq": sequence + 1, "next_by_subj": pattern})
            return [] if found is None else [found]
        body = json.dumps({"seq": sequence + 1, "next_by_subj": pattern, "batch": count}).encode()

        async def attempt() -> list[Msg]:
            answers = await self._connection.request_many(f"$JS.API.DIRECT.GET.{stream}", body, _is_control)
            if status_of(answers[-1]) == "503":
                raise LogUnavailable("JetStream is not ready")
            return answers

        found = [(item.headers or {}, item.data) for item in (await self._connection.patiently(attempt))[:-1]]
        return [Raw(one["Nats-Subject"], int(one["Nats-Sequence"]), data, one) for one, data in found]

    async def _archived_after(
        self, cold: Cold, stream: str, pattern: str, sequence: int, until: int, count: int
    ) -> list[Raw]:
        if names_one(pattern):
            # The archive knows which of its files have it, and need not be read from here to its end.
            return (await cold.subject(pattern, after=sequence, until=until))[:count]
        found: list[Raw] = []
        async with aclosing(cold.messages(stream, after=sequence, until=until, subjects=pattern)) as batches:
            async for batch in batches:
                found += batch
                if len(found) >= count:
                    break
        return found[:count]

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """See `Log.subjects`."""
        found: set[str] = set()
        while True:
            query = {"subjects_filter": pattern, "offset": len(found)}
            info = await self._connection.api(f"STREAM.INFO.{stream}", query)
            page = info["state"].get("subjects") or {}
            found.update(page)
            if not page or len(found) >= int(info.get("total", 0)):
                return sorted(found)

    async def stream_sequence(self, stream: str) -> int:
        """Sequence of the stream's last message."""
        info = await self._connection.api(f"STREAM.INFO.{stream}")
        return int(info["state"]["last_seq"])

    async def last_stored(self, stream: str) -> int:
        """See `Log.last_stored`."""
        # Asked for the last one of all, the server looks at its last sequence alone.
        last = [await self._leader_get(stream, {"last_by_subj": subjects}) for subjects in STREAMS[stream]["subjects"]]
        if any(last):
            return max(found[0] for found in last if found is not None)
        # The server may have one that it cannot read any more.
        state = (await self._connection.api(f"STREAM.INFO.{stream}"))["state"]
        return int(state["last_seq"]) if state["messages"] else 0

    async def restored(self, stream: str) -> int:
        """Sequence up to which a restore has filled a stream; 0: none has."""
        info = await self._connection.api(f"STREAM.INFO.{stream}")
        return int((info["config"].get("metadata") or {}).get(RESTORED, "0"))

    async def _leader_get(self, stream: str, query: dict[str, object]) -> tuple[int, bytes] | None:
        found = await self._leader_message(stream, query)
        return None if found is None else (found.sequence, found.data)

    async def _leader_message(self, stream: str, query: dict[str, object]) -> Raw | None:
        try:
            found = await self._connection.api(f"STREAM.MSG.GET.{stream}", query)
        except ApiError as error:
            if error.err_code == _NO_MESSAGE:
                return None
            raise
        message = found["message"]
        headers = _headers(b64decode(message.get("hdrs", "")))
        return Raw(message["subject"], int(message["seq"]), b64decode(message.get("data", "")), headers)


def _headers(data: bytes) -> dict[str, str]:
    """The headers of a stored message, as NATS has them in front of it."""
    lines = data.decode().split("\r\n")[1:]
    return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def _found(answer: Msg) -> tuple[int, bytes] | None:
    status = status_of(answer)
    if status == "404":
        return None
    if status == "503":
        raise LogUnavailable("JetStream is not ready")
    if status:
        raise LogUnavailable(f"direct get: {status} {(answer.headers or {}).get('Description', '')}")
    return int((answer.headers or {})["Nats-Sequence"]), answer.data


def _is_last(answers: list[Msg]) -> bool:
    """Whether no batch follows this one; its last message says how many more there are."""
    return len(answers) == 1 or (answers[-1].headers or {}).get("Nats-Num-Pending", "0") == "0"


def _reached(answers: list[Msg], after: int) -> int:
    return int((answers[-2].headers or {})["Nats-Sequence"]) if len(answers) > 1 else after


_is_control: Callable[[Msg], bool] = lambda message: bool(status_of(message))  # noqa: E731
