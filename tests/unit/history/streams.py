"""Streams without a server: valid ones, what can be done to them, and what a check makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from flightlog_log import Head, new_id
from flightlog_log.envelopes import head_after, pack, parse_envelope
from flightlog_protos.execution.v1.facts_pb2 import TimerSet
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from services.history.verification.findings import Finding
from services.history.verification.reading import read
from services.history.verification.stream import StreamCheck, Voucher

STREAM = "CATALOG"
ORDERED = [f"catalog.0{number}.p.d.n{number}" for number in range(4)]
UNORDERED = "catalog.07.p.d.answer"


@dataclass(frozen=True)
class Stored:
    """A message of a stream."""

    sequence: int
    subject: str
    data: bytes

    @property
    def position(self) -> int:
        return parse_envelope(self.data).position


def stream(subjects: Sequence[str]) -> list[Stored]:
    """One message for each subject that is named, in this order, as `Log.append` and `Log.publish` would make them."""
    heads: dict[str, Head] = {}
    messages: list[Stored] = []
    for sequence, subject in enumerate(subjects, 1):
        envelope = Envelope(
            event_id=new_id(), schema_version=1, subject=subject, facts=pack([TimerSet(timer_id=f"timer-{sequence}")])
        )
        if subject != UNORDERED:
            head = heads.get(subject, Head.EMPTY)
            envelope.position = head.position + 1
            envelope.previous_hash = head.hash
        data = envelope.SerializeToString()
        heads[subject] = head_after(sequence, envelope, data)
        messages.append(Stored(sequence, subject, data))
    return messages


def check(
    messages: Sequence[Stored],
    *,
    end: int,
    archive: Sequence[Stored] | None = None,
    trimmed_up_to: int = 0,
    vouchers: Sequence[Voucher] = (),
) -> list[Finding]:
    """All that is found; with `archive`, compared with that."""
    last = messages[-1].sequence if messages else 0
    one = StreamCheck(STREAM, last=last, trimmed_up_to=trimmed_up_to, compared=archive is not None)
    on_log = {message.sequence: message for message in messages}
    rows = {message.sequence: message for message in archive or ()}
    covered = max(rows, default=0)
    findings: list[Finding] = []
    for sequence in sorted(on_log.keys() | rows.keys()):
        message, row = (
            read(STREAM, found.subject, found.sequence, found.data)[0] if found else None
            for found in (on_log.get(sequence), rows.get(sequence))
        )
        findings += one.take(message, row, archive_has_all=sequence <= covered)
    return findings + one.finish(end, vouchers)


def flipped(messages: Sequence[Stored], index: int, bit: int) -> list[Stored]:
    """With one bit of one message the other way round."""
    data = bytearray(messages[index].data)
    data[bit // 8] ^= 1 << bit % 8
    return [*messages[:index], replace(messages[index], data=bytes(data)), *messages[index + 1 :]]


def without(messages: Sequence[Stored], index: int) -> list[Stored]:
    """With one message deleted."""
    return [*messages[:index], *messages[index + 1 :]]


def moved(messages: Sequence[Stored], index: int) -> list[Stored]:
    """With one message deleted and published again."""
    return [*without(messages, index), replace(messages[index], sequence=len(messages) + 1)]


def swapped(messages: Sequence[Stored], one: int, other: int) -> list[Stored]:
    """With two messages in each other's place."""
    changed = list(messages)
    changed[one] = replace(messages[other], sequence=messages[one].sequence)
    changed[other] = replace(messages[one], sequence=messages[other].sequence)
    return changed


def orders(*, smallest: int = 2, largest: int = 14) -> st.SearchStrategy[list[str]]:
    """Subjects of messages, in order."""
    return st.lists(st.sampled_from([*ORDERED, UNORDERED]), min_size=smallest, max_size=largest)


def is_last(messages: Sequence[Stored], index: int) -> bool:
    """Whether nothing comes after a message on its subject."""
    return all(later.subject != messages[index].subject for later in messages[index + 1 :])
