"""The read model of the catalog: envelopes in, rows of four tables out, a whole batch at a time."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from flightlog_log import Recorded
from services.catalog.projection import fold
from services.catalog.projection.rows import Row
from services.catalog.projection.tables import ARTIFACTS, DATASETS, DDL, ENTRIES, INSERT_USES, Table

R = TypeVar("R", bound=Row)


class CatalogProjection:
    """Follows the stream CATALOG into the schema `catalog`."""

    name = "catalog"
    stream = "CATALOG"
    version = 2

    def ddl(self) -> str:
        """Tables and indexes, with unqualified names."""
        return DDL

    async def apply(self, connection: Any, batch: Sequence[Recorded]) -> None:
        """Folds a batch into the tables: at most one load and one write per table, whatever the batch holds."""
        needs = fold.needs(batch)
        rows = fold.Rows()
        rows.datasets.update(await _load(connection, DATASETS, needs.datasets))
        rows.artifacts.update(await _load(connection, ARTIFACTS, needs.artifacts))
        rows.entries.update(await _load(connection, ENTRIES, needs.entries))
        for recorded in batch:
            fold.apply(rows, recorded)
        await _write(connection, DATASETS, rows.datasets.values())
        await _write(connection, ARTIFACTS, rows.artifacts.values())
        await _write(connection, ENTRIES, rows.entries.values())
        if rows.uses:
            await connection.execute(INSERT_USES, *zip(*rows.uses, strict=True))


async def _load(connection: Any, table: Table[R], keys: Iterable[bytes]) -> dict[bytes, R]:
    wanted = sorted(keys)
    if not wanted:
        return {}
    return {stored["key"]: table.restore(stored) for stored in await connection.fetch(table.load(), wanted)}


async def _write(connection: Any, table: Table[R], rows: Iterable[R]) -> None:
    changed = [row for row in rows if row.sequence > row.stored]
    if changed:
        await connection.execute(table.upsert(), *table.parameters(changed))
