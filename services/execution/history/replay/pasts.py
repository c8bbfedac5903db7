"""What replaying an execution starts from: its envelopes, and those that led to them, collected from the log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, cast
from uuid import UUID

from flightlog_log import Log, Recorded, Subject, Unreadable
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated, ExecutionDeleted
from services.execution import subjects
from services.execution.history.replay import given
from services.execution.subjects import ExecutionKey

_BY_ITSELF: Final = "service"
_CLOCKS_DIFFER: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Past:
    """One execution."""

    key: ExecutionKey
    records: Sequence[Recorded]
    """In the order of their positions, from the first one on."""
    causes: Mapping[str, Recorded] = field(default_factory=dict[str, Recorded])
    """Envelopes of others that led to these, by event id."""

    def cause(self, record: Recorded) -> given.Event | None:
        """What led to an envelope; None when it is not known, or somebody outside asked."""
        found = self.causes.get(record.envelope.causation_id) or self._own.get(record.envelope.causation_id)
        return None if found is None else given.Event(Subject.parse(found.subject).parts[-1], found.facts)

    @cached_property
    def _own(self) -> Mapping[str, Recorded]:
        return {record.event_id: record for record in self.records}


async def past_of(log: Log, key: ExecutionKey) -> Past | None:
    """An execution and what led to its envelopes; None when there is none of this name. Raises as `Log.load`."""
    subject = subjects.execution(key)
    records = await log.load(subject) if subject is not None else []
    if not records or isinstance(records[-1].facts[-1], ExecutionDeleted):
        return None
    own = {record.event_id for record in records}
    wanted = {
        record.envelope.causation_id
        for record in records[1:]
        # Requests are not on the log: what they said is in the facts.
        if record.envelope.actor.method == _BY_ITSELF and record.envelope.causation_id not in own
    }
    found: dict[str, Recorded] = {}
    told_by: list[Subject] = [
        Subject.of(subjects.LAUNCHER, *key),
        Subject.of(subjects.CATALOG, "answer", *key),
        *(Subject.of(subjects.EXECUTION, *teller) for teller in sorted(_tellers(records)) if teller != key),
    ]
    for teller in told_by:
        if wanted.issubset(found):
            break
        _take(found, await log.load(teller), wanted)
    created = records[0].facts[0]
    if isinstance(created, ExecutionCreated) and created.limits:
        for record in records:
            if record.envelope.causation_id in wanted and record.envelope.causation_id not in found:
                _take(found, await _by_queue(log, key, record.envelope.causation_id), wanted)
    return Past(key, records, found)


def _tellers(records: Iterable[Recorded]) -> set[ExecutionKey]:
    return given.tellers(fact for record in records for fact in record.facts)


def _take(found: dict[str, Recorded], records: Iterable[Recorded], wanted: set[str]) -> None:
    found.update({record.event_id: record for record in records if record.event_id in wanted})


async def _by_queue(log: Log, key: ExecutionKey, event_id: str) -> list[Recorded]:
    """The envelope of the execution's queue with this id, which says when it was made."""
    about = _made_at(event_id)
    if about is None:
        return []
    queue = subjects.queue((key[0], key[1]))
    followed = log.follow(
        subjects.ADMISSION, after=0, subjects=str(queue), live=False, since=about - _CLOCKS_DIFFER, on_demand=True
    )
    async with aclosing(cast("AsyncGenerator[list[Recorded | Unreadable]]", followed)) as batches:
        async for batch in batches:
            for entry in batch:
                if isinstance(entry, Unreadable):
                    continue
                if entry.event_id == event_id:
                    return [entry]
                if entry.recorded_at > about + _CLOCKS_DIFFER:
                    return []
    return []


def _made_at(event_id: str) -> datetime | None:
    """When an id was made: a UUIDv7 begins with the milliseconds."""
    try:
        identifier = UUID(event_id)
    except ValueError:
        return None
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC) if identifier.version == 7 else None
