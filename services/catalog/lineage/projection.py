"""The index of lineage as tables: the rows of `mentions`, in the schema `lineage`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flightlog_log import Recorded, Subject
from services.catalog.lineage.mentions import TELLING, AddressRow, is_deleted, rows_of

INDEXED = 500
"""Characters of an address that are indexed; Postgres takes at most 2704 bytes."""

_DDL = f"""
CREATE TABLE addresses (
    sequence bigint NOT NULL,
    number integer NOT NULL,
    address text COLLATE "C" NOT NULL,
    role smallint NOT NULL,
    execution_project text NOT NULL,
    execution_domain text NOT NULL,
    execution_name text NOT NULL,
    node_id text NOT NULL,
    PRIMARY KEY (sequence, number)
);
CREATE INDEX addresses_address ON addresses (left(address, {INDEXED}), sequence);

CREATE TABLE reuses (
    sequence bigint NOT NULL,
    number integer NOT NULL,
    source_project text NOT NULL,
    source_domain text NOT NULL,
    source_name text NOT NULL,
    source_node_id text NOT NULL,
    execution_project text NOT NULL,
    execution_domain text NOT NULL,
    execution_name text NOT NULL,
    node_id text NOT NULL,
    PRIMARY KEY (sequence, number)
);
CREATE INDEX reuses_source ON reuses (source_project, source_domain, source_name);
-- Whoever deletes an execution finds its rows by these.
CREATE INDEX addresses_execution ON addresses (execution_name, execution_project, execution_domain);
CREATE INDEX reuses_execution ON reuses (execution_name, execution_project, execution_domain);
"""
_EXECUTION_COLUMNS = ("execution_project", "execution_domain", "execution_name", "node_id")
_ADDRESS_COLUMNS = ("sequence", "number", "address", "role", *_EXECUTION_COLUMNS)
_SOURCE_COLUMNS = ("source_project", "source_domain", "source_name", "source_node_id")
_REUSE_COLUMNS = ("sequence", "number", *_SOURCE_COLUMNS, *_EXECUTION_COLUMNS)
COPIED: Mapping[str, Sequence[str]] = {"addresses": _ADDRESS_COLUMNS, "reuses": _REUSE_COLUMNS}
"""All columns, by table."""
# A parameter is a whole column.
_ADD_ADDRESSES = """INSERT INTO addresses SELECT * FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[])"""
_ADD_REUSES = """INSERT INTO reuses SELECT * FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[])"""


_DELETE = """DELETE FROM {table} stored USING unnest($1::text[], $2::text[], $3::text[]) AS gone (project, domain, name)
    WHERE stored.execution_project = project AND stored.execution_domain = domain AND stored.execution_name = name"""


class LineageProjection:
    """Follows the stream EXECUTION into the schema `lineage`. What it writes it never reads: rows are only added, until
    their execution is deleted.
    """

    name = "lineage"
    stream = "EXECUTION"
    version = 1

    copied = COPIED

    def ddl(self) -> str:
        """Tables and indexes, with unqualified names."""
        return _DDL

    def rows_of(self, recorded: Recorded) -> Sequence[tuple[str, Sequence[object]]]:
        """What one envelope of an execution mentions. Raises `Deleted` for one that takes rows away."""
        if is_deleted(recorded.facts):
            raise Deleted(recorded.subject)
        return _rows(recorded)

    async def apply(self, connection: Any, batch: Sequence[Recorded]) -> None:
        """Adds the rows of a batch: at most one statement for each table. Those of a deleted execution go."""
        deleted = {Subject.parse(recorded.subject).parts for recorded in batch if is_deleted(recorded.facts)}
        if deleted:
            batch = [recorded for recorded in batch if Subject.parse(recorded.subject).parts not in deleted]
            for table in COPIED:
                await connection.execute(_DELETE.format(table=table), *zip(*deleted, strict=True))
        addresses: list[tuple[Any, ...]] = []
        reuses: list[tuple[Any, ...]] = []
        for recorded in batch:
            for table, row in _rows(recorded):
                (addresses if table == "addresses" else reuses).append(row)
        if addresses:
            await connection.execute(_ADD_ADDRESSES, *zip(*addresses, strict=True))
        if reuses:
            await connection.execute(_ADD_REUSES, *zip(*reuses, strict=True))


class Deleted(Exception):
    """An execution's rows are to go, which others have made."""


def _rows(recorded: Recorded) -> list[tuple[str, tuple[Any, ...]]]:
    rows: list[tuple[str, tuple[Any, ...]]] = []
    if TELLING.isdisjoint(map(type, recorded.facts)):
        return rows
    for number, row in enumerate(rows_of(_execution(recorded.subject), recorded.sequence, recorded.facts)):
        place = (row.sequence, number)
        if not isinstance(row, AddressRow):
            rows.append(("reuses", (*place, *row.source, row.source_node, *row.execution, row.node_id)))
        elif "\0" not in row.address:
            rows.append(("addresses", (*place, row.address, int(row.role), *row.execution, row.node_id)))
    return rows


def _execution(subject: str) -> tuple[str, str, str]:
    project, domain, name = Subject.parse(subject).parts
    return project, domain, name
