"""The index of lineage as tables: the rows of `mentions`, in the schema `lineage`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flightlog_log import Recorded, Subject
from services.catalog.lineage.mentions import AddressRow, rows_of

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
"""
# A parameter is a whole column.
_ADD_ADDRESSES = """INSERT INTO addresses SELECT * FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[])"""
_ADD_REUSES = """INSERT INTO reuses SELECT * FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[])"""


class LineageProjection:
    """Follows the stream EXECUTION into the schema `lineage`. What it writes it never reads: rows are only added."""

    name = "lineage"
    stream = "EXECUTION"
    version = 1

    def ddl(self) -> str:
        """Tables and indexes, with unqualified names."""
        return _DDL

    async def apply(self, connection: Any, batch: Sequence[Recorded]) -> None:
        """Adds the rows of a batch: at most one statement for each table."""
        addresses: list[tuple[Any, ...]] = []
        reuses: list[tuple[Any, ...]] = []
        for recorded in batch:
            project, domain, name = Subject.parse(recorded.subject).parts
            rows = rows_of((project, domain, name), recorded.sequence, recorded.facts)
            for number, row in enumerate(rows):
                place = (row.sequence, number)
                if not isinstance(row, AddressRow):
                    reuses.append((*place, *row.source, row.source_node, *row.execution, row.node_id))
                elif "\0" not in row.address:
                    addresses.append((*place, row.address, int(row.role), *row.execution, row.node_id))
        if addresses:
            await connection.execute(_ADD_ADDRESSES, *zip(*addresses, strict=True))
        if reuses:
            await connection.execute(_ADD_REUSES, *zip(*reuses, strict=True))
