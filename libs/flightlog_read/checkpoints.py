"""How far a set of tables has come, kept beside the tables themselves so that both always agree.

Each schema has one table `checkpoint` with one row. A batch moves it in the same transaction that writes the rows; a
rebuild that puts other tables in this schema's place marks it `superseded` first, and the writer that then finds it so
stops.
"""

from dataclasses import dataclass

from flightlog_read.database import Connection
from flightlog_read.errors import ReadError
from flightlog_read.projection import Projection, fingerprint

_DDL = """
CREATE TABLE checkpoint (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    stream text NOT NULL,
    version integer NOT NULL,
    fingerprint text NOT NULL,
    sequence bigint NOT NULL,
    superseded boolean NOT NULL DEFAULT false
) WITH (fillfactor = 10)
"""


class Superseded(ReadError):
    """Other tables took this set's place, or somebody else moved its checkpoint: begin again from what is there now."""


class NewerTables(ReadError):
    """A later version of this code made the tables; this process must not write them."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The row."""

    stream: str
    version: int
    fingerprint: str
    sequence: int


async def create(connection: Connection, schema: str, projection: Projection) -> Checkpoint:
    """Makes schema, tables and a checkpoint at 0, in one transaction. Leaves `search_path` at the schema."""
    async with connection.transaction():
        await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.execute(f"SET search_path TO {schema}")
        await connection.execute(projection.ddl())
        await connection.execute(_DDL)
        await connection.execute(
            "INSERT INTO checkpoint (stream, version, fingerprint, sequence) VALUES ($1, $2, $3, 0)",
            projection.stream,
            projection.version,
            fingerprint(projection),
        )
    return Checkpoint(projection.stream, projection.version, fingerprint(projection), 0)


async def find(connection: Connection, schema: str) -> Checkpoint | None:
    """The checkpoint of a schema; None when there is no such schema or it is not a projection's."""
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{schema}.checkpoint"):
        return None
    row = await connection.fetchrow(f"SELECT stream, version, fingerprint, sequence FROM {schema}.checkpoint")
    return None if row is None else Checkpoint(row["stream"], row["version"], row["fingerprint"], row["sequence"])


async def find_all(connection: Connection) -> dict[str, Checkpoint]:
    """The checkpoints of all projections that are read now, by name."""
    names = await connection.fetch(
        """
        SELECT schemaname FROM pg_tables WHERE tablename = 'checkpoint' AND schemaname !~ '__(new|old|swap)$' ORDER BY 1
        """
    )
    found = {row["schemaname"]: await find(connection, row["schemaname"]) for row in names}
    return {name: checkpoint for name, checkpoint in found.items() if checkpoint is not None}


async def advance(connection: Connection, *, before: int, after: int) -> None:
    """Moves the checkpoint of the schema in `search_path`. Comes first in its transaction: its row lock orders a batch
    against a switch of tables.

    Raises:
        Superseded: it is not where this writer left it.
    """
    status = await connection.execute(
        "UPDATE checkpoint SET sequence = $2 WHERE sequence = $1 AND NOT superseded", before, after
    )
    if status != "UPDATE 1":
        raise Superseded(f"the checkpoint is no longer at {before}")
