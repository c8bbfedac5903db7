"""Who has seen a stream, and up to which sequence: a log that ends before that has lost its end.

A nats-server that was set up anew from an old backup has whole chains, and sequences that follow one another. Only
others can tell that there was more: the checkpoints of the tables, and the archive's manifest.
"""

from __future__ import annotations

from flightlog_read import Database, checkpoints
from services.history.verification.findings import RESTORE
from services.history.verification.stream import Voucher


class Tables:
    """The tables of all projections as vouchers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, stream: str) -> list[Voucher]:
        """Those that are made of a stream. Raises `DatabaseUnavailable`."""
        async with self._database.reading() as connection:
            found = await checkpoints.find_all(connection)
        return [
            Voucher(f"the projection {name}", one.sequence, RESTORE)
            for name, one in found.items()
            if one.stream == stream
        ]
