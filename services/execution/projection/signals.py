"""The table of signals: what gates wait for, and the values that were given (admin-contract §1.11)."""

from collections.abc import Mapping
from typing import Any

from flyteidl.admin.signal_pb2 import Signal

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.projection.rows import At, Rows, SignalKey, SignalRow
from services.execution.projection.tables import Table, storable
from services.execution.projection.times import instant
from services.execution.subjects import ExecutionKey


def key_of(execution: ExecutionKey, signal_id: str) -> SignalKey:
    """The row's key: the id as the database can hold it."""
    return execution, storable(signal_id)


def awaited(rows: Rows, at: At, fact: facts.SignalAwaited) -> None:
    """The first gate that asks for a signal makes its row."""
    key = key_of(at.key, fact.signal_id)
    if key in rows.signals:
        return
    moment = instant(fact.occurred_at)
    row = SignalRow(id=at.row_id, sequence=at.sequence, key=key, created_at=moment, updated_at=moment)
    identifier = row.message.id
    identifier.signal_id = fact.signal_id
    execution_id = identifier.execution_id
    execution_id.project, execution_id.domain, execution_id.name = at.key
    row.message.type.CopyFrom(fact.type)
    rows.signals[key] = row


def given(rows: Rows, at: At, fact: facts.SignalSet) -> None:
    row = rows.signal(at, key_of(at.key, fact.signal_id))
    if row is not None:
        row.message.value.CopyFrom(fact.value)
        row.updated_at = instant(fact.occurred_at)


def _values(row: SignalRow) -> tuple[Any, ...]:
    execution, signal_id = row.key
    return (
        row.id,
        row.sequence,
        *execution,
        signal_id,
        row.created_at,
        row.updated_at,
        row.message.SerializeToString(deterministic=True),
    )


def _row(stored: Mapping[str, Any]) -> SignalRow:
    execution = stored["execution_project"], stored["execution_domain"], stored["execution_name"]
    return SignalRow(
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        key=(execution, stored["signal_id"]),
        message=Signal.FromString(stored["message"]),
        created_at=stored["created_at"],
        updated_at=stored["updated_at"],
    )


SIGNALS: Table[SignalRow] = Table(
    name="signals",
    key=("execution_project", "execution_domain", "execution_name", "signal_id"),
    columns={
        "id": "bigint",
        "sequence": "bigint",
        "execution_project": "text",
        "execution_domain": "text",
        "execution_name": "text",
        "signal_id": "text",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "message": "bytea",
    },
    values=_values,
    restore=_row,
)
