"""Whether two schemas hold the same rows."""

from dataclasses import dataclass

from flightlog_read.database import Connection


@dataclass(frozen=True, slots=True)
class TableDigest:
    """Number of rows, and a checksum over all values of all rows, in whatever order they lie.

    The checksum is the sum of the rows' 64-bit hashes: it tells a table that differs by accident, not one that somebody
    forged (`flightlog verify` is for that).
    """

    rows: int
    checksum: str


@dataclass(frozen=True, slots=True)
class TableComparison:
    """One table before and after. None: the schema has no such table."""

    table: str
    live: TableDigest | None
    rebuilt: TableDigest | None

    @property
    def identical(self) -> bool:
        return self.live == self.rebuilt


async def digest_tables(connection: Connection, schema: str) -> dict[str, TableDigest]:
    """Digests of every table but the checkpoint, by name."""
    return {name: await digest_table(connection, schema, name) for name in await tables_of(connection, schema)}


async def tables_of(connection: Connection, schema: str) -> list[str]:
    """The names of every table but the checkpoint."""
    names = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename <> 'checkpoint' ORDER BY tablename", schema
    )
    return [row["tablename"] for row in names]


async def digest_table(connection: Connection, schema: str, name: str) -> TableDigest:
    """The digest of one table."""
    row = await connection.fetchrow(
        f"""
        SELECT count(*) AS rows, coalesce(sum(hash_record_extended(t, 0)), 0)::text AS checksum
        FROM {schema}."{name}" AS t
        """
    )
    assert row is not None  # an aggregate without GROUP BY always has one row
    return TableDigest(row["rows"], row["checksum"])


def compare(live: dict[str, TableDigest], rebuilt: dict[str, TableDigest]) -> tuple[TableComparison, ...]:
    """Table by table, sorted by name."""
    return tuple(
        TableComparison(name, live.get(name), rebuilt.get(name)) for name in sorted(live.keys() | rebuilt.keys())
    )
