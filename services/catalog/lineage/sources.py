"""What lineage is read from, as the graph sees it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog.lineage.tracing import Trace
from services.catalog.subjects import ExecutionKey


class Mention(NamedTuple):
    """An execution or a node of it has something to do with an address. Of the fact at `sequence` in the log."""

    # As it was recorded: the address itself, or the prefix that it lies below.
    address: str
    execution: ExecutionKey
    # "" for the execution itself.
    node_id: str
    sequence: int


class Makers(NamedTuple):
    """Who may have put there what lies at an address."""

    # Attempts that put their data below a prefix of it.
    owners: list[Mention]
    # Nodes that gave it on as an output, or a folder it is in, wherever it came from.
    givers: list[Mention]


class Reuse(NamedTuple):
    """A node's result was taken by another one: from the cache, or by recovery."""

    node_id: str
    execution: ExecutionKey
    user: str


class Sources(Protocol):
    """Histories, values and the index over all executions. What is gone is None; what cannot be reached, raised."""

    async def trace(self, execution: ExecutionKey) -> Trace | None:
        """One execution; None when there is none of that name."""
        ...

    async def literals(self, reference: DataRef | None) -> LiteralMap | None:
        """The values that a reference stands for; None when they are gone or too large to be read."""
        ...

    async def makers(self, address: str, before: int) -> Makers:
        """Who may have put there what lies at an address, before a sequence of the log; 0: ever. The last ones."""
        ...

    async def users(self, addresses: Collection[str]) -> list[Mention]:
        """Who was given one of the addresses, or something below one. The last ones, where there are very many."""
        ...

    async def reuses(self, execution: ExecutionKey) -> list[Reuse]:
        """Which nodes, of whichever execution, took the results of this one's nodes."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether something was left out because one question may not read more."""
        ...
