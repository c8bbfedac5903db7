"""What a process folds in memory, and what it leaves to the long way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from flightlog_log import Head, Raw, Recorded, Subject
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from flightlog_read.folding import Share
from flightlog_read.projection import Aggregate, BulkProjection


class Words:
    """The words said to an aggregate; `end` is its last one, `poison` cannot be said, `unrowable` cannot be shown."""

    over = False

    def __init__(self) -> None:
        self.said: list[str] = []

    def apply(self, recorded: Recorded) -> None:
        for fact in recorded.facts:
            assert isinstance(fact, StringValue)
            if fact.value == "poison":
                raise ValueError(fact.value)
            self.said.append(fact.value)
            self.over = self.over or fact.value == "end"

    def rows(self) -> Iterable[tuple[str, Sequence[object]]]:
        if "unrowable" in self.said:
            raise ValueError("unrowable")
        yield "words", ("".join(self.said),)


class Saying:
    """What is said, in one way or the other."""

    name = "said"
    stream = "REGISTRY"
    version = 1
    copied = {"words": ("text",)}  # noqa: RUF012

    def ddl(self) -> str:
        return "CREATE TABLE words (text text NOT NULL)"

    async def apply(self, connection: object, batch: Sequence[Recorded]) -> None:
        raise AssertionError("a share does no input or output")


class Said(Saying):
    def aggregate(self, subject: str) -> Aggregate:
        return Words()


class SaidAlone(Saying):
    def rows_of(self, recorded: Recorded) -> list[tuple[str, Sequence[object]]]:
        words = Words()
        words.apply(recorded)
        return list(words.rows())


class Speech:
    """Gives a share envelopes of subjects, numbered as on a stream."""

    def __init__(self, *, most_bytes: int = 1 << 20, alone: bool = False) -> None:
        projection: BulkProjection = SaidAlone() if alone else Said()
        self.share = Share.of(projection, most_bytes)
        self._sequences = count(1)
        self._positions: dict[str, int] = {}

    def say(self, name: str, word: str, *, position: int | None = None) -> None:
        subject = str(Subject.of("REGISTRY", name))
        sequence = next(self._sequences)
        position = self._positions.get(subject, 0) + 1 if position is None else position
        self._positions[subject] = position
        envelope = Envelope(event_id=f"e{sequence}", subject=subject, position=position)
        recorded = Recorded(subject, sequence, envelope, (StringValue(value=word),), Head(sequence, position, b""))
        self.share.take(recorded, Raw(subject, sequence, b"x" * 10, {}))

    def written(self) -> list[str]:
        return sorted(str(row[0]) for folded in self.share.take_over() for _, row in folded.rows)

    def late(self) -> list[int]:
        return [message.sequence for message in self.share.late]


def test_an_aggregate_is_written_when_it_is_over_and_the_others_at_the_end() -> None:
    speech = Speech()
    for name, word in (("a", "1"), ("b", "1"), ("a", "2"), ("a", "end"), ("b", "2")):
        speech.say(name, word)
    assert speech.written() == ["12end"]
    assert speech.written() == []
    speech.share.end()
    assert speech.written() == ["12"]
    assert speech.late() == []


def test_what_comes_after_the_end_goes_the_long_way() -> None:
    speech = Speech()
    for word in ("1", "end", "3", "4"):
        speech.say("a", word)
    speech.share.end()
    assert speech.written() == ["1end"]
    assert speech.late() == [3, 4]


def test_an_aggregate_without_its_beginning_goes_the_long_way() -> None:
    speech = Speech()
    speech.say("a", "2", position=2)
    speech.say("a", "3")
    speech.share.end()
    assert speech.written() == []
    assert speech.late() == [1, 2]


@pytest.mark.parametrize("culprit", ["poison", "unrowable"])
def test_of_an_aggregate_that_cannot_be_folded_all_goes_the_long_way_in_order(culprit: str) -> None:
    speech = Speech()
    for name, word in (("a", "1"), ("b", "1"), ("a", culprit), ("a", "3"), ("b", "end")):
        speech.say(name, word)
    speech.share.end()
    assert speech.written() == ["1end"]
    assert speech.late() == [1, 3, 4]


def test_room_is_made_by_those_that_nothing_happened_to_for_longest() -> None:
    speech = Speech(most_bytes=45)
    for name in ("a", "b", "a", "c"):
        speech.say(name, "1")
    assert speech.written() == []
    speech.say("d", "1")  # the fifth message of ten bytes
    assert speech.written() == ["1", "11"]  # b and a: c was touched later
    speech.say("a", "2")
    speech.say("c", "2")
    speech.share.end()
    assert speech.written() == ["1", "12"]
    assert speech.late() == [6]


def test_one_that_is_larger_than_the_room_stays_while_it_goes_on() -> None:
    speech = Speech(most_bytes=15)
    for _ in range(5):
        speech.say("a", "1")
    speech.share.end()
    assert speech.written() == ["11111"]
    assert speech.late() == []


def test_rows_that_stand_alone_need_no_beginning_and_are_not_held() -> None:
    speech = Speech(alone=True)
    speech.say("a", "5", position=5)
    speech.say("a", "poison")
    speech.say("a", "7")
    assert speech.written() == ["5", "7"]
    assert speech.late() == [2]
