"""Envelopes byte for byte: taken from a log as they lie there, read without one, and put on another one.

What is put back happened elsewhere, and must not happen again: its header says `Imported` in place of its facts' names,
so that consumers, which choose by these, pass it over. Whoever follows the stream takes it as it takes all else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.log.v1.envelope_pb2 import Envelope

from .envelopes import Recorded, parse_envelope, unpack, unpack_list
from .errors import PayloadMissing
from .reading import Raw, Reader

IMPORTED: Final = "Imported"
"""Value of the header Flightlog-Facts of an envelope that was put back."""
IMPORTED_AT: Final = "Flightlog-Imported-At"
"""Header of such an envelope: when it came to be on this log, which is later than what it says of itself."""
_BATCH: Final = 256


async def stored(reader: Reader, stream: str, subject: str) -> AsyncIterator[Raw]:
    """See `Log.stored`."""
    after = 0
    while found := await reader.messages_after(stream, subject, after, _BATCH):
        for message in found:
            yield message
        after = found[-1].sequence


def came_at(envelope: Envelope, headers: Mapping[str, str]) -> Timestamp:
    """When an envelope came to be on its log."""
    imported = headers.get(IMPORTED_AT)
    if imported is None:
        return envelope.recorded_at
    moment = Timestamp()
    moment.FromJsonString(imported)
    return moment


def recorded_of(subject: str, sequence: int, data: bytes, payload: bytes | None = None) -> Recorded:
    """An envelope's bytes as what a log would give of them.

    Args:
        payload: content of the object with its facts, where they were too large for the log.

    Raises:
        Undecodable: they are no envelope, or a fact is of a type that is not known here.
        PayloadMissing: its facts are elsewhere, and `payload` was not given.
    """
    envelope = parse_envelope(data)
    if not envelope.HasField("offloaded"):
        facts = unpack(envelope.facts)
    elif payload is None:
        raise PayloadMissing(f"facts of event {envelope.event_id}: {envelope.offloaded.uri}")
    else:
        facts = unpack_list(payload)
    return Recorded(subject, sequence, envelope, facts, data)
