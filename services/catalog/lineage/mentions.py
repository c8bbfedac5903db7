"""What facts of executions say that links executions with one another: the index of lineage. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from google.protobuf.message import Message

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog.lineage.runs import cache_source
from services.catalog.subjects import ExecutionKey


class Role(IntEnum):
    """What an execution or a node of it has to do with an address."""

    # An attempt of the node has it for its own data: the address is a prefix.
    OWNS = 1
    # The execution was given what lies there, or its workflow has it as a constant.
    GIVEN = 2
    # The node gave it on, though it is not below its own prefix.
    GAVE = 3


class AddressRow(NamedTuple):
    address: str
    role: Role
    execution: ExecutionKey
    node_id: str
    sequence: int


class ReuseRow(NamedTuple):
    """The result of `source_node` was taken by `node_id`."""

    source: ExecutionKey
    source_node: str
    execution: ExecutionKey
    node_id: str
    sequence: int


def is_deleted(recorded: Sequence[Message]) -> bool:
    """Whether an envelope with these facts is the last one of a deleted execution: that fact has none beside it."""
    return type(recorded[-1]) is facts.ExecutionDeleted


def rows_of(execution: ExecutionKey, sequence: int, recorded: Sequence[Message]) -> Iterator[AddressRow | ReuseRow]:
    """The rows that one envelope of an execution adds. Most add none: nodes that the engine runs itself own nothing."""
    for fact in recorded:
        told = _TOLD.get(type(fact))
        if told is not None:
            yield from told(fact, execution, sequence)


def _owned(fact: facts.AttemptScheduled, execution: ExecutionKey, sequence: int) -> Iterable[AddressRow]:
    if fact.in_engine or not fact.raw_output_prefix:
        return ()
    return (AddressRow(fact.raw_output_prefix, Role.OWNS, execution, fact.node_id, sequence),)


def _given(
    fact: facts.ExecutionCreated | facts.ExecutionStarted, execution: ExecutionKey, sequence: int
) -> Iterable[AddressRow]:
    return [AddressRow(address, Role.GIVEN, execution, "", sequence) for address in fact.addresses]


def _gave(
    fact: facts.AttemptSucceeded | facts.DynamicPlanned, execution: ExecutionKey, sequence: int
) -> Iterable[AddressRow]:
    return [AddressRow(address, Role.GAVE, execution, fact.node_id, sequence) for address in fact.addresses]


def _succeeded(fact: facts.NodeSucceeded, execution: ExecutionKey, sequence: int) -> Iterable[ReuseRow]:
    source = cache_source(fact)
    return () if source is None else (_reuse(source, execution, fact.node_id, sequence),)


def _recovered(fact: facts.NodeRecovered, execution: ExecutionKey, sequence: int) -> Iterable[ReuseRow]:
    return (_reuse(fact.source, execution, fact.node_id, sequence),) if fact.source.node_id else ()


_TOLD: Final[Mapping[type[Message], Callable[[Any, ExecutionKey, int], Iterable[AddressRow | ReuseRow]]]] = {
    facts.AttemptScheduled: _owned,
    facts.ExecutionCreated: _given,
    facts.ExecutionStarted: _given,
    facts.AttemptSucceeded: _gave,
    facts.DynamicPlanned: _gave,
    facts.NodeSucceeded: _succeeded,
    facts.NodeRecovered: _recovered,
}
TELLING: Final = frozenset(_TOLD)
"""The facts that may add rows; of a long log most are others."""


def _reuse(source: NodeExecutionIdentifier, execution: ExecutionKey, node_id: str, sequence: int) -> ReuseRow:
    made = source.execution_id
    return ReuseRow((made.project, made.domain, made.name), source.node_id, execution, node_id, sequence)
