"""What a read model is to this package."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from flightlog_log import Raw, Recorded
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


@runtime_checkable
class ChoosingProjection(Projection, Protocol):
    """A projection that makes rows of few messages, and knows most of the others without decoding them.

    `apply` gives the same rows when it is given all of them.
    """

    def looks_at(self, raw: Raw) -> bool:
        """Whether a message is to be decoded and applied. Asked of every one, so it has to be quick."""
        ...


class Aggregate(Protocol):
    """The rows of one aggregate, folded in memory from its first envelope on."""

    @property
    def over(self) -> bool:
        """Nothing more is expected: its rows may be written and forgotten."""
        ...

    def apply(self, recorded: Recorded) -> None:
        """Folds its next envelope in, as `Projection.apply` would. May raise what that raises."""
        ...

    def rows(self) -> Iterable[tuple[str, Sequence[object]]]:
        """Table and values of every row, in the order of `AggregateProjection.copied`."""
        ...


@runtime_checkable
class AggregateProjection(Projection, Protocol):
    """A projection whose rows belong to one aggregate (subject) each, and depend on that aggregate's envelopes alone.

    So aggregates can be folded in any order, by several processes, and each row is written once. What `aggregate`
    gives must be what `apply` writes, byte for byte. It is pickled for the processes.

    Attributes:
        copied: the columns that are written, by table; all others keep their defaults.
    """

    @property
    def copied(self) -> Mapping[str, Sequence[str]]: ...

    def aggregate(self, subject: str) -> Aggregate:
        """An aggregate without envelopes. Raises as its `apply` does."""
        ...


@runtime_checkable
class EnvelopeProjection(Projection, Protocol):
    """A projection whose rows come from one envelope each: none reads or changes a row that an earlier one made.

    Otherwise as `AggregateProjection`.
    """

    @property
    def copied(self) -> Mapping[str, Sequence[str]]: ...

    def rows_of(self, recorded: Recorded) -> Sequence[tuple[str, Sequence[object]]]:
        """Table and values of every row, in the order of `copied`; most envelopes may have none.

        Raises what `apply` raises, or anything else for one that must be applied the long way.
        """
        ...


BulkProjection = AggregateProjection | EnvelopeProjection
"""A projection whose tables can be filled in memory, by several processes."""


def fingerprint(projection: Projection) -> str:
    """Tells table sets apart that the same code would not read: version and DDL."""
    digest = hashlib.sha256(f"{projection.version}\n{projection.ddl()}".encode())
    return f"{projection.version}-{digest.hexdigest()[:16]}"


def check_name(name: str) -> str:
    """The name if it can be written into SQL as it is. Raises `ValueError`."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a projection's name is lower case letters, digits and underscores, not {name!r}")
    return name
