"""Queues on the log: one command after another within a process, one append wins between processes.

The whole state is written down in an envelope as soon as as many came since it was last as stand in the queue, but at
least `_BETWEEN_SNAPSHOTS`. So a state of n is written once in n envelopes, and loading reads no more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Cause, Conflict, Head, Log, LogUnavailable, Recorded, Subject, Undecodable
from flightlog_protos.execution.v1.admission_pb2 import QueueStands, QueueStood
from services.execution import subjects
from services.execution.admission.queue import Command, Decision, Queue, decide, evolve
from services.execution.admission.snapshots import restored, stands

_BETWEEN_SNAPSHOTS: Final = 32
_MAX_CONFLICTS: Final = 100

Place = tuple[str, str]
"""Project and domain."""


@dataclass(slots=True)
class _Lane:
    """The way of one queue's commands. `head` None: what the log has is not known here."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    queue: Queue = field(default_factory=Queue)
    head: Head | None = None
    # Sequence of the envelope with the last snapshot, and how many came after it.
    stood: int = 0
    since: int = 0

    def take_in(self, recorded: Recorded) -> None:
        for fact in recorded.facts:
            self.queue = evolve(self.queue, fact)
        self.head = recorded.head
        if isinstance(recorded.facts[-1], QueueStands):
            self.stood, self.since = recorded.sequence, 0
        else:
            self.since += 1


class Queues:
    """Gives commands to queues.

    Args:
        clock: what time it is; decisions themselves look at no clock.
    """

    def __init__(self, log: Log, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._log = log
        self._clock = clock
        self._lanes: dict[Place, _Lane] = {}

    async def give(self, place: Place, command: Command, cause: Cause) -> Decision:
        """Gives a command; what follows from it is on the log when this returns.

        Raises:
            LogUnavailable: it is not known whether it took effect. Giving it again is safe.
            Undecodable: the queue cannot be read.
        """
        lane = self._lane(place)
        subject = subjects.queue(place)
        async with lane.lock:
            for _ in range(_MAX_CONFLICTS):
                head = await self._known(subject, lane)
                decision = decide(lane.queue, command, self._now())
                if not decision.facts:
                    if await self._is_current(subject, head):
                        return decision
                    await self._catch_up(subject, lane, head)
                    continue
                facts = self._with_state(decision, lane)
                try:
                    recorded = await self._log.append(subject, facts, head=head, cause=cause)
                except Conflict:
                    await self._catch_up(subject, lane, head)
                    continue
                except LogUnavailable:
                    lane.head = None
                    raise
                lane.take_in(recorded)
                return decision
        raise LogUnavailable(f"{subject} is changed by others all the time")

    async def look(self, place: Place) -> Queue:
        """The queue as the log has it now. Raises as `give`."""
        subject = subjects.queue(place)
        sequence = await self._log.last_sequence(subject)
        if not sequence:
            # Anybody may look anywhere: what is not there is not kept at hand.
            return Queue()
        lane = self._lane(place)
        # Many look while they wait: where nothing is new, they keep nobody from his turn.
        if lane.head is None or lane.head.sequence < sequence:
            async with lane.lock:
                head = await self._known(subject, lane)
                if head.sequence < sequence:
                    await self._catch_up(subject, lane, head)
        return lane.queue

    def _with_state(self, decision: Decision, lane: _Lane) -> Sequence[Message]:
        due = lane.since >= max(_BETWEEN_SNAPSHOTS, len(decision.queue.members))
        if due or not lane.stood:
            return (*decision.facts, stands(decision.queue))
        return (*decision.facts, QueueStood(sequence=lane.stood))

    async def _known(self, subject: Subject, lane: _Lane) -> Head:
        """Reads the queue unless it is known; returns how far it is known."""
        if lane.head is not None:
            return lane.head
        last = await self._log.last(subject)
        if last is None:
            lane.queue, lane.stood, lane.since, lane.head = Queue(), 0, 0, Head.EMPTY
            return lane.head
        snapshot, later = last, list[Recorded]()
        if isinstance(last.facts[-1], QueueStood):
            before = Head(last.facts[-1].sequence - 1, 0, b"")
            snapshot, *later = await self._log.load(subject, after=before)
        state = snapshot.facts[-1]
        if not isinstance(state, QueueStands):
            raise Undecodable(f"{subject} at {snapshot.sequence} ends with a {state.DESCRIPTOR.name}")
        # All at once: whoever is cut off before this has learned nothing.
        lane.queue, lane.stood, lane.since, lane.head = restored(state), snapshot.sequence, 0, snapshot.head
        for recorded in later:
            lane.take_in(recorded)
        return lane.head

    async def _catch_up(self, subject: Subject, lane: _Lane, head: Head) -> None:
        """Takes in what others appended."""
        lane.head = None
        for recorded in await self._log.load(subject, after=head):
            lane.take_in(recorded)

    async def _is_current(self, subject: Subject, head: Head) -> bool:
        return await self._log.last_sequence(subject) == head.sequence

    def _lane(self, place: Place) -> _Lane:
        return self._lanes.setdefault(place, _Lane())

    def _now(self) -> Timestamp:
        now = Timestamp()
        now.FromDatetime(self._clock())
        return now
