"""What a stream had and its server has no longer: messages that were trimmed because they are kept elsewhere.

A stream's metadata say up to which sequence it was trimmed. Who reads from below that place is given everything up to
it by whoever has it (`Cold`), and the rest by the server, so that nobody sees a difference but the time that it takes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from .connection import Connection
from .envelopes import Head, Recorded
from .errors import EventsMissing
from .subjects import stream_of

if TYPE_CHECKING:
    from .reading import Raw, Reader

_ANNOUNCED: Final = "flightlog-trimming"
_DONE: Final = "flightlog-trimmed"
_FORGETTING: Final = frozenset({"ExecutionDeleted", "DeliveriesForgotten"})
_LAST: Final = (1 << 63) - 2
# Observations: nothing in them says whether there were others before.
_WITHOUT_POSITIONS: Final = frozenset({"LAUNCHER", "AUDIT"})
KNOWN_SECONDS: Final = 2.0
"""How long a process may go on believing that a stream is trimmed no further than it was. Whoever trims says so first,
and waits for longer than this before messages go."""


class Cold(Protocol):
    """Where trimmed messages are kept. Both raise `LogUnavailable` when they cannot be reached."""

    def messages(self, stream: str, *, after: int, until: int, subjects: str) -> AsyncGenerator[list[Raw]]:
        """All messages behind one sequence and up to another whose subjects a NATS filter matches, in order."""
        ...

    async def subject(self, subject: str, *, after: int, until: int) -> list[Raw]:
        """Those of one subject."""
        ...


class Trimmed:
    """How far the streams are trimmed, as one connection knows it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, tuple[float, int]] = {}

    async def up_to(self, stream: str) -> int:
        """Messages of the stream up to this sequence may be gone from the server; 0: none are."""
        now = self._connection.loop.time()
        asked, sequence = self._known.get(stream, (now, -1))
        if sequence < 0 or now - asked > KNOWN_SECONDS:
            sequence = (await trimming(self._connection, stream)).announced
            self._known[stream] = (now, sequence)
        return sequence


class Untrimmed(Trimmed):
    """For who wants what the server has, and no more."""

    async def up_to(self, stream: str) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Trimming:
    """How far a stream is trimmed."""

    announced: int
    """Messages up to this sequence may be gone, or go soon."""
    done: int
    """What was to go up to this sequence has gone."""


async def trimming(connection: Connection, stream: str) -> Trimming:
    """See `Log.trimming`."""
    config = (await connection.api(f"STREAM.INFO.{stream}"))["config"]
    metadata = config.get("metadata") or {}
    return Trimming(int(metadata.get(_ANNOUNCED, "0")), int(metadata.get(_DONE, "0")))


async def note_trimming(connection: Connection, stream: str, wanted: Trimming) -> None:
    """See `Log.note_trimming`."""
    config = (await connection.api(f"STREAM.INFO.{stream}"))["config"]
    config["metadata"] = {
        **(config.get("metadata") or {}),
        _ANNOUNCED: str(wanted.announced),
        _DONE: str(wanted.done),
    }
    await connection.api(f"STREAM.UPDATE.{stream}", config)


async def trim(connection: Connection, subject: str, before: int) -> int:
    """See `Log.trim`."""
    answer = await connection.api(f"STREAM.PURGE.{stream_of(subject)}", {"filter": subject, "seq": before})
    return int(answer.get("purged", 0))


async def readers_behind(connection: Connection, stream: str, sequence: int) -> list[str]:
    """See `Log.readers_behind`."""
    behind: list[str] = []
    offset = 0
    while True:
        page = await connection.api(f"CONSUMER.LIST.{stream}", {"offset": offset})
        consumers: list[dict[str, Any]] = page.get("consumers") or []
        for info in consumers:
            durable = info["config"].get("durable_name")
            reached = int(info["ack_floor" if durable else "delivered"].get("stream_seq", 0))
            if reached < sequence and (info.get("num_pending", 0) or info.get("num_ack_pending", 0)):
                behind.append(info["name"])
        offset += len(consumers)
        if not consumers or offset >= int(page.get("total", 0)):
            return behind


async def load(reader: Reader, subject: str, after: Head, until: int | None) -> list[Recorded]:
    """See `Log.load`."""
    records = await reader.load(subject, after.sequence, until)
    begins = await _begins(reader, subject, after, until, records)
    if begins is None:
        return records
    return [*await _trimmed(reader, subject, after, begins - 1), *records]


async def first(reader: Reader, subject: str) -> Recorded | None:
    """See `Log.first`."""
    found = await reader.first_record(subject)
    if found is None or found.envelope.position <= 1:
        return found
    if await _begins(reader, subject, Head.EMPTY, None, [found]) is None:
        return found
    return (await _trimmed(reader, subject, Head.EMPTY, found.sequence - 1))[0]


async def _begins(
    reader: Reader, subject: str, after: Head, until: int | None, records: Sequence[Recorded]
) -> int | None:
    """Where the server's messages of a subject begin; None when none can be trimmed that were asked for."""
    stream = stream_of(subject)
    begins: int | None = None
    if records:
        begin = records[0]
        if after.position < begin.envelope.position - 1 and not _forgets(begin):
            begins = begin.sequence
    elif until is not None and stream not in _WITHOUT_POSITIONS:
        behind = await reader.first_after(subject, until)
        if behind is not None:
            begins = until + 1
    if stream in _WITHOUT_POSITIONS and (not records or records[0].sequence > after.sequence + 1):
        begins = min((until or _LAST) + 1, records[0].sequence if records else _LAST)
    return None if begins is None or await reader.trimmed.up_to(stream) <= after.sequence else begins


async def _trimmed(reader: Reader, subject: str, after: Head, until: int) -> list[Recorded]:
    stream = stream_of(subject)
    if reader.cold is None:
        raise EventsMissing(f"{subject}: its first events are archived, and this process has no archive")
    up_to = min(until, await reader.trimmed.up_to(stream))
    found = await reader.cold.subject(subject, after=after.sequence, until=up_to)
    records = [await reader.decode(raw.subject, raw.sequence, raw.data) for raw in found]
    expected = after.position
    for record in records if stream not in _WITHOUT_POSITIONS else ():
        expected += 1
        if record.envelope.position != expected:
            raise EventsMissing(f"{subject}: event {expected} is neither on the log nor in the archive")
    return records


def _forgets(record: Recorded) -> bool:
    """Whether nothing of what was before is to be read any more."""
    return any(fact.DESCRIPTOR.name in _FORGETTING for fact in record.facts)


def names_one(subjects: str) -> bool:
    """Whether a NATS filter is the name of one subject."""
    return not {"*", ">"} & set(subjects.split("."))


def matches(subjects: str, subject: str) -> bool:
    """Whether a NATS filter matches a subject."""
    if subjects == ">":
        return True
    wanted, tokens = subjects.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > place
        if place >= len(tokens) or token not in ("*", tokens[place]):
            return False
    return len(tokens) == len(wanted)
