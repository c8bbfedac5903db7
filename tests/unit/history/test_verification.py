"""Whatever is done to a stream is found, and named: by the log alone where it can be, else with the archive."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flightlog_archive import Erasing
from flightlog_archive.erasing import elsewhere
from flightlog_log import Subject
from flightlog_log.envelopes import pack, parse_envelope
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from services.history.verification.chains import Chains, Link
from services.history.verification.deletions import owner_of
from services.history.verification.reading import read
from services.history.verification.stream import StreamCheck, Voucher
from tests.unit.history.streams import (
    ORDERED,
    STREAM,
    UNORDERED,
    Stored,
    check,
    flipped,
    is_last,
    moved,
    orders,
    stream,
    swapped,
    without,
)

A, B, *_ = ORDERED


@given(orders(smallest=0), st.data())
def test_what_is_whole_gives_no_findings(subjects: list[str], data: st.DataObject) -> None:
    messages = stream(subjects)
    assert check(messages, end=len(messages)) == []
    archived = messages[: data.draw(st.integers(0, len(messages)))]
    assert check(messages, end=len(messages), archive=archived) == []
    assert check(messages, end=len(messages), vouchers=[Voucher("the archive", len(archived))]) == []


@given(orders(), st.data())
def test_a_flipped_bit_is_found_and_named(subjects: list[str], data: st.DataObject) -> None:
    messages = stream(subjects)
    index = data.draw(st.integers(0, len(messages) - 1))
    bit = data.draw(st.integers(0, len(messages[index].data) * 8 - 1))
    changed = flipped(messages, index, bit)
    alone = check(changed, end=len(messages))
    if not is_last(messages, index) and messages[index].subject != UNORDERED:
        assert any(
            (finding.subject == messages[index].subject and finding.position in (0, index, messages[index].position))
            or finding.sequence == index + 1
            for finding in alone
        ), alone
    with_archive = check(changed, end=len(messages), archive=messages)
    assert (index + 1, messages[index].subject) in {(finding.sequence, finding.subject) for finding in with_archive}


@given(orders(smallest=3), st.data())
def test_a_change_in_the_middle_of_a_chain_is_laid_at_the_right_door(subjects: list[str], data: st.DataObject) -> None:
    messages = stream([A, *subjects, A, A])
    index = data.draw(st.sampled_from([i for i, one in enumerate(messages[:-2]) if one.subject == A]))
    envelope = parse_envelope(messages[index].data)
    if data.draw(st.booleans()):
        envelope.actor.subject = "somebody else"
    elif index:
        envelope.previous_hash = bytes(32)
    else:
        envelope.position = 7
    messages[index] = Stored(index + 1, A, envelope.SerializeToString())
    (finding,) = check(messages, end=len(messages))
    assert (finding.kind, finding.subject, finding.sequence) == ("altered", A, index + 1)


def test_the_last_two_of_a_chain_are_both_suspects() -> None:
    messages = stream([A, A])
    envelope = parse_envelope(messages[0].data)
    envelope.actor.subject = "somebody else"
    (finding,) = check([Stored(1, A, envelope.SerializeToString()), messages[1]], end=2)
    assert (finding.kind, finding.sequence, finding.position) == ("altered", 1, 1)
    assert "or its successor, at sequence 2" in finding.message


@given(orders(), st.data())
def test_a_missing_message_is_found_and_named(subjects: list[str], data: st.DataObject) -> None:
    messages = stream(subjects)
    index = data.draw(st.integers(0, len(messages) - 1))
    left = without(messages, index)
    (finding,) = check(left, end=len(messages))
    assert finding.kind == "gap"
    if is_last(messages, index) or messages[index].subject == UNORDERED:
        assert f"missing: {index + 1}" in finding.message
    else:
        assert (finding.subject, finding.position) == (messages[index].subject, messages[index].position)
    found = check(left, end=len(messages), archive=messages)
    (finding,) = found
    assert finding.kind == ("truncated" if index == len(messages) - 1 else "gap")
    assert finding.sequence == (index if index == len(messages) - 1 else index + 1)
    assert finding.repair == "flightlog restore"


@given(orders(), st.data())
def test_a_message_that_was_moved_is_found_and_named(subjects: list[str], data: st.DataObject) -> None:
    messages = stream(subjects)
    index = data.draw(st.integers(0, len(messages) - 2))
    changed = moved(messages, index)
    end = len(messages) + 1
    found = check(changed, end=end)
    if is_last(messages, index) or messages[index].subject == UNORDERED:
        assert [finding.kind for finding in found] == ["gap"]
        assert f"missing: {index + 1}" in found[0].message
    else:
        (finding,) = found
        assert (finding.kind, finding.subject, finding.sequence, finding.position) == (
            "order",
            messages[index].subject,
            end,
            messages[index].position,
        )
    with_archive = check(changed, end=end, archive=messages)
    assert (index + 1, messages[index].subject) in {(finding.sequence, finding.subject) for finding in with_archive}


@given(st.integers(2, 8), st.data())
def test_swapped_messages_of_a_chain_are_found_and_named(length: int, data: st.DataObject) -> None:
    messages = stream([A] * length)
    one, other = sorted(data.draw(st.permutations(range(length)))[:2])
    found = check(swapped(messages, one, other), end=length)
    assert {"order"} == {finding.kind for finding in found}
    assert other + 1 in {finding.sequence for finding in found}
    with_archive = check(swapped(messages, one, other), end=length, archive=messages)
    assert {one + 1, other + 1} <= {finding.sequence for finding in with_archive if finding.kind == "archive"}


@given(orders(smallest=4), st.data())
def test_contents_in_each_others_place_are_found_and_named(subjects: list[str], data: st.DataObject) -> None:
    messages = stream([A, B, *subjects, A, B])
    first, second = Stored(1, A, messages[1].data), Stored(2, B, messages[0].data)
    found = check([first, second, *messages[2:]], end=len(messages))
    assert [(finding.kind, finding.sequence) for finding in found] == [("misplaced", 1), ("misplaced", 2)]


@given(orders(smallest=3), st.data())
def test_a_truncated_stream_is_found(subjects: list[str], data: st.DataObject) -> None:
    messages = stream(subjects)
    left = messages[: data.draw(st.integers(0, len(messages) - 1))]
    (deleted,) = check(left, end=len(messages))
    assert deleted.kind == "gap"
    (as_from_a_backup,) = check(left, end=len(left), vouchers=[Voucher("the tables of execution", len(messages))])
    assert as_from_a_backup.kind == "truncated"
    assert f"seen it up to {len(messages)}" in as_from_a_backup.message
    found = check(left, end=len(left), archive=messages, vouchers=[Voucher("the archive", len(messages))])
    assert [finding.kind for finding in found] == ["truncated"]
    assert f"the archive has {len(messages) - len(left)} message" in found[0].message


@given(orders(smallest=4), st.data())
def test_a_trimmed_log_is_whole_as_long_as_the_archive_is(subjects: list[str], data: st.DataObject) -> None:
    messages = stream([*subjects, *subjects])
    trimmed = data.draw(st.sets(st.sampled_from([A, B, UNORDERED]), min_size=1))
    left = [
        one
        for index, one in enumerate(messages)
        if one.subject not in trimmed or (is_last(messages, index) and one.subject != UNORDERED)
    ]
    end = len(messages)
    up_to = max((one.sequence for one in messages if one not in left), default=0)
    assert check(left, end=end, archive=messages, trimmed_up_to=up_to) == []
    assert check(left, end=end, trimmed_up_to=up_to) == []
    if up_to:
        assert check(left, end=end) != []
        assert check(left, end=end, archive=messages, trimmed_up_to=up_to - 1) != []


def test_a_subject_that_is_gone_altogether_was_not_trimmed() -> None:
    messages = stream([A, B, A, B, B])
    found = check([one for one in messages if one.subject != A], end=5, archive=messages, trimmed_up_to=5)
    assert [(finding.kind, finding.subject, finding.repair) for finding in found] == [("gap", A, "flightlog restore")]


def test_of_a_deleted_execution_its_last_envelope_is_left() -> None:
    messages = stream([A, B, A, B])
    deleted = parse_envelope(messages[2].data)
    deleted.facts.extend(pack([ExecutionDeleted()]))
    left = [messages[1], Stored(3, A, deleted.SerializeToString()), messages[3]]
    assert check(left, end=4) == []


def test_what_two_miss_is_told_apart() -> None:
    messages = stream([A, B, A, B, A, A, B])
    left = [one for one in messages if one.sequence not in (3, 7)]
    found = check(left, end=7)
    assert [(finding.kind, finding.subject, finding.position) for finding in found] == [("gap", A, 2), ("gap", "", 0)]
    assert found[1].message == "1 message is missing: 7"


def test_what_was_erased_is_not_missed_and_its_chain_goes_on() -> None:
    messages = stream([A, B, A, UNORDERED])
    check_ = StreamCheck(STREAM, last=3, compared=True)
    for message in messages:
        archived = read(STREAM, message.subject, message.sequence, message.data)[0]
        erased = message.sequence in (1, 4)
        row = replace(archived, erased=erased)
        assert check_.take(None if erased else archived, row, archive_has_all=True) == []
    assert check_.finish(4) == []


def test_where_executions_were_deleted_observations_may_be_missing() -> None:
    messages = stream([UNORDERED, A, UNORDERED, A])
    gone = StreamCheck(STREAM, last=4)
    for message in (messages[1], messages[3]):
        gone.take(read(STREAM, message.subject, message.sequence, message.data)[0], None)
    assert gone.finish(4, deletions=True) == []
    assert gone.trimmed == 2


def test_a_second_message_in_the_same_place_is_found() -> None:
    messages = stream([A, A, A])
    found = check([*messages, Stored(4, A, messages[1].data)], end=4)
    assert [(finding.kind, finding.sequence, finding.position) for finding in found] == [("order", 4, 2)]


def test_what_the_archive_lacks_is_found() -> None:
    messages = stream([A, B, A, B])
    (finding,) = check(messages, end=4, archive=without(messages, 1))
    assert (finding.kind, finding.sequence, finding.repair) == ("archive", 2, "")


def test_millions_of_subjects_fit_into_memory() -> None:
    def taken(count: int) -> int:
        tracemalloc.start()
        chains = Chains("EXECUTION", 0, lambda _: False, lambda *_: None)
        for number in range(count):
            subject = f"execution.00.flytesnacks.development.f{number:032x}"
            chains.take(Link(subject, number + 1, subject, 1, b"", number.to_bytes(32, "big")))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert chains.subjects == count
        return size

    assert taken(20_000) / 20_000 < 250


def test_what_goes_with_an_execution_is_known_by_its_name() -> None:
    subject = str(Subject.of("EXECUTION", "p", "d", "a"))
    told = [other for stream, other in elsewhere(Erasing(subject, 1, "")) if stream != "PARKED"]
    assert len(told) > 3
    assert {owner_of(other.subject) for other in told} == {subject}
    own = str(Subject.of("CATALOG", "key", "p", "d", "a"))
    assert [owner_of(one) for one in (subject, own, "catalog.x")] == [subject, own, "catalog.x"]
