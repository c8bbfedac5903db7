"""ListEvents: a page of a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Log, Raw, Recorded, came_at
from flightlog_protos.history.v1.events_pb2 import ListEventsRequest, ListEventsResponse
from flightlog_rpc import CallContext, invalid, invalid_value
from services.history.events.selection import Selection
from services.history.events.telling import event_of

MOST_LISTED: Final = 1000
_DEFAULT_LISTED: Final = 100
MOST_READ: Final = 10_000
"""Messages that one call looks through; whoever asks for what is rare gets a page with few events, or none."""
_ENOUGH_BYTES: Final = 3_000_000
"""A page is closed behind the event that makes it so large: Go clients take 4 MB unless told otherwise."""
_BATCH: Final = 100
_CLOCKS_DIFFER_SECONDS: Final = 10
"""Envelopes lie in the order in which they were stored; their times are those of the processes that wrote them."""


class Listing:
    """The call."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def list_events(self, request: ListEventsRequest, _call: CallContext) -> ListEventsResponse:
        """In the order of the stream. A page may be empty and yet not be the last one.

        Raises:
            RpcError: INVALID_ARGUMENT for a filter that cannot be, or a limit above 1,000.
            LogUnavailable: NATS is away.
        """
        selection = Selection.of(request.filter)
        limit = request.limit or _DEFAULT_LISTED
        if limit > MOST_LISTED:
            raise invalid(f"invalid value for limit: at most {MOST_LISTED} events are listed at once")
        within = _Within(request)
        begin, end = await self._range(selection.stream, request)
        page = ListEventsResponse()
        sequence = max(request.after, begin)
        read = size = 0
        async with aclosing(self._stored(selection, sequence, end)) as batches:
            async for found in batches:
                for raw in found:
                    sequence = raw.sequence
                    read += 1
                    if not selection.may_have(raw):
                        continue
                    entry = await self._log.decoded(raw)
                    if not selection.has(entry) or (isinstance(entry, Recorded) and not within.has(entry, raw)):
                        continue
                    event = event_of(selection.stream, entry, json=request.json)
                    page.events.append(event)
                    size += event.ByteSize()
                    if len(page.events) == limit or size >= _ENOUGH_BYTES:
                        page.next_after = sequence if sequence < end else 0
                        return page
                if read >= MOST_READ:
                    page.next_after = sequence if sequence < end else 0
                    return page
        return page

    async def _stored(self, selection: Selection, after: int, end: int) -> AsyncGenerator[list[Raw]]:
        """Messages behind one sequence and up to another, some at a time; what is trimmed comes from the archive."""
        if after < (await self._log.trimming(selection.stream)).announced:
            followed = self._log.follow_stored(
                selection.stream, after=after, subjects=selection.subjects, until=end, on_demand=True, batch=_BATCH
            )
            async with aclosing(followed) as batches:
                async for found in batches:
                    yield found
            return
        while after < end:
            # Unlike a follower it leaves nothing behind on the server: pages are asked for often.
            batch = await self._log.stored_after(selection.stream, selection.subjects, after, _BATCH)
            found = [raw for raw in batch if raw.sequence <= end]
            if not found:
                return
            yield found
            after = found[-1].sequence

    async def _range(self, stream: str, request: ListEventsRequest) -> tuple[int, int]:
        """Sequences behind which, and up to which, everything lies that may be in the times asked for."""
        begin, end = 0, await self._log.stream_sequence(stream)
        if request.HasField("since"):
            begin = await self._log.sequence_at(stream, _shifted(request.since, -_CLOCKS_DIFFER_SECONDS))
        if request.HasField("until"):
            end = min(end, await self._log.sequence_at(stream, _shifted(request.until, _CLOCKS_DIFFER_SECONDS)))
        return begin, end


class _Within:
    """Whether an event is on the log since a time that was asked for: at or after `since`, and before `until`.

    One that was imported says of itself when it was recorded elsewhere; that is not meant, as in reads of the past.
    """

    def __init__(self, request: ListEventsRequest) -> None:
        self._since = _nanoseconds(request.since, "since") if request.HasField("since") else None
        self._until = _nanoseconds(request.until, "until") if request.HasField("until") else None

    def has(self, entry: Recorded, raw: Raw) -> bool:
        came = came_at(entry.envelope, raw.headers).ToNanoseconds()
        return (self._since is None or came >= self._since) and (self._until is None or came < self._until)


def _nanoseconds(moment: Timestamp, name: str) -> int:
    try:
        moment.ToJsonString()
    except ValueError:
        raise invalid_value(name) from None
    return moment.ToNanoseconds()


def _shifted(moment: Timestamp, seconds: int) -> Timestamp:
    return Timestamp(seconds=moment.seconds + seconds, nanos=moment.nanos)
