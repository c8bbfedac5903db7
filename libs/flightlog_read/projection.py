"""What a read model is to this package."""

import hashlib
import re
from collections.abc import Sequence
from typing import Protocol

from flightlog_log import Recorded
from flightlog_read.database import Connection

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")


class Projection(Protocol):
    """Tables made from one stream.

    Attributes:
        name: the Postgres schema of its tables; lower case letters, digits, underscores.
        stream: the stream it is made from, such as `EXECUTION`.
        version: grows whenever the same facts would give other rows. A projector that finds another version rebuilds.
    """

    @property
    def name(self) -> str: ...

    @property
    def stream(self) -> str: ...

    @property
    def version(self) -> int: ...

    def ddl(self) -> str:
        """CREATE statements of tables and indexes, names unqualified. No table is called `checkpoint`."""
        ...

    async def apply(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        """Writes what the records say, in log order. Runs inside a transaction, `search_path` is the schema.

        Must give the same rows however the stream is cut into batches, and must not look at clocks, sequences or
        anything else that a rebuild would find changed.
        """
        ...


def fingerprint(projection: Projection) -> str:
    """Tells table sets apart that the same code would not read: version and DDL."""
    digest = hashlib.sha256(f"{projection.version}\n{projection.ddl()}".encode())
    return f"{projection.version}-{digest.hexdigest()[:16]}"


def check_name(name: str) -> str:
    """The name if it can be written into SQL as it is. Raises `ValueError`."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a projection's name is lower case letters, digits and underscores, not {name!r}")
    return name
