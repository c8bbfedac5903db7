"""The log as the services see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore

from . import alarms, erasing, following, keeping, moments, parking, verbatim
from . import cold as cold_reading
from .appending import Appender
from .cold import Cold, Trimming
from .connection import ApiError, Connection
from .consuming import Consumer, EventSource
from .envelopes import Cause, Head, Recorded, Unreadable
from .keeping import Kept
from .keys import Keys
from .moments import Extent, Moments
from .parking import ParkedEntry
from .reading import Raw, Reader
from .settings import LogSettings
from .streams import ensure_streams
from .subjects import Subject, stream_of

_Alarm = TypeVar("_Alarm", bound=Message)
_Kept = TypeVar("_Kept", bound=Message)


class Log:
    """Envelopes on JetStream: append with optimistic concurrency, load, follow, consume, and an alarm clock.

    Made by `connect`. It reconnects for ever; while the server is away, calls wait for up to
    `LogSettings.patience_seconds` and then raise `LogUnavailable`.
    """

    def __init__(self, connection: Connection, blobs: BlobStore, cold: Cold | None = None) -> None:
        self._connection = connection
        self._blobs = blobs
        self.keys = Keys(blobs, connection.settings.personal_data)
        self._reader = Reader(connection, blobs, self.keys, cold)
        self._moments = Moments(self._reader)
        self._appender = Appender(connection, self._reader, blobs, self.keys)

    @classmethod
    async def connect(cls, settings: LogSettings, blobs: BlobStore, *, name: str, cold: Cold | None = None) -> Log:
        """Connect as `name` and make the streams that are missing. Raises `LogUnavailable`.

        `cold` has the messages that were trimmed: they are read from there as if they still lay on the log. Without it,
        whoever reads them meets `EventsMissing`.
        """
        connection = await Connection.open(settings, name)
        try:
            await ensure_streams(connection)
        except BaseException:
            await connection.close()
            raise
        return cls(connection, blobs, cold)

    def hot(self) -> Log:
        """The same log over the same connection, with nothing but what its server has: as if all else never was."""
        log = Log(self._connection, self._blobs)
        log._reader.trimmed = cold_reading.Untrimmed(self._connection)
        return log

    async def close(self) -> None:
        """Send what is still to be sent, and disconnect."""
        await self._connection.close()

    @property
    def settings(self) -> LogSettings:
        """How another process reaches the same log."""
        return self._connection.settings

    @property
    def blob_settings(self) -> BlobSettings:
        """Where its large payloads are."""
        return self._blobs.settings

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    async def append(
        self,
        subject: Subject | str,
        facts: Sequence[Message],
        *,
        head: Head,
        cause: Cause,
        occurred_at: datetime | None = None,
    ) -> Recorded:
        """Append one envelope with all facts of one decision behind `head`; on disk when this returns.

        Raises `Conflict` when the subject has gone on since `head`, and `LogUnavailable` when the server stayed away.
        An append that was cut off half-way is looked after: it is never stored twice, and never a `Conflict` with
        itself. After `LogUnavailable` it may yet have been stored: load again before deciding again.
        """
        return await self._appender.append(str(subject), facts, head, cause, occurred_at)

    async def publish(
        self,
        subject: Subject | str,
        facts: Sequence[Message],
        *,
        cause: Cause,
        message_id: str,
        occurred_at: datetime | None = None,
    ) -> int:
        """Record an observation, without optimistic concurrency; returns its sequence.

        The same `message_id` again, within two minutes, is stored only once. Raises `LogUnavailable`.
        """
        return await self._appender.publish(str(subject), facts, cause, message_id, occurred_at)

    async def load(
        self, subject: Subject | str, *, after: Head = Head.EMPTY, until: int | None = None
    ) -> list[Recorded]:
        """All envelopes of a subject behind `after`, in order; with `until`, those up to that sequence.

        The hash chain is not checked: see `verify_chain`. Raises `Undecodable`, `PayloadMissing`, `EventsMissing`,
        `LogUnavailable`.
        """
        return await cold_reading.load(self._reader, str(subject), after, until)

    def stored(self, subject: Subject | str) -> AsyncIterator[Raw]:
        """All messages of a subject as they lie there, byte for byte, in order. Raises `LogUnavailable`."""
        return verbatim.stored(self._reader, stream_of(str(subject)), str(subject))

    async def put_back(self, subject: Subject | str, data: bytes, *, head: Head) -> Head:
        """Put an envelope on its subject that was taken from a log, byte for byte, as something that happened.

        It is told to none that consume facts by their names; returns what the next one must follow.

        Raises:
            BrokenChain: it does not follow `head`.
            Conflict, LogUnavailable: as `append`.
        """
        return await self._appender.put_back(str(subject), data, head)

    async def publish_back(self, subject: Subject | str, data: bytes) -> int:
        """Likewise for an observation, which has no predecessor; returns its sequence. Raises `LogUnavailable`."""
        return await self._appender.publish_back(str(subject), data)

    async def first(self, subject: Subject | str) -> Recorded | None:
        """A subject's first envelope; None when nothing is on it. Raises as `load`."""
        return await cold_reading.first(self._reader, str(subject))

    async def last(self, subject: Subject | str) -> Recorded | None:
        """A subject's last envelope; None when nothing is on it. Raises as `load`."""
        return await self._reader.last_record(str(subject))

    async def head(self, subject: Subject | str) -> Head:
        """The end of a subject, `Head.EMPTY` when nothing is on it."""
        return await self._reader.head(str(subject))

    async def last_sequence(self, subject: Subject | str) -> int:
        """Stream sequence of the last message on a subject; 0 when there is none."""
        found = await self._reader.last(str(subject))
        return 0 if found is None else found[0]

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """The subjects of a stream that a NATS filter matches, in order. For few: all are in memory.

        Raises `LogUnavailable`.
        """
        return await self._reader.subjects(stream, pattern)

    async def stream_sequence(self, stream: str) -> int:
        """Sequence of the last message of a stream; 0 when it is empty."""
        return await self._reader.stream_sequence(stream)

    async def last_stored(self, stream: str) -> int:
        """Sequence of the last message that a stream has now: those behind it were removed. 0 when it has none."""
        return await self._reader.last_stored(stream)

    async def extent(self, stream: str) -> Extent:
        """Where a stream begins and ends. Raises `LogUnavailable`."""
        return await moments.extent(self._reader, stream)

    async def sequence_at(self, stream: str, moment: Timestamp) -> int:
        """Sequence of the last envelope of a stream that had been recorded by a moment; 0 when none had been.

        All envelopes up to it had been recorded by then, as far as the clocks of those who wrote them agree. Raises
        `LogUnavailable`.
        """
        return await self._moments.sequence_at(stream, moment)

    def follow(
        self,
        stream: str,
        *,
        after: int,
        subjects: str = ">",
        live: bool = True,
        since: datetime | None = None,
        on_demand: bool = False,
    ) -> AsyncIterator[list[Recorded | Unreadable]]:
        """Every message of a stream behind the sequence `after`, in order and without a gap, then those that come.

        Yields what is there at once: many messages while catching up, few when live. `subjects` is a NATS filter.
        `live=False` ends at the end that the stream has now. With `since`, those that the server stored before that
        moment are left out. `on_demand` is for who pauses between two batches: nothing arrives meanwhile, and what came
        is the next one. Outlives restarts of the server.
        """
        return following.follow(
            self._connection,
            self._reader,
            stream,
            after=after,
            subjects=subjects,
            live=live,
            since=since,
            on_demand=on_demand,
        )

    def follow_stored(
        self,
        stream: str,
        *,
        after: int,
        subjects: str = ">",
        live: bool = True,
        on_demand: bool = False,
        until: int | None = None,
        batch: int = 1000,
        max_bytes: int = 16 * 1024 * 1024,
    ) -> AsyncGenerator[list[Raw]]:
        """As `follow`, with messages as they are stored: for who wants only some of them decoded, or the bytes alone.

        With `until` it ends behind that sequence. No more than `batch` messages of `max_bytes` together are held at a
        time.
        """
        return following.follow_stored(
            self._connection,
            self._reader,
            stream,
            after=after,
            subjects=subjects,
            live=live,
            on_demand=on_demand,
            until=until,
            batch=batch,
            max_bytes=max_bytes,
        )

    async def stored_after(self, stream: str, subjects: str, sequence: int, count: int) -> list[Raw]:
        """The first messages behind a sequence whose subjects a NATS filter matches, up to `count`; none at the end.

        None that was there when this was called is missing between them. Raises `LogUnavailable`.
        """
        return await self._reader.messages_after(stream, subjects, sequence, count)

    def decoded_at_once(self, raw: Raw) -> Recorded | None:
        """As `decoded`, for a message that needs nothing else to be decoded; None for others. Most need nothing."""
        return self._reader.decode_at_once(raw.subject, raw.sequence, raw.data)

    async def decoded(self, raw: Raw) -> Recorded | Unreadable:
        """A stored message as `follow` would give it. Waits for an object store that is away."""
        return await self._reader.decode_or_unreadable(raw.subject, raw.sequence, raw.data)

    async def forget(self, stream: str, durable: str) -> None:
        """Forget where a consumer got to; its next `consume` begins at the start of the stream.

        Not while it runs. Raises `LogUnavailable`.
        """
        try:
            await self._connection.api(f"CONSUMER.DELETE.{stream}.{durable}")
        except ApiError as error:
            if error.code != 404:
                raise

    async def consume(
        self,
        stream: str,
        durable: str,
        handler: Callable[[Recorded], Awaitable[None]],
        *,
        facts: frozenset[str] | None,
        subjects: str = ">",
        max_in_flight: int = 512,
        gather_seconds: float = 0.0,
    ) -> None:
        """Hand every envelope of a stream to `handler`, at least once, until cancelled.

        Envelopes of one subject come strictly one after another, those of different subjects at the same time, up to
        `max_in_flight`. With `facts` (short message names), envelopes that contain none of them are passed over.
        `subjects` is a NATS filter. Where the consumer got to is kept by the server under the name `durable`.

        `gather_seconds` is for work that is not urgent: what comes within that time after an envelope is handed over
        with one turn for all of it, which costs this process and the server much less than one for each.

        When the handler raises, the envelope is tried again after 0.1 s … 30 s; the eighth failure, or `Undecodable`,
        parks it. `LogUnavailable` does not count: it is tried again until the log is back. It ends by itself, with an
        `ExceptionGroup`, only when the connection is closed for good.
        """
        source = EventSource(self._reader, stream, durable, handler, facts, subjects)
        consumer = Consumer(
            self._connection, self._reader, source, max_in_flight=max_in_flight, gather_seconds=gather_seconds
        )
        await consumer.run()

    async def handled(self, stream: str, durable: str) -> int:
        """Sequence up to which a consumer has dealt with every message of a stream; 0 while it never ran.

        Raises `LogUnavailable`.
        """
        try:
            info = await self._connection.api(f"CONSUMER.INFO.{stream}.{durable}")
        except ApiError as error:
            if error.code != 404:
                raise
            return 0
        return int(info["ack_floor"].get("stream_seq", 0))

    async def schedule(
        self, key: Subject, due: datetime, message: Message, *, traceparent: str = "", lasting: bool = False
    ) -> None:
        """Have `message` delivered to the alarm consumers of the key's kind (its first part) at `due`.

        The key is a subject of the stream ALARM: `Subject.of("ALARM", kind, …)`. Scheduling a key again moves its
        alarm; what is due already fires at once. `traceparent` is the trace that goes on then. `lasting`: what fired is
        kept until the key's next alarm fires, however long nobody is there to take it; else for thirty days. Raises
        `LogUnavailable`.
        """
        await alarms.schedule(self._connection, key, due, message, traceparent, lasting=lasting)

    async def consume_alarms(
        self,
        durable: str,
        prefix_kind: str,
        handler: Callable[[_Alarm, datetime], Awaitable[None]],
        message_type: type[_Alarm],
        *,
        max_in_flight: int = 512,
    ) -> None:
        """Hand every alarm of a kind, with the time it was due, to `handler`, at least once, until cancelled."""
        source = alarms.AlarmSource(durable, prefix_kind, handler, message_type)
        await Consumer(self._connection, self._reader, source, max_in_flight=max_in_flight).run()

    async def keep(self, key: Subject, message: Message) -> int:
        """Keep `message` as what is under way by the name `key`, in place of what was kept by it; on disk on return.

        Returns the sequence that `drop` takes. The key is a subject of a stream with one message a subject (ORDER).
        Raises `LogUnavailable`; it may then be kept nevertheless.
        """
        return await keeping.keep(self._connection, self._blobs, key, message)

    async def drop(self, key: Subject, sequence: int) -> None:
        """Drop what was kept by the name `key`. What was kept by it after `sequence` stays. Raises `LogUnavailable`."""
        await keeping.drop(self._connection, key, sequence)

    def kept(self, stream: str, message_type: type[_Kept]) -> AsyncIterator[Kept[_Kept]]:
        """All that is kept on a stream, in the order in which it was kept.

        What is kept or dropped meanwhile may or may not be among it. What cannot be read is left out, and logged as an
        error. Raises `LogUnavailable`.
        """
        return keeping.kept(self._reader, self._blobs, stream, message_type)

    async def erase(self, subject: Subject | str, *, before: int | None = None) -> int:
        """Erase the messages of a subject whose sequences are below `before`, all without it; returns how many.

        Their bytes are overwritten in the server's files, and facts that they keep in the object store are deleted, the
        newest first. What is left of it when this is cut off is erased by the next call. Raises `LogUnavailable`.
        """
        return await erasing.erase(self._connection, self._reader, self._blobs, str(subject), before)

    async def erase_parked(self, subjects: Sequence[Subject | str]) -> int:
        """Erase what is parked of these subjects; returns how many messages. Looks at all that is parked.

        Raises `LogUnavailable`.
        """
        return await erasing.erase_parked(self._connection, self._reader, [str(subject) for subject in subjects])

    async def erase_kept(self, stream: str, *parts: str) -> None:
        """Delete what was kept by names that begin with these parts and was too large for the log; drop it before.

        Raises `LogUnavailable`.
        """
        await keeping.erase_kept(self._blobs, stream, parts)

    async def consumers_behind(self, stream: str, sequence: int) -> list[str]:
        """Names of the durable consumers of a stream that have not dealt with everything up to a sequence.

        Raises `LogUnavailable`.
        """
        return await erasing.consumers_behind(self._connection, stream, sequence)

    async def trimming(self, stream: str) -> Trimming:
        """How far a stream is trimmed. Raises `LogUnavailable`."""
        return await cold_reading.trimming(self._connection, stream)

    async def note_trimming(self, stream: str, wanted: Trimming) -> None:
        """Say how far a stream is trimmed. To be said well before messages go: see `cold.KNOWN_SECONDS`."""
        await cold_reading.note_trimming(self._connection, stream, wanted)

    async def trim(self, subject: Subject | str, before: int) -> int:
        """Have the server forget the messages of a subject below a sequence; returns how many there were.

        Only what is archived, and announced by `note_trimming`. Raises `LogUnavailable`.
        """
        return await cold_reading.trim(self._connection, str(subject), before)

    async def readers_behind(self, stream: str, sequence: int) -> list[str]:
        """Names of all consumers and followers that have something of a stream before them and are not yet there.

        Raises `LogUnavailable`.
        """
        return await cold_reading.readers_behind(self._connection, stream, sequence)

    async def park(self, stream: str, sequence: int, *, consumer: str, reason: str, deliveries: int = 1) -> None:
        """Keep the message at a stream's sequence among the parked, because `consumer` cannot digest it."""
        await parking.park(
            self._connection, self._reader, stream, sequence, consumer=consumer, reason=reason, deliveries=deliveries
        )

    def parked(self) -> AsyncIterator[ParkedEntry]:
        """What is parked now, oldest first."""
        return parking.parked(self._reader)

    async def redrive(self, sequence: int) -> None:
        """Give the message parked at `sequence` to its consumer once more, and take it off the parked.

        Raises `LogError` when nothing is parked there, or when the consumer is not a durable one of the log.
        """
        await parking.redrive(self._connection, self._reader, sequence)
