"""The read model of the audit: a row for each thing that somebody outside asked for, one schema for each stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from flightlog_log import Raw, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from flightlog_protos.history.v1.audit_pb2 import CallRefused, HistoryImported
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveriesForgotten
from flightlog_types.aggregates import Aggregate, aggregate_of
from services.history.audit.actors import made_by_service

DDL: Final = """
CREATE TABLE entries (
    sequence bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    subject text NOT NULL,
    event_id text NOT NULL,
    actor text NOT NULL,
    method text NOT NULL,
    client text NOT NULL,
    address text NOT NULL,
    verified boolean NOT NULL,
    allowed boolean NOT NULL,
    action text NOT NULL,
    kind text NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    code text NOT NULL,
    message text NOT NULL
);
CREATE INDEX entries_newest ON entries (at DESC, sequence DESC);
CREATE INDEX entries_entity ON entries (project, domain, name, at DESC, sequence DESC);
CREATE INDEX entries_subject ON entries (subject);
"""

COLUMNS: Final[Mapping[str, str]] = {
    "sequence": "bigint",
    "at": "timestamptz",
    "subject": "text",
    "event_id": "text",
    "actor": "text",
    "method": "text",
    "client": "text",
    "address": "text",
    "verified": "boolean",
    "allowed": "boolean",
    "action": "text",
    "kind": "text",
    "project": "text",
    "domain": "text",
    "name": "text",
    "version": "text",
    "code": "text",
    "message": "text",
}
COPIED: Final[Mapping[str, Sequence[str]]] = {"entries": tuple(COLUMNS)}
"""All columns, by table."""
_INSERT: Final = (
    f"INSERT INTO entries ({', '.join(COLUMNS)}) SELECT * FROM unnest("
    + ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(COLUMNS.values(), start=1))
    + ") ON CONFLICT (sequence) DO NOTHING"
)
_FORGET: Final = "DELETE FROM entries WHERE subject = $1 AND sequence < $2"

_SERVICE: Final = "service"
# What the aggregate is called by whoever calls for it, where its subject says something else.
_KINDS: Final[Mapping[str, str]] = {"launch_plan_state": "launch_plan"}
# After these the log has nothing more of what came before on their subject.
_FORGETTING: Final[frozenset[type[Message]]] = frozenset({ExecutionDeleted, DeliveriesForgotten})
_FORGETTING_NAMES: Final = frozenset(fact.DESCRIPTOR.name for fact in _FORGETTING)


class Row(NamedTuple):
    """One entry, in the order of the columns."""

    sequence: int
    at: datetime
    subject: str
    event_id: str
    actor: str
    method: str
    client: str
    address: str
    verified: bool
    allowed: bool
    action: str
    kind: str
    project: str
    domain: str
    name: str
    version: str
    code: str
    message: str


class AuditProjection:
    """Follows one stream into the schema `audit_<stream>`."""

    version = 1
    copied = COPIED

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.name = f"audit_{stream.lower()}"

    def ddl(self) -> str:
        """The table, with unqualified names."""
        return DDL

    def rows_of(self, recorded: Recorded) -> Sequence[tuple[str, Row]]:
        """What one envelope says. Raises `Forgetting` for one that takes rows away."""
        if not _FORGETTING.isdisjoint(map(type, recorded.facts)):
            raise Forgetting(recorded.subject)
        if recorded.envelope.actor.method == _SERVICE:
            return ()
        return (("entries", _row(self.stream, recorded)),)

    def looks_at(self, raw: Raw) -> bool:
        """Whether a message may become a row. Nearly none does: what services do by themselves is not decoded."""
        if not made_by_service(raw.data):
            return True
        return not _FORGETTING_NAMES.isdisjoint(raw.headers.get("Flightlog-Facts", "").split(","))

    async def apply(self, connection: Any, batch: Sequence[Recorded]) -> None:
        """Adds rows; those of what was deleted go."""
        rows: list[Row] = []
        for recorded in batch:
            if not _FORGETTING.isdisjoint(map(type, recorded.facts)):
                rows = [row for row in rows if row.subject != recorded.subject]
                await connection.execute(_FORGET, recorded.subject, recorded.sequence)
            if recorded.envelope.actor.method != _SERVICE:
                rows.append(_row(self.stream, recorded))
        if rows:
            await connection.execute(_INSERT, *zip(*rows, strict=True))


class Forgetting(Exception):
    """Rows are to go, which other envelopes have made."""


of_registry = partial(AuditProjection, "REGISTRY")
of_execution = partial(AuditProjection, "EXECUTION")
of_catalog = partial(AuditProjection, "CATALOG")
of_scheduler = partial(AuditProjection, "SCHEDULER")
of_refusals = partial(AuditProjection, "AUDIT")


def projections() -> tuple[AuditProjection, ...]:
    """One for each stream."""
    return of_registry(), of_execution(), of_catalog(), of_scheduler(), of_refusals()


def _row(stream: str, recorded: Recorded) -> Row:
    envelope = recorded.envelope
    actor = envelope.actor
    refused = next((fact for fact in recorded.facts if isinstance(fact, CallRefused)), None)
    return Row(
        sequence=recorded.sequence,
        at=recorded.recorded_at,
        subject=recorded.subject,
        event_id=recorded.event_id,
        actor=_storable(actor.subject),
        method=_storable(actor.method),
        client=_storable(actor.client),
        address=_storable(actor.address),
        verified=actor.verified,
        allowed=refused is None,
        action=", ".join(dict.fromkeys(fact.DESCRIPTOR.name for fact in recorded.facts))
        if refused is None
        else refused.method,
        **_entity(stream, recorded, refused),
        code="" if refused is None else refused.code,
        message="" if refused is None else _storable(refused.message),
    )


def _entity(stream: str, recorded: Recorded, refused: CallRefused | None) -> dict[str, str]:
    """What it was about."""
    if refused is not None:
        found = Aggregate(refused.kind, refused.project, refused.domain, refused.name, refused.version)
    elif isinstance(imported := recorded.facts[0], HistoryImported):
        found = Aggregate("execution", imported.project, imported.domain, imported.name)
    else:
        found = aggregate_of(stream, Subject.parse(recorded.subject).parts)
        found = found._replace(kind=_KINDS.get(found.kind, found.kind))
    return {name: _storable(value) for name, value in found._asdict().items()}


def _storable(text: str) -> str:
    """Text as Postgres can hold it."""
    return text.replace("\0", "")
