"""Facts of signals folded into the rows clients list."""

from collections.abc import Sequence

import pytest
from flyteidl.core.literals_pb2 import Literal
from flyteidl.core.types_pb2 import INTEGER, LiteralType
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Head, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from services.execution.projection import fold
from services.execution.projection.rows import RowMissing, Rows, SignalRow
from services.execution.projection.signals import SIGNALS
from services.execution.projection.times import instant

KEY = ("p", "d", "run")


def envelope(sequence: int, *items: Message) -> Recorded:
    return Recorded(str(Subject.of("EXECUTION", *KEY)), sequence, Envelope(), items, Head(sequence, sequence, b""))


def awaited(signal_id: str, second: int, node_id: str = "n0") -> facts.SignalAwaited:
    kind = LiteralType(simple=INTEGER)
    return facts.SignalAwaited(node_id=node_id, signal_id=signal_id, type=kind, occurred_at=Timestamp(seconds=second))


def given(signal_id: str, value: int, second: int) -> facts.SignalSet:
    literal = Literal()
    literal.scalar.primitive.integer = value
    return facts.SignalSet(signal_id=signal_id, value=literal, occurred_at=Timestamp(seconds=second))


HISTORY: Sequence[Recorded] = (
    envelope(3, awaited("a", 1), awaited("b", 1, "n1")),
    envelope(4, given("a", 5, 2)),
    envelope(5, awaited("a", 3, "n2")),
    envelope(6, given("a", 6, 4)),
)


def restored(row: SignalRow) -> SignalRow:
    """The row as it comes back from the database."""
    return SIGNALS.restore(dict(zip(SIGNALS.columns, SIGNALS.values(row), strict=True)))


def folded(*batches: Sequence[Recorded]) -> dict[str, SignalRow]:
    stored: dict[object, SignalRow] = {}
    for batch in batches:
        needs = fold.needs(batch)
        rows = Rows(signals={key: restored(stored[key]) for key in needs.signals if key in stored})
        for recorded in batch:
            fold.apply(rows, recorded)
        assert rows.signals.keys() <= needs.signals
        stored |= rows.signals
    return {row.key[1]: row for row in stored.values()}


@pytest.mark.parametrize("cut", range(len(HISTORY) + 1))
def test_a_signal_has_one_row_with_its_latest_value(cut: int) -> None:
    rows = folded(HISTORY[:cut], HISTORY[cut:])
    message = rows["a"].message
    assert (message.id.signal_id, message.id.execution_id.name) == ("a", "run")
    assert (message.type.simple, message.value.scalar.primitive.integer) == (INTEGER, 6)
    assert (rows["a"].created_at, rows["a"].updated_at) == tuple(instant(Timestamp(seconds=s)) for s in (1, 4))
    assert not rows["b"].message.HasField("value")
    assert rows["a"].id < rows["b"].id


def test_a_row_that_contains_an_envelope_is_left_alone() -> None:
    row = restored(folded(HISTORY)["a"])
    rows = Rows(signals={row.key: row})
    fold.apply(rows, HISTORY[1])
    assert row.message.value.scalar.primitive.integer == 6


def test_a_value_of_an_unknown_signal_is_a_broken_history() -> None:
    with pytest.raises(RowMissing, match="signal c"):
        fold.apply(Rows(), envelope(7, given("c", 1, 1)))


def test_ids_with_nul_find_their_rows() -> None:
    rows = folded([envelope(3, awaited("a\0b", 1))], [envelope(4, given("a\0b", 2, 2))])
    assert rows["ab"].message.id.signal_id == "a\0b"
    assert rows["ab"].message.value.scalar.primitive.integer == 2
