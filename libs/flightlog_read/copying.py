"""Writing the rows of many aggregates at once, each once, into tables that have no indexes yet."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import asyncpg

from flightlog_log import Raw
from flightlog_read.database import is_unavailable
from flightlog_read.folding import Folded, Row


async def copy(
    connection: asyncpg.Connection, columns: Mapping[str, Sequence[str]], block: Sequence[Folded]
) -> list[Raw]:
    """Writes the rows of all aggregates of a block, each aggregate wholly or not at all.

    Returns the messages of those that Postgres does not take: halves are tried until the ones at fault are alone.

    Raises:
        asyncpg.PostgresError, OSError: Postgres is away; call again for nothing of this, the load has failed.
    """
    if not block:
        return []
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for folded in block:
        for table, row in folded.rows:
            rows[table].append(row)
    try:
        async with connection.transaction():
            for table, records in rows.items():
                await connection.copy_records_to_table(table, records=records, columns=list(columns[table]))
    except Exception as error:
        if is_unavailable(error) or connection.is_closed():
            raise
        if len(block) == 1:
            return list(block[0].messages)
        half = len(block) // 2
        return [*await copy(connection, columns, block[:half]), *await copy(connection, columns, block[half:])]
    return []
