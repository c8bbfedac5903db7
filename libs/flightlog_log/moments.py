"""From a moment to a place in a stream: which envelopes had been recorded by then.

What counts is when an envelope was recorded, as it says itself: the server's own times are other ones after a restore.
One that was imported counts from then. The clocks of several processes may differ a little, so envelopes that came at
the same time need not lie in the order of their times. The search looks at fixed places, which do not depend on how
long the stream has become since: the same moment gives the same sequence whenever it is asked for.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from .envelopes import parse_envelope
from .errors import Undecodable
from .reading import Reader
from .verbatim import came_at

_KEPT = 1024
_SETTLED_NANOSECONDS = 60 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a stream begins and ends. Its sequences are 0 when it has nothing."""

    first: int
    began: Timestamp
    """When the first envelope was recorded."""
    last: int


@dataclass(frozen=True, slots=True)
class _Place:
    """The first envelope at or behind the sequence that was asked for."""

    asked: int
    sequence: int
    nanoseconds: int


async def extent(reader: Reader, stream: str) -> Extent:
    """See `Log.extent`."""
    last = await reader.stream_sequence(stream)
    first = await _at_or_behind(reader, stream, 1)
    if first is None:
        return Extent(0, Timestamp(), last)
    began = Timestamp()
    began.FromNanoseconds(first.nanoseconds)
    return Extent(first.sequence, began, last)


class Moments:
    """Finds moments in the streams of one connection. What was found for one that is long past is kept."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._settled: OrderedDict[tuple[str, int], int] = OrderedDict()

    async def sequence_at(self, stream: str, moment: Timestamp) -> int:
        """See `Log.sequence_at`."""
        wanted = moment.ToNanoseconds()
        found = self._settled.get((stream, wanted))
        if found is not None:
            return found
        # What was recorded before now may be on its way to the log still.
        settled = wanted < time.time_ns() - _SETTLED_NANOSECONDS
        found = await _sequence_at(self._reader, stream, wanted)
        if settled:
            self._settled[stream, wanted] = found
            if len(self._settled) > _KEPT:
                self._settled.popitem(last=False)
        return found


async def _sequence_at(reader: Reader, stream: str, wanted: int) -> int:
    last = await reader.stream_sequence(stream)
    known: _Place | None = None
    below = found = 0
    step = 1 << last.bit_length() >> 1
    while step:
        probe = below + step
        step >>= 1
        if probe > last:
            continue
        if known is None or not known.asked <= probe <= known.sequence:
            place = await _at_or_behind(reader, stream, probe)
            if place is None:
                continue
            known = place
        if known.nanoseconds <= wanted:
            below, found = probe, known.sequence
    return found


async def _at_or_behind(reader: Reader, stream: str, sequence: int) -> _Place | None:
    """Passes over what is no envelope: nobody can say when that was recorded."""
    after = sequence - 1
    while messages := await reader.messages_after(stream, ">", after, 1):
        after = messages[0].sequence
        try:
            envelope = parse_envelope(messages[0].data)
        except Undecodable:
            continue
        return _Place(sequence, after, came_at(envelope, messages[0].headers).ToNanoseconds())
    return None
