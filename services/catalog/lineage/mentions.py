"""What facts of executions say that links executions with one another: the index of lineage. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

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


_TELLING: Final = frozenset(
    {
        facts.AttemptScheduled,
        facts.ExecutionCreated,
        facts.ExecutionStarted,
        facts.AttemptSucceeded,
        facts.DynamicPlanned,
        facts.NodeSucceeded,
        facts.NodeRecovered,
    }
)
"""The facts that may add rows; of a long log most are others."""


def is_deleted(recorded: Sequence[Message]) -> bool:
    """Whether an envelope with these facts is the last one of a deleted execution: that fact has none beside it."""
    return isinstance(recorded[-1], facts.ExecutionDeleted)


def rows_of(execution: ExecutionKey, sequence: int, recorded: Sequence[Message]) -> Iterator[AddressRow | ReuseRow]:
    """The rows that one envelope of an execution adds. Most add none: nodes that the engine runs itself own nothing."""
    for fact in recorded:
        if type(fact) not in _TELLING:
            continue
        match fact:
            case facts.AttemptScheduled() if not fact.in_engine and fact.raw_output_prefix:
                yield AddressRow(fact.raw_output_prefix, Role.OWNS, execution, fact.node_id, sequence)
            case facts.ExecutionCreated() | facts.ExecutionStarted():
                for address in fact.addresses:
                    yield AddressRow(address, Role.GIVEN, execution, "", sequence)
            case facts.AttemptSucceeded() | facts.DynamicPlanned():
                for address in fact.addresses:
                    yield AddressRow(address, Role.GAVE, execution, fact.node_id, sequence)
            case facts.NodeSucceeded():
                source = cache_source(fact)
                if source is not None:
                    yield _reuse(source, execution, fact.node_id, sequence)
            case facts.NodeRecovered() if fact.source.node_id:
                yield _reuse(fact.source, execution, fact.node_id, sequence)
            case _:
                pass


def _reuse(source: NodeExecutionIdentifier, execution: ExecutionKey, node_id: str, sequence: int) -> ReuseRow:
    made = source.execution_id
    return ReuseRow((made.project, made.domain, made.name), source.node_id, execution, node_id, sequence)
