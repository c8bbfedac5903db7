"""The read model of deliveries: one row for each, folded from its queue's facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.message import Message

from flightlog_log import Recorded
from flightlog_protos.scheduler.v1.deliveries_pb2 import (
    DeliveriesForgotten,
    DeliveryFailed,
    DeliveryMade,
    DeliveryParked,
    DeliveryQueued,
    DeliveryRetried,
)
from services.scheduler.deliveries import subjects
from services.scheduler.deliveries.subjects import QueueKey

STATES: Final = ("waiting", "retrying", "delivered", "parked")
DDL = """
CREATE TABLE deliveries (
    sink text NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    execution text NOT NULL,
    event_id text NOT NULL,
    -- Of the envelope that queued it first, and its place in there: the order of lists.
    queued_sequence bigint NOT NULL,
    queued_index integer NOT NULL,
    sequence bigint NOT NULL,
    event text NOT NULL,
    state text NOT NULL,
    tries integer NOT NULL,
    last_error text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    next_try_at timestamptz,
    recipients text[] NOT NULL,
    PRIMARY KEY (project, domain, execution, sink, event_id)
);
CREATE INDEX deliveries_newest ON deliveries (queued_sequence DESC, queued_index DESC);
-- Neither index begins with a part of the key: plans made for empty tables would take it for a way to one row.
CREATE INDEX deliveries_open ON deliveries (queued_sequence DESC, queued_index DESC) WHERE state <> 'delivered';
"""

_KEY = ("project", "domain", "execution", "sink", "event_id")
_COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(_KEY, "text"),
    "queued_sequence": "bigint",
    "queued_index": "integer",
    "sequence": "bigint",
    "event": "text",
    "state": "text",
    "tries": "integer",
    "last_error": "text",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "next_try_at": "timestamptz",
    "recipients": "text[]",
}
_SEPARATOR = "\x1f"

_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(
    f"${number}::{'text' if kind == 'text[]' else kind}[]" for number, kind in enumerate(_COLUMNS.values(), start=1)
)
_GIVEN = ", ".join("string_to_array(recipients, chr(31))" if name == "recipients" else name for name in _COLUMNS)
_ASSIGNED = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEY)
UPSERT = (
    f"INSERT INTO deliveries ({_NAMES}) SELECT {_GIVEN} FROM unnest({_ARRAYS}) AS given ({_NAMES}) "
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {_ASSIGNED} WHERE deliveries.sequence < excluded.sequence"
)
LOAD = (
    f"SELECT {_NAMES} FROM deliveries JOIN "
    f"unnest({', '.join(f'${number}::text[]' for number in range(1, len(_KEY) + 1))}) AS wanted ({', '.join(_KEY)}) "
    f"USING ({', '.join(_KEY)})"
)

DELETE = """DELETE FROM deliveries stored USING unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS gone (sink, project, domain, execution) WHERE stored.project = gone.project AND stored.domain = gone.domain
    AND stored.execution = gone.execution AND stored.sink = gone.sink"""

_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A delivery as it is listed."""

    key: _Key
    queued_sequence: int
    queued_index: int
    sequence: int
    event: str
    state: str
    tries: int
    last_error: str
    created_at: datetime
    updated_at: datetime
    next_try_at: datetime | None
    recipients: tuple[str, ...]

    @staticmethod
    def stored(record: Mapping[str, Any]) -> Row:
        key: _Key = tuple(record[name] for name in _KEY)  # pyright: ignore[reportAssignmentType]  # five of them
        others: dict[str, Any] = {name: record[name] for name in _COLUMNS if name not in _KEY}
        others["recipients"] = tuple(record["recipients"])
        return Row(key=key, **others)

    @property
    def values(self) -> tuple[Any, ...]:
        """In the order of the columns."""
        others = (getattr(self, name) for name in _COLUMNS if name not in (*_KEY, "recipients"))
        return (*self.key, *others, _SEPARATOR.join(self.recipients))


class DeliveryProjection:
    """Follows the stream SCHEDULER into the schema `deliveries`."""

    name = "deliveries"
    stream = subjects.SCHEDULER
    version = 1

    def ddl(self) -> str:
        """The table, with unqualified names."""
        return DDL

    async def apply(self, connection: Any, batch: Sequence[Recorded]) -> None:
        """Folds a batch with one load and one write. The rows of a deleted execution go."""
        gone = {recorded.subject for recorded in batch if isinstance(recorded.facts[-1], DeliveriesForgotten)}
        if gone:
            batch = [recorded for recorded in batch if recorded.subject not in gone]
            keys = [key for subject in gone if (key := subjects.key_of(subject)) is not None]
            await connection.execute(DELETE, *zip(*keys, strict=True))
        changes = [
            (key, recorded.sequence, index, fact)
            for recorded in batch
            if (queue := subjects.key_of(recorded.subject)) is not None
            for index, fact in enumerate(recorded.facts)
            if (key := _key(queue, fact)) is not None
        ]
        if not changes:
            return
        wanted = {key for key, *_ in changes}
        stored = await connection.fetch(LOAD, *zip(*wanted, strict=True))
        before = {row.key: row for row in map(Row.stored, stored)}
        rows = dict(before)
        for key, sequence, index, fact in changes:
            row = changed(rows.get(key), key, sequence, index, fact)
            if row is not None:
                rows[key] = row
        written: Iterable[Row] = [row for key, row in rows.items() if row is not before.get(key)]
        if written:
            await connection.execute(UPSERT, *zip(*(row.values for row in written), strict=True))


def _key(queue: QueueKey, fact: Message) -> _Key | None:
    event_id = getattr(fact, "event_id", "")
    return (queue.project, queue.domain, queue.execution, queue.sink, event_id) if event_id else None


def changed(row: Row | None, key: _Key, sequence: int, index: int, fact: Message) -> Row | None:
    """The row after a fact; None as long as nothing was queued."""
    if isinstance(fact, DeliveryQueued):
        at, happened = fact.occurred_at.ToDatetime(UTC), tuple(map(_storable, fact.recipients))
        if row is None:
            return Row(key, sequence, index, sequence, _storable(fact.event), "waiting", 0, "", at, at, None, happened)
        return replace(
            row, sequence=sequence, state="waiting", tries=0, updated_at=at, next_try_at=None, recipients=happened
        )
    if row is None or not isinstance(fact, DeliveryFailed | DeliveryMade | DeliveryParked | DeliveryRetried):
        return row
    row = replace(row, sequence=sequence, updated_at=fact.occurred_at.ToDatetime(UTC))
    match fact:
        case DeliveryFailed():
            due = fact.next_try_at.ToDatetime(UTC)
            return replace(row, state="retrying", tries=fact.tries, last_error=_storable(fact.reason), next_try_at=due)
        case DeliveryMade():
            return replace(row, state="delivered", tries=fact.tries, next_try_at=None)
        case DeliveryParked():
            return replace(row, state="parked", tries=fact.tries, last_error=_storable(fact.reason), next_try_at=None)
        case DeliveryRetried():
            return replace(row, state="waiting", tries=0, next_try_at=None)


def _storable(text: str) -> str:
    """Text as Postgres, and our own lists, can hold it."""
    return text.replace("\0", "").replace(_SEPARATOR, "")
