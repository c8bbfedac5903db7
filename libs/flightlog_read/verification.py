"""Whether live tables are what the log says: made again beside them, compared, and dropped.

Unlike a rebuild this changes nothing, compares by SHA-256, so that no other rows pass for the same ones, and tells
which rows differ.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import asyncpg

from flightlog_log import Log
from flightlog_read import checkpoints
from flightlog_read.database import Database
from flightlog_read.loading import Loading
from flightlog_read.projection import Projection, fingerprint
from flightlog_read.rebuilding import Beside, RebuildProgress, made_beside

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row by its key, as `{"project": "p", "name": "n"}`; of a table without a key the whole row."""

    key: str
    how: str
    """`missing` from the live table, `unjustified` by the log, or `different`."""


@dataclass(frozen=True, slots=True)
class TableVerification:
    """One table. None rows: there is no such table."""

    table: str
    live_rows: int | None
    rebuilt_rows: int | None
    identical: bool
    differences: tuple[RowDifference, ...] = ()
    """The first of them, in the order of their keys."""
    shape: str = ""
    """How its columns differ, if they do."""


@dataclass(frozen=True, slots=True)
class ProjectionVerification:
    """The tables of one projection at the sequence where the live ones were."""

    projection: str
    stream: str
    sequence: int
    tables: tuple[TableVerification, ...]
    incomparable: str = ""
    """Why they could not be compared; then there are no tables here."""
    skipped: tuple[tuple[int, str], ...] = ()
    """Sequences no row could be made of, with the reason; the live projector has them parked."""

    @property
    def identical(self) -> bool:
        return not self.incomparable and all(table.identical for table in self.tables)


async def verify_tables(
    database: Database,
    log: Log,
    projections: Sequence[Projection],
    report: Callable[[RebuildProgress], None] = lambda _: None,
    *,
    most: int = 10,
    loading: Loading | None = None,
) -> list[ProjectionVerification]:
    """Compares the tables of projections of one stream with the log; of each table up to `most` rows that differ.

    Raises as `rebuild`.
    """
    found: list[ProjectionVerification] = []
    async with made_beside(database, log, projections, report, loading=loading) as all_made:
        for made in all_made:
            name, stream = made.projection.name, made.projection.stream
            if made.snapshot is None:
                reason = await _why_not(made.connection, made.projection, await log.stream_sequence(stream))
                found.append(ProjectionVerification(name, stream, made.sequence, (), reason, made.skipped))
                continue
            report(RebuildProgress(name, made.sequence, made.sequence, "comparing"))
            tables = await _compare(made, made.snapshot, most)
            found.append(ProjectionVerification(name, stream, made.sequence, tables, skipped=made.skipped))
    return found


async def _why_not(connection: asyncpg.Connection, projection: Projection, end: int) -> str:
    live = await checkpoints.find(connection, projection.name)
    if live is None:
        return "there are no tables"
    if live.fingerprint != fingerprint(projection):
        return f"the tables are of version {live.fingerprint}, this is {fingerprint(projection)}"
    return f"the tables are at {live.sequence}, the log ends at {end}"


async def _compare(made: Beside, snapshot: asyncpg.Connection, most: int) -> tuple[TableVerification, ...]:
    name = made.projection.name
    live, rebuilt = await _columns(snapshot, name), await _columns(made.connection, made.schema)
    found: list[TableVerification] = []
    for table in sorted(live.keys() | rebuilt.keys()):
        before = await _digest(snapshot, name, table) if table in live else None
        after = await _digest(made.connection, made.schema, table) if table in rebuilt else None
        rows = (before[0] if before else None, after[0] if after else None)
        if before is None or after is None:
            found.append(TableVerification(table, *rows, identical=False))
            continue
        if live[table] != rebuilt[table]:
            shape = f"its columns are {', '.join(live[table])}; they should be {', '.join(rebuilt[table])}"
            found.append(TableVerification(table, *rows, identical=False, shape=shape))
            continue
        differences: tuple[RowDifference, ...] = ()
        if before != after:
            key = await _key(made.connection, made.schema, table)
            differences = await _differences(
                _rows(snapshot, name, table, key), _rows(made.connection, made.schema, table, key), most
            )
        found.append(TableVerification(table, *rows, identical=before == after, differences=differences))
    return tuple(found)


async def _columns(connection: asyncpg.Connection, schema: str) -> dict[str, list[str]]:
    """Names and types of the columns of all tables but the checkpoint."""
    rows = await connection.fetch(
        """
        SELECT c.relname,
            array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS columns
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname <> 'checkpoint'
            AND a.attnum > 0 AND NOT a.attisdropped
        GROUP BY c.relname
        """,
        schema,
    )
    return {row["relname"]: row["columns"] for row in rows}


async def _key(connection: asyncpg.Connection, schema: str, table: str) -> list[str]:
    """Columns of the primary key; none when there is no such key."""
    rows = await connection.fetch(
        """
        SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY k.place
        """,
        f'{schema}."{table}"',
    )
    return [row["attname"] for row in rows]


async def _digest(connection: asyncpg.Connection, schema: str, table: str) -> tuple[int, bytes]:
    """Number of rows, and a SHA-256 over those of all rows."""
    row = await connection.fetchrow(
        f"""
        SELECT count(*) AS rows, coalesce(sha256(string_agg(line, ''::bytea ORDER BY line)), '') AS checksum
        FROM (SELECT sha256(convert_to(t::text, 'UTF8')) AS line FROM {schema}."{table}" AS t) AS lines
        """
    )
    assert row is not None  # an aggregate without GROUP BY always has one row
    return row["rows"], row["checksum"]


async def _rows(
    connection: asyncpg.Connection, schema: str, table: str, key: Sequence[str]
) -> AsyncGenerator[tuple[str, bytes]]:
    """Key and hash of each row, in the order of the keys' text."""
    parts = ", ".join(f"""'{column}', t."{column}\"""" for column in key)
    of_row = f"json_build_object({parts})::text" if key else "t::text"
    query = f"""
        SELECT {of_row} COLLATE "C" AS key, sha256(convert_to(t::text, 'UTF8')) AS line
        FROM {schema}."{table}" AS t ORDER BY 1, 2
    """
    # The driver's cursors know only transactions that it began itself; the snapshot's is another one.
    begun = connection.is_in_transaction()
    if not begun:
        await connection.execute("BEGIN READ ONLY")
    await connection.execute(f"DECLARE verified NO SCROLL CURSOR FOR {query}")
    try:
        while rows := await connection.fetch(f"FETCH {_AT_ONCE} FROM verified"):
            for row in rows:
                yield row["key"], row["line"]
    finally:
        await connection.execute("CLOSE verified" if begun else "COMMIT")


async def _differences(
    live: AsyncGenerator[tuple[str, bytes]], rebuilt: AsyncGenerator[tuple[str, bytes]], most: int
) -> tuple[RowDifference, ...]:
    """What two sorted lists of rows do not have in common."""
    found: list[RowDifference] = []
    async with aclosing(live), aclosing(rebuilt):
        here, there = await anext(live, None), await anext(rebuilt, None)
        while (here or there) and len(found) < most:
            if here == there:
                here, there = await anext(live, None), await anext(rebuilt, None)
            elif there is None or (here is not None and here[0] < there[0]):
                assert here is not None  # one of them is there
                found.append(RowDifference(here[0], "unjustified"))
                here = await anext(live, None)
            elif here is None or there[0] < here[0]:
                found.append(RowDifference(there[0], "missing"))
                there = await anext(rebuilt, None)
            else:
                found.append(RowDifference(here[0], "different"))
                here, there = await anext(live, None), await anext(rebuilt, None)
    return tuple(found)
