"""One process's share of a log, folded in memory: what can be written at once, and what has to be done the long way.

An aggregate is folded from its first envelope on and leaves memory when it is over. Whatever does not fit that is
*late*: envelopes of an aggregate that has left already, or whose beginning is not in the log, and all envelopes of one
that a fact could not be folded into. They are applied afterwards by the projection itself, one batch after another, as
the live projector would, which also says which of them are to be set aside. Nothing here does input or output.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from flightlog_log import Raw, Recorded
from flightlog_read.projection import Aggregate, BulkProjection

Row = Sequence[object]
FACTS: Final = "Flightlog-Facts"


@dataclass(slots=True)
class Folded:
    """An aggregate, and the messages that it consists of."""

    aggregate: Aggregate
    messages: list[Raw] = field(default_factory=list[Raw])
    bytes: int = 0
    rows: list[tuple[str, Row]] = field(default_factory=list[tuple[str, Row]])


class Share:
    """The aggregates that one process folds for one projection.

    Args:
        most_bytes: how much of messages is held for aggregates that go on; beyond that those that nothing has happened
            to for longest leave. Rows and messages together take about three times as much.
    """

    def __init__(self, projection: BulkProjection, most_bytes: int) -> None:
        self._projection = projection
        self._alone = projection.rows_stand_alone
        self._most_bytes = most_bytes
        self._held: OrderedDict[str, Folded] = OrderedDict()
        self._held_bytes = 0
        self._over: list[Folded] = []
        self.over_bytes = 0
        """How much of messages waits in `take_over`."""
        self.late: list[Raw] = []
        """To be applied the long way; those of one subject are in order. The caller takes them away."""

    def take(self, recorded: Recorded, message: Raw) -> None:
        """Folds the next envelope in."""
        if self._alone:
            self._take_alone(recorded, message)
            return
        subject = message.subject
        folded = self._held.get(subject)
        if folded is None:
            if recorded.envelope.position != 1:
                self.late.append(message)
                return
            try:
                folded = Folded(self._projection.aggregate(subject))
            except Exception:  # noqa: BLE001  # whatever it is, the long way meets it too, and says it
                self.late.append(message)
                return
            self._held[subject] = folded
        folded.messages.append(message)
        try:
            folded.aggregate.apply(recorded)
            over = folded.aggregate.over
        except Exception:  # noqa: BLE001  # likewise
            self._forget(subject, folded)
            self.late += folded.messages
            return
        size = len(message.data)
        folded.bytes += size
        self._held_bytes += size
        if over:
            self._forget(subject, folded)
            self._end(folded)
        else:
            self._held.move_to_end(subject)
            if self._held_bytes > self._most_bytes:
                self._make_room()

    def take_over(self) -> list[Folded]:
        """The aggregates that may be written now; they are no longer held here."""
        over, self._over, self.over_bytes = self._over, [], 0
        return over

    def end(self) -> None:
        """Nothing more comes: all that is held may be written."""
        for folded in self._held.values():
            self._end(folded)
        self._held.clear()
        self._held_bytes = 0

    def _take_alone(self, recorded: Recorded, message: Raw) -> None:
        try:
            aggregate = self._projection.aggregate(message.subject)
            aggregate.apply(recorded)
            rows = list(aggregate.rows())
        except Exception:  # noqa: BLE001  # likewise
            self.late.append(message)
            return
        if rows:
            self._over.append(Folded(aggregate, [message], len(message.data), rows))
            self.over_bytes += len(message.data)

    def _forget(self, subject: str, folded: Folded) -> None:
        if self._held.pop(subject, None) is not None:
            self._held_bytes -= folded.bytes

    def _end(self, folded: Folded) -> None:
        try:
            folded.rows = list(folded.aggregate.rows())
        except Exception:  # noqa: BLE001  # likewise
            self.late += folded.messages
            return
        if folded.rows:
            self._over.append(folded)
            self.over_bytes += folded.bytes

    def _make_room(self) -> None:
        """Lets go down to half; the one touched last stays, however large it is."""
        while self._held_bytes > self._most_bytes // 2 and len(self._held) > 1:
            _, folded = self._held.popitem(last=False)
            self._held_bytes -= folded.bytes
            self._end(folded)
