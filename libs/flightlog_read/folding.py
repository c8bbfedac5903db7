"""One process's share of a log, folded in memory: what can be written at once, and what has to be done the long way.

An aggregate is folded from its first envelope on and leaves memory when it is over. Whatever does not fit that is
*late*: envelopes of an aggregate that has left already, or whose beginning is not in the log, and all envelopes of one
that a fact could not be folded into. They are applied afterwards by the projection itself, one batch after another, as
the live projector would, which also says which of them are to be set aside. Nothing here does input or output.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from flightlog_log import Raw, Recorded
from flightlog_read.projection import Aggregate, AggregateProjection, BulkProjection, EnvelopeProjection

Row = Sequence[object]
FACTS: Final = "Flightlog-Facts"


@dataclass(slots=True)
class Folded:
    """Rows that are complete, and the messages that they were made of."""

    rows: Sequence[tuple[str, Row]]
    messages: Sequence[Raw]


@dataclass(slots=True)
class _Held:
    """An aggregate that goes on, and the messages that it consists of."""

    aggregate: Aggregate
    messages: list[Raw] = field(default_factory=list[Raw])
    bytes: int = 0


class Share(ABC):
    """What one process folds for one projection."""

    def __init__(self) -> None:
        self._over: list[Folded] = []
        self.over_bytes = 0
        """How much of messages waits in `take_over`."""
        self.late: list[Raw] = []
        """To be applied the long way; those of one subject are in order. The caller takes them away."""

    @staticmethod
    def of(projection: BulkProjection, most_bytes: int) -> "Share":
        """The share of a process for this projection; `most_bytes` as of `AggregateShare`."""
        if isinstance(projection, AggregateProjection):
            return AggregateShare(projection, most_bytes)
        return EnvelopeShare(projection)

    @abstractmethod
    def take(self, recorded: Recorded, message: Raw) -> None:
        """Folds the next envelope in."""

    @abstractmethod
    def end(self) -> None:
        """Nothing more comes: all that is held may be written."""

    def take_over(self) -> list[Folded]:
        """The rows that may be written now; they are no longer held here."""
        over, self._over, self.over_bytes = self._over, [], 0
        return over


class EnvelopeShare(Share):
    """The envelopes whose rows one process makes."""

    def __init__(self, projection: EnvelopeProjection) -> None:
        super().__init__()
        self._rows_of = projection.rows_of

    def take(self, recorded: Recorded, message: Raw) -> None:
        try:
            rows = self._rows_of(recorded)
        except Exception:  # noqa: BLE001  # whatever it is, the long way meets it too, and says it
            self.late.append(message)
            return
        if rows:
            self._over.append(Folded(rows, (message,)))
            self.over_bytes += len(message.data)

    def end(self) -> None:
        pass


class AggregateShare(Share):
    """The aggregates that one process folds.

    Args:
        most_bytes: how much of messages is held for aggregates that go on; beyond that those that nothing has happened
            to for longest leave (as far as that is known: what was read at once is taken in by subject). Rows and
            messages together take about three times as much.
    """

    def __init__(self, projection: AggregateProjection, most_bytes: int) -> None:
        super().__init__()
        self._projection = projection
        self._most_bytes = most_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._held_bytes = 0

    def take(self, recorded: Recorded, message: Raw) -> None:
        subject = message.subject
        held = self._held.get(subject)
        if held is None:
            if recorded.envelope.position != 1:
                self.late.append(message)
                return
            try:
                held = _Held(self._projection.aggregate(subject))
            except Exception:  # noqa: BLE001  # likewise
                self.late.append(message)
                return
            self._held[subject] = held
        held.messages.append(message)
        try:
            held.aggregate.apply(recorded)
            over = held.aggregate.over
        except Exception:  # noqa: BLE001  # likewise
            self._forget(subject, held)
            self.late += held.messages
            return
        size = len(message.data)
        held.bytes += size
        self._held_bytes += size
        if over:
            self._forget(subject, held)
            self._end(held)
        else:
            self._held.move_to_end(subject)
            if self._held_bytes > self._most_bytes:
                self._make_room()

    def end(self) -> None:
        for held in self._held.values():
            self._end(held)
        self._held.clear()
        self._held_bytes = 0

    def _forget(self, subject: str, held: _Held) -> None:
        if self._held.pop(subject, None) is not None:
            self._held_bytes -= held.bytes

    def _end(self, held: _Held) -> None:
        try:
            rows = list(held.aggregate.rows())
        except Exception:  # noqa: BLE001  # likewise
            self.late += held.messages
            return
        if rows:
            self._over.append(Folded(rows, held.messages))
            self.over_bytes += held.bytes

    def _make_room(self) -> None:
        """Lets go down to half; the one touched last stays, however large it is."""
        while self._held_bytes > self._most_bytes // 2 and len(self._held) > 1:
            _, held = self._held.popitem(last=False)
            self._held_bytes -= held.bytes
            self._end(held)
