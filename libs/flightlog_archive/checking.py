"""Whether segments are what was written: what a verification of the archive is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from .manifest import Segment, link
from .segments import Archived, messages_of


@dataclass(frozen=True, slots=True)
class Problem:
    """A message of a segment that is not what it was, or the segment as a whole (sequence 0)."""

    sequence: int
    subject: str
    reason: str


def check_messages(segment: Segment, chain: bytes, data: bytes, uri: str) -> Iterator[list[Archived] | Problem]:
    """The messages of a segment's file, some at a time, and what is wrong with them.

    `chain` is the link before its first message (`Manifest.chain_before`). The file's own hash is another check
    (`Archive.segment`): this one finds which messages differ, and a file that was altered together with its manifest,
    for the chain goes on to the manifest's end. Raises `SegmentDamaged` for what is no segment. Takes long: not for an
    event loop.
    """
    count, before = 0, segment.first - 1
    for messages in messages_of(data, uri):
        for message in messages:
            count += 1
            chain = link(chain, message.sequence, message.hash)
            if not before < message.sequence <= segment.last:
                yield Problem(message.sequence, message.subject, f"it does not belong behind sequence {before}")
            before = message.sequence
            if message.data is None:
                if not message.erased:
                    yield Problem(message.sequence, message.subject, "it has no message and was not erased")
            elif sha256(message.data).digest() != message.hash:
                yield Problem(message.sequence, message.subject, "the message is not the one of its hash")
        yield messages
    if count != segment.count:
        yield Problem(0, "", f"it has {count} messages, the manifest says {segment.count}")
    if chain.hex() != segment.chain:
        yield Problem(0, "", "its messages do not give the chain that the manifest has")
